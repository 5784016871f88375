"""The project's code: which is local, what it depends on, how it travels."""
