"""Reports: lines before, during and after the batch."""
