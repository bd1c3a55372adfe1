"""Training from a data file to a folder of checkpoints."""
