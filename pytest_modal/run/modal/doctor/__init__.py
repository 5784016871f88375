"""``pytest-modal doctor``: what is assumed of Modal, held against the Modal that is there."""
