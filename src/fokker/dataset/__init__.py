"""From a configuration to frames ready for training: scaled, split and padded."""
