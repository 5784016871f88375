"""Results of earlier runs, taken over with ``--modal-resume``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from pytest_modal.code.versions import Versions, differences
from pytest_modal.store.cache import OutcomeCache
from pytest_modal.store.results import Results
from pytest_modal.wording import count, first_few


def resume(results: Results, kept: OutcomeCache | None, versions: Versions, *, same_packages: bool) -> None:
    """Take over what earlier runs have kept of the calls, and say what of it may be another today.

    Parameters
    ----------
    same_packages : bool
        Whether a result that other versions of packages have made is computed again, with all that depends on it.
    """
    if kept is None:
        results.run.notes.append("--modal-resume found nothing: pytest's cache is disabled or not writable")
        return
    found = {outcome.key: (outcome, path) for outcome, path in kept.find(set(results.calls) - set(results.outcomes))}
    changed = {
        key: differences(outcome.packages, versions.of(results.calls[key])) for key, (outcome, _) in found.items()
    }
    changed = {key: each for key, each in changed.items() if each}
    left = _with_dependents(results, changed) if same_packages else set[str]()
    for key, (outcome, path) in found.items():
        # Another run may delete the file meanwhile; the call is computed again then.
        with contextlib.suppress(OSError):
            if key not in left:
                results.adopt(outcome, path)
    notes = results.run.notes
    if kept.damaged:
        were = "was" if kept.damaged == 1 else "were"
        notes.append(f"{count(kept.damaged, 'kept result')} {were} damaged on disk: computed again")
    if changed:
        what = first_few(sorted({each for differing in changed.values() for each in differing}))
        if same_packages:
            notes.append(
                f"{count(len(left & set(found)), 'kept result')} computed again, as packages have changed: {what}"
            )
        else:
            notes.append(
                f"{count(len(changed), 'reused result')} made with other packages: {what}; with the ini "
                "modal_resume_packages = same they are computed again"
            )


def _with_dependents(results: Results, keys: Iterable[str]) -> set[str]:
    """Return calls with all that depend on them."""
    found = set(keys)
    for call in results.batch.calls:  # what a call depends on comes before it
        if not found.isdisjoint(results.batch.dependencies(call)):
            found.add(call.key)
    return found
