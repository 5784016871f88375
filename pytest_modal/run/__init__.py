"""Runs of a batch, on each backend."""
