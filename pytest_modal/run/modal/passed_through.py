"""Settings that pass through to Modal: those that it would not take are found before anything is sent."""

from __future__ import annotations

import inspect
from typing import Any

from pytest_modal.batch.environment import Environment
from pytest_modal.declare.keywords import one_of


def refusal_of(environment: Environment) -> tuple[str, str] | None:
    """Return why Modal would not take the ``modal=`` of an environment, and what to do; None where it would."""
    if not environment.modal:
        return None
    import modal

    given: dict[str, Any] = dict(environment.modal)
    known = [*inspect.signature(modal.App.cls).parameters]
    for name in given:
        if name not in known:
            return f"modal={{{name!r}: ...}}: a Modal Function has no such setting", one_of(name, known)
    try:
        modal.App(include_source=False).cls(serialized=True, **given)(type("Checked", (), {}))
    except Exception as error:
        return (
            f"modal={given!r} is not accepted by Modal: {error}",
            "see https://modal.com/docs/reference/modal.App#cls",
        )
    return None
