"""The comparison of two runs, as lines, as JSON, and as a page."""
