"""What the commands do, as functions: train, sample, simulate, relax, evaluate; one file each."""
