"""Results and recordings on disk."""
