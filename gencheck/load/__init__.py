"""Checkpoints and data sets from files; nothing in a file may run code."""
