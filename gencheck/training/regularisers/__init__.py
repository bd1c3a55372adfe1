"""DARC, and its hooks in training frameworks."""
