"""Bounds on the risk: pure mathematics, scalars in, `Bound` out."""
