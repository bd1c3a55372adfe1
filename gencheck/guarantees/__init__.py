"""What theory certifies: from scores, margins and path weights."""
