"""What the classical theories need to know of a network and its data, and what they then say."""
