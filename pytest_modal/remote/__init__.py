"""The part that travels to a worker: every file of this folder, and nothing else. Standard library only."""
