"""Declarations of users: decorator keywords, markers, options."""
