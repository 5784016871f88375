"""The batch at work."""
