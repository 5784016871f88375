"""The decision of a gate: nothing of pytest."""
