"""Messages about failed calls: what happened, where, what to do."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modal.batch.calls import Batch, Call
from pytest_modal.batch.digest import digest_of
from pytest_modal.batch.failure import Failure
from pytest_modal.batch.outcomes import App, Outcome
from pytest_modal.code.places import is_local
from pytest_modal.store.results import Results
from pytest_modal.wording import count, safe, safe_line, shown_path, three_parts

_LONGEST_PATH = 4_096
_DEBUG = "debug it in local mock mode, in this terminal: pytest --modal-inline (and -n0, with pytest-xdist)"
_LIKELY = {
    "BreakpointError": _DEBUG,
    "BdbQuit": _DEBUG,
    "ModuleNotFoundError": "add the package to packages=, or, if it is a module of yours whose name is put together at "
    "run time, set local_packages=",
    "OutOfMemoryError": "use smaller batches, a lower precision, or a larger gpu=",
    "FileNotFoundError": "read the file in a local fixture and pass its content: a container has none of your files",
}

_TOKEN = (
    "a gated or private model needs a token in the container: `modal secret create huggingface HF_TOKEN=hf_...`, then "
    'secrets=["huggingface"]'
)


def explain(results: Results, outcome: Outcome, *, brief: bool = False) -> str:
    """Explain a failed call in three parts; briefly, without what was called on the way and without the log."""
    call = results.calls[outcome.key]
    what, remedy = _what(results, call, outcome)
    lines = [three_parts(what, _where(results.batch, call, outcome), remedy)]
    if outcome.attempts > 1:
        lines.append(f"  tried: {count(outcome.attempts, 'time')}")
    app = results.run.app_of(call.environment.round)
    lines += pointers([app] if app else [])
    if outcome.error and "frames" in outcome.error:
        lines += ["", *_last_frame(outcome.error)] if brief else ["", remote_traceback(outcome.error)]
    if outcome.error and outcome.error.get("log") and not brief:
        lines += ["", "The end of the log:", *(f"  | {line}" for line in outcome.error["log"].splitlines())]
    return safe("\n".join(lines))


def headline(results: Results, outcome: Outcome) -> str:
    """Say in one line what became of a failed call; what is new comes first, for lines that are cut at their end."""
    call, error = results.calls[outcome.key], outcome.error or {}
    subject = call.label
    if outcome.container_key is not None:
        subject = results.batch.containers[outcome.container_key].label
    message = safe_line(next(iter(str(error.get("message", "")).splitlines()), ""))
    if outcome.status in ("infrastructure", "dependency failed"):
        return message
    what = {
        "raised": f"{error.get('type')}: {message}" if message else str(error.get("type")),
        "not data": f"not data: {message}",
        "timed out": f"timed out after {outcome.seconds:,g} s",
        "crashed": f"crashed: {message or 'the container ended'}",
    }.get(outcome.status, message)
    return f"{safe_line(what)} (in {safe_line(subject)})"


def cause_of(outcome: Outcome) -> str:
    """Return a digest of why a call failed: equal for calls that failed for one cause."""
    error = outcome.error or {}
    if outcome.status == "dependency failed":
        return digest_of(outcome.status, str(error.get("cause_key", outcome.key)))
    words = tuple(str(error.get(name, "")) for name in ("type", "message", "remedy"))
    if outcome.status in ("infrastructure", "not recorded", "stale recording"):
        return digest_of(outcome.status, *words)
    if outcome.status == "raised" and error.get("frames"):
        return digest_of(outcome.status, outcome.container_key or "", *words, str(error["frames"]))
    return digest_of(outcome.status, outcome.container_key or outcome.key)


def location_of(results: Results, outcome: Outcome, rootdir: Path) -> tuple[str, int]:
    """Return the file and line to look at: where the project's own code raised, else the function's definition."""
    for path, line, _, text in reversed((outcome.error or {}).get("frames", [])):
        if text and is_local(path, rootdir):
            return safe_line(shown_path(Path(path), rootdir), _LONGEST_PATH), line
    call = results.calls[outcome.key]
    function = call.function
    if outcome.container_key is not None:
        function = results.batch.containers[outcome.container_key].function
    path, _, number = function.location.rpartition(":")
    return path, int(number) if number.isdecimal() else 1


def explain_assertion(results: Results, outcome: Outcome, *, brief: bool = False) -> str:
    """Explain an assertion that failed in a GPU function: what it says, where it is, the values in it."""
    call, error = results.calls[outcome.key], outcome.error or {}
    *_, statement = (error.get("frames") or [("",)])[-1]
    text = error["message"].strip() or (statement if statement.startswith("assert") else "no message")
    lines = [f"{error['type']}: {text.splitlines()[0]} (in {call.label})"]
    lines.append(f"  where: {_where(results.batch, call, outcome)}")
    lines += [f"  {name} = {value}" for name, value in error.get("values", [])]
    trace = _last_frame(error) if brief else [remote_traceback(error)]
    return safe("\n".join([*lines, "", *trace]))


def as_failure(results: Results, outcome: Outcome) -> Failure:
    """Return a failed call as data."""
    error = root = outcome.error or {}
    while root.get("cause_key") in results.outcomes:
        root = results.outcomes[root["cause_key"]].error or {}
    message = str(error.get("message", ""))
    if outcome.status == "timed out":
        message = f"timed out after {outcome.seconds:,g} s (phase: {outcome.phase})"
    elif outcome.status == "crashed":
        message = f"crashed: {message} (phase: {outcome.phase})"
    elif outcome.status == "dependency failed" and "frames" in root:
        message += f": {root['type']}: {root['message']}"
    return Failure(
        results.calls[outcome.key].label,
        outcome.status,
        str(error.get("type", "")) if outcome.status != "not data" else "",
        message,
        outcome.stdout + outcome.stderr,
        remote_traceback(root) if "frames" in root else "",
    )


def pointers(apps: Sequence[App]) -> list[str]:
    """Return where to read more about sessions on Modal."""
    return [f"  logs: modal app logs {app.id}{f' or {app.url}' if app.url else ''}" for app in apps]


def explain_teardown(results: Results, teardown: Mapping[str, Any]) -> str:
    """Explain what went wrong after the ``yield`` of a container fixture."""
    fixture = results.batch.containers[teardown["container_key"]]
    message = three_parts(
        f"container fixture {fixture.label} {teardown['what']}",
        fixture.function.location,
        "fix the code after the yield; the results before it are kept",
    )
    error = teardown["error"]
    return safe(f"{message}\n\n{remote_traceback(error)}" if error is not None else message)


def remote_traceback(error: Mapping[str, Any]) -> str:
    """Format a described exception as Python would, with the source lines that were sent."""
    lines: list[str] = []
    for link, words in (
        ("cause", "The above exception was the direct cause of the following exception:"),
        ("context", "During handling of the above exception, another exception occurred:"),
    ):
        if link in error:
            lines += [remote_traceback(error[link]), "", words, ""]
    lines.append("Remote traceback (most recent call last):")
    lines += _formatted(error.get("frames", ()))
    lines.append(f"{error['type']}: {error['message']}" if error["message"] else error["type"])
    lines += error.get("notes", ())
    for inner in error.get("exceptions", []):
        lines += ["", *(f"  | {line}" for line in remote_traceback(inner).splitlines())]
    return "\n".join(lines)


def _formatted(frames: Sequence[tuple[str, int, str, str]]) -> list[str]:
    # With its line, even an empty one, Python does not look for the file.
    return "".join(traceback.StackSummary.from_list([*frames]).format()).splitlines()


def _last_frame(error: Mapping[str, Any]) -> list[str]:
    raised = f"{error['type']}: {error['message']}" if error["message"] else str(error["type"])
    return [*_formatted(error["frames"][-1:]), *raised.splitlines()]


def _what(results: Results, call: Call, outcome: Outcome) -> tuple[str, str]:
    error = outcome.error or {}
    if outcome.status == "not data":
        return (
            f"{call.label} returned something that is not data: {error['message']}",
            "return numbers, strings, lists, dicts and arrays; keep what can't be data in a container fixture",
        )
    if outcome.status == "dependency failed":
        return error["message"], f"fix {results.run.labels[error['cause_key']]} first"
    if outcome.status == "infrastructure":
        return error["message"], error["remedy"]
    if "recorded" in outcome.status or "recording" in outcome.status:
        return f"{call.label}: {error['message']}", error["remedy"]
    subject = call.label
    if outcome.container_key is not None:
        subject = f"container fixture {results.batch.containers[outcome.container_key].label}, which {call.label} uses,"
    if outcome.status == "timed out":
        longer = 2 * max(1, int(outcome.seconds))
        remedy = f"raise timeout= to {longer}, or do less work per call"
        if outcome.phase == "start" and results.mode == "modal":
            remedy = f"set modal_startup_timeout = {longer} in the ini, or use a smaller image"
        return f"{subject} timed out after {outcome.seconds:,g} s (phase: {outcome.phase})", remedy
    if outcome.status == "crashed":
        return (
            f"{subject} crashed: {error.get('message', 'the container ended')} (phase: {outcome.phase})",
            "if it ran out of memory, send less per call or set memory=; its last output is below",
        )
    kind = str(error.get("type", ""))
    if any(map(_is_refused_by_hub, _chain(error))):
        secrets = call.environment.secrets
        remedy = "check that its secrets= set HF_TOKEN, and that this account has access to the model"
        return f"{subject} raised {kind}", remedy if secrets else _TOKEN
    remedy = _LIKELY.get(kind.rpartition(".")[2], "see the traceback below")
    return f"{subject} raised {kind}", remedy


def _chain(error: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield error
    for link in ("cause", "context"):
        if link in error:
            yield from _chain(error[link])


def _is_refused_by_hub(error: Mapping[str, Any]) -> bool:
    kind = str(error.get("type", "")).rpartition(".")[2]
    return kind in ("GatedRepoError", "RepositoryNotFoundError") or "gated repo" in str(error.get("message", ""))


def _where(batch: Batch, call: Call, outcome: Outcome) -> str:
    if outcome.error and "where" in outcome.error:
        return f"{outcome.error['where']}, for {call.function.location}"
    function = call.function
    if outcome.container_key is not None:
        function = batch.containers[outcome.container_key].function
    container = f", in container {outcome.container}" if outcome.container else ""
    return f"{function.location}{container}"
