"""What each theory of generalization certifies for a model and its data, side by side."""
