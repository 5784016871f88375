"""Python warnings of GPU functions, issued again in the setup of the tests that use them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_modal.wording import safe, three_parts

if TYPE_CHECKING:
    from pytest_modal.batch.outcomes import Outcome
    from pytest_modal.store.results import Results


def issue_warnings(results: Results, outcome: Outcome, label: str) -> str | None:
    """Issue the warnings of a call again, so that pytest's filters decide.

    They are shown at the first test that uses the call; a filter that makes one an error holds for every test.

    Returns
    -------
    str or None
        The error, in three parts, if a filter makes one of them an error.
    """
    if not outcome.warnings:
        return None
    first = results.is_first(f"warnings-{outcome.key}")
    errors: list[str] = []
    for warned in outcome.warnings:
        message = _message(warned)
        try:
            if first:
                _issue(message, warned)
            else:
                with warnings.catch_warnings(record=True):
                    _issue(message, warned)
        except Warning as raised:
            errors.append(_error(raised, warned, label))
    return "\n\n".join(dict.fromkeys(errors)) or None


def _issue(message: Warning, warned: Mapping[str, Any]) -> None:
    # Python drops a warning whose module is None; without one it is named after the file.
    module = [warned["module"]] if warned["module"] else []
    warnings.warn_explicit(message, type(message), safe(warned["file"]), warned["line"], *module)


def _message(warned: Mapping[str, Any]) -> Warning:
    """Return the warning as an object of its class, or of the nearest base class that this process has.

    Nothing is imported for it, and a class whose objects can't be made from a text is passed over.
    """
    text, own = safe(warned["message"]), warned["categories"][0]
    for name in warned["categories"]:
        kind = _class(name)
        told = text if name == own else f"{safe(own)}: {text}"
        if kind is not None:
            try:
                message = kind(told)
                if str(message) == told:
                    return message
            except Exception:
                continue
    return UserWarning(f"{safe(own)}: {text}")


def _class(name: str) -> type[Warning] | None:
    module, _, qualified = name.rpartition(".")
    found: object = sys.modules.get(module)
    # Not by getattr(): a module may import something when it is asked for a name.
    found = vars(found).get(qualified) if found is not None else None
    return found if isinstance(found, type) and issubclass(found, Warning) else None


def _error(raised: Warning, warned: Mapping[str, Any], label: str) -> str:
    kind = type(raised).__qualname__
    filtered = kind if type(raised).__module__ == "builtins" else f"{type(raised).__module__}.{kind}"
    return three_parts(
        f"{kind}: {raised} (in {label})",
        f"{safe(warned['file'])}:{warned['line']}",
        f"fix its cause, or keep it a warning: -W default::{filtered}, or filterwarnings",
    )
