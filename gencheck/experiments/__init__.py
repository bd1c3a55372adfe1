"""The source's claims with numbers, each computed anew: one module for each experiment."""
