"""Results as JSON and as terminal reports."""
