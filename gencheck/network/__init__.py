"""A torch model seen as a gated linear network."""
