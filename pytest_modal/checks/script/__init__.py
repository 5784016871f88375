"""What the rules know of a file."""
