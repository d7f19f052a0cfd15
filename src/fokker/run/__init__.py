"""A run folder, and a trained model read back from it."""
