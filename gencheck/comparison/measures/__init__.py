"""What the theories measure of a network and its data."""
