"""The local side: what tests get."""
