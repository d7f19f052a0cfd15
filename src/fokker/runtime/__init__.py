"""What a computation needs around it: checkpoints, devices and processes, signals, a cache."""
