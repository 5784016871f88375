"""The command ``pytest-modal``."""
