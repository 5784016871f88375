"""``pytest --modal``: the batch in one session on Modal."""
