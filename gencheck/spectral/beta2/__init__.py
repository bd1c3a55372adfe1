"""β2: the largest entry over all paths, searched, enumerated, bounded."""
