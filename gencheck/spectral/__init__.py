"""Gram matrices of the path kernel and what is read off them."""
