"""The path kernel: its program carried out, Gram matrices, their tiles on disk."""
