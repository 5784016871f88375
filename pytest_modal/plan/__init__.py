"""From selected tests to a batch."""
