"""What users see of a run."""
