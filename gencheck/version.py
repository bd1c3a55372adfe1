"""The version that every document, cache and state carries."""

__version__ = "0.1.0"
