"""What users write: decorator keywords, markers, options."""
