"""Data types in the middle: nothing of pytest, nothing of Modal."""
