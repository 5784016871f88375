"""Notes on calls that succeeded and still went wrong: files that are lost, a GPU that was not used."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_modal.batch.calls import Call
from pytest_modal.store.results import Results
from pytest_modal.wording import count, first_few, safe


def lost_file_lines(results: Results) -> Iterator[str]:
    """Yield a line for each function whose calls wrote files that are lost."""
    lossy: dict[str, list[Call]] = {}
    for call in results.batch.calls:
        outcome = results.outcomes.get(call.key)
        if outcome is not None and outcome.lost_files:
            lossy.setdefault(call.function.key, []).append(call)
    for calls in lossy.values():
        names = first_few(name for call in calls for name in results.outcomes[call.key].lost_files)
        function = calls[0].function
        subject = calls[0].label if len(calls) == 1 else f"{count(len(calls), 'call')} of {function.name}"
        yield safe(
            f"modal: warning: {subject} ({function.location}) wrote {names}, lost with the container: return the data "
            "and write it in the test"
        )


def unused_gpu_lines(results: Results) -> Iterator[str]:
    """Yield a line for each kind of GPU that calls were given, declare, and did not use."""
    idle: dict[str, list[Call]] = {}
    for call in results.batch.calls:
        outcome = results.outcomes.get(call.key)
        if outcome is None or not outcome.ok or call.environment.gpu is None:
            continue
        if outcome.given and outcome.device == "cpu":
            idle.setdefault(outcome.given, []).append(call)
    for gpu, calls in idle.items():
        labels = first_few(call.label for call in calls)
        article = "an" if gpu.startswith("NVIDIA") else "a"
        yield safe(
            f"modal: warning: {count(len(calls), 'call')} had {article} {gpu} and computed on the CPU: {labels}; "
            'move the model and its inputs to "cuda", or declare gpu=None'
        )
