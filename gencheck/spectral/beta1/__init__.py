"""β1: the largest eigenvalue of an indefinite difference, many at once, or from landmarks."""
