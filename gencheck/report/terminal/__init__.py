"""Reports for the terminal (rich)."""
