"""Meanings of Modal's exceptions: which are a call's own, which the session's, and what to do about them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pytest_modal.batch.calls import Call
from pytest_modal.batch.cost import Cost, money
from pytest_modal.batch.outcomes import Outcome
from pytest_modal.declare.facts import Facts
from pytest_modal.run.endings import container_ending, exit_status_in

TOKEN_REMEDY = (
    "run `modal token new`, or set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET (in CI: from the repository's secrets)"
)
_BUILD_LOG_LINES = 30
_TELLING = re.compile(r"\s*(error|×|E:)", re.IGNORECASE)
# What a build says when it fell by itself: the same image may well be built by the next run.
_PASSING = re.compile(
    r"try again|shut-?down|preempt|timed? ?out|connection (?:reset|refused|error|closed)|temporary failure|"
    r"no space left|unreachable|\b50[0234]\b|failed to (?:fetch|download)|service unavailable",
    re.IGNORECASE,
)
_PREAMBLE = re.compile(r"^Image build for \S+ (?:.* with the exception:\n)?")
# The first is what users report; Modal requires a payment method of everybody.
_SPENT = re.compile(r"spend(?:ing)? limit|workspace budget", re.IGNORECASE)
_UNPAID = re.compile(r"payment (?:method|details)|credit card", re.IGNORECASE)
_BILLING_PAGE = "https://modal.com/settings/usage"
# In what the client says of an exception that it did not unpickle; see `pytest_modal.run.modal.plain_replies`.
_REMOTE_TRACEBACK = "Here is the remote traceback:\n"


class InfrastructureError(Exception):
    """The session, or one environment of it, can't go on, and no call caused it.

    Attributes
    ----------
    kind : str
        "auth", "connection", "image build", "no GPU", "quota", "stopped", ...
    remedy : str
        What to do.
    log : str
        The end of Modal's log, if it explains the failure.
    of_project : bool
        Whether what the project declares is at fault, and not the service: the tests fail as by any mistake.
    """

    def __init__(self, kind: str, message: str, remedy: str, log: str = "", *, of_project: bool = False) -> None:
        super().__init__(message)
        self.kind, self.message, self.remedy, self.log = kind, message, remedy, log
        self.of_project = of_project

    def outcome(self, call: Call) -> Outcome:
        """Return the outcome of a call that could not run because of this."""
        error = {"type": self.kind, "message": self.message, "remedy": self.remedy, "log": self.log}
        return Outcome(call.key, "infrastructure", phase="start", error=error | {"of_project": self.of_project})


def unreachable(url: str, seconds: float) -> InfrastructureError:
    """Return the error for a server that does not answer."""
    return InfrastructureError(
        "connection",
        f"Modal does not answer at {url} (waited {seconds:,.0f} s)",
        "check the network and https://status.modal.com; without Modal, run the same batch on this machine: "
        "pytest --modal-mode=local",
    )


def lost(seconds: float) -> InfrastructureError:
    """Return the error for a connection that was lost during the session."""
    return InfrastructureError(
        "connection",
        f"the connection to Modal was lost: no answer for {seconds:,.0f} s",
        "run pytest --modal --modal-resume when the network is back: results that have arrived are kept",
    )


def stopped(asleep: float) -> InfrastructureError:
    """Return the error for an app that was stopped: by somebody, or after this machine was silent for some seconds."""
    if asleep:
        return InfrastructureError(
            "stopped",
            f"Modal stopped the session: it had no heartbeat for {asleep:,.0f} s. Was this machine asleep?",
            "run pytest --modal --modal-resume, which goes on: results that have arrived are kept",
        )
    return InfrastructureError(
        "stopped",
        "the session was stopped from outside, on the dashboard or with `modal app stop`",
        "run pytest again; if nobody stopped it, see the app's log",
    )


def no_gpu(gpu: str, seconds: float, said: str = "") -> InfrastructureError:
    """Return the error for a GPU that was not available in time; `said` is what Modal says of it."""
    return InfrastructureError(
        "no GPU",
        f"no container with {gpu} within {seconds:,.0f} s (phase: queue){f'; Modal says: {said}' if said else ''}",
        'allow other types too, gpu=["A100", "H100"], or set a longer modal_acquire_timeout in the ini; the workspace '
        f"may have spent its budget, see {_BILLING_PAGE}",
    )


def no_answer(environment: str, seconds: float) -> InfrastructureError:
    """Return the error for calls that nothing is heard of."""
    return InfrastructureError(
        "no answer",
        f"Modal has not answered for {seconds:,.0f} s what became of calls on {environment}",
        "run pytest --modal --modal-resume; if it happens again, see the app's log and https://status.modal.com",
    )


def misconfigured(error: Exception) -> InfrastructureError:
    """Return the error for a configuration that the client does not accept; it says why."""
    said = " ".join(str(error).split()) or type(error).__name__
    remedy = "correct Modal's file (`modal profile list`, `modal profile activate`) or the MODAL_ variables"
    if "reading the modal configuration" in said:
        remedy = "correct the file; or move it away, and run `modal token new`"
    return InfrastructureError("configuration", said, remedy)


def of_billing(text: str) -> InfrastructureError | None:
    """Return the error for what Modal says, if it is about money; None for everything else."""
    said = " ".join(text.split())
    if _SPENT.search(said):
        return InfrastructureError(
            "spending limit",
            f"the workspace has reached its spending limit: {said}",
            f"raise the workspace budget at {_BILLING_PAGE}, or wait for the next billing cycle; then run pytest "
            "--modal --modal-resume: results that have arrived are kept",
        )
    if _UNPAID.search(said):
        remedy = f"add a payment method to the workspace at {_BILLING_PAGE}"
        return InfrastructureError("payment", f"the workspace has no payment method: {said}", remedy)
    return None


def too_expensive(estimate: Cost, limit: float) -> InfrastructureError:
    """Return the error for a batch that would cost too much."""
    return InfrastructureError(
        "cost",
        f"the batch would cost {estimate.amount} by the last run, above the limit of {money(limit)} ({estimate.parts})",
        "raise --modal-max-cost, or select fewer tests; nothing was sent",
    )


def cost_reached(cost: Cost, limit: float) -> InfrastructureError:
    """Return the error for a session that has cost as much as it may."""
    return InfrastructureError(
        "cost",
        f"the session has cost {cost.amount} and was stopped at the limit of {money(limit)} ({cost.parts})",
        "run pytest --modal --modal-resume with a higher --modal-max-cost: results that have arrived are kept",
    )


def no_container(environment: str, message: str) -> InfrastructureError:
    """Return the error for an environment whose containers all end."""
    return InfrastructureError(
        "container",
        f"no container of {environment} stays up: {message}",
        "see the app's log; the image, the volumes or the memory of the environment may be at fault",
    )


def another_python(message: str) -> InfrastructureError:
    """Return the error for an image with another Python than this machine has."""
    remedy = (
        "give the image that version, such as modal.Image.debian_slim(python_version=...), or run pytest with the other"
    )
    return InfrastructureError("image", message, remedy, of_project=True)


def may_be_of_one_environment(error: BaseException) -> bool:
    """Whether a session could not be opened for what one environment declares: without it, the others could run."""
    import modal

    kinds = (
        modal.exception.ImageBuildError,
        modal.exception.InvalidError,
        modal.exception.NotFoundError,
        modal.exception.PermissionDeniedError,
        TypeError,
        ValueError,
    )
    return isinstance(error, kinds)


async def of_session(error: BaseException, url: str, *, environment: str = "") -> InfrastructureError:
    """Explain why a session could not be opened, or can't go on.

    Parameters
    ----------
    environment : str
        The name of the one that is at fault; empty for the whole session.
    """
    if isinstance(error, InfrastructureError):
        return error
    import modal

    what = f"the environment {environment}" if environment else "the session"
    if isinstance(error, modal.exception.ImageBuildError):
        return await _image_build(error, f"the image of {environment}" if environment else "an image")
    text = str(error) or type(error).__name__
    if isinstance(error, modal.exception.Error) and (failure := of_billing(text)) is not None:
        return failure
    if isinstance(error, modal.exception.AuthError):
        return _not_accepted(text)
    kinds: list[tuple[type[BaseException], str, str]] = [
        (modal.exception.PermissionDeniedError, "permission", "get access to it, or use another token or environment"),
        (modal.exception.VersionError, "version", "upgrade: pip install -U modal"),
        (
            modal.exception.ResourceExhaustedError,
            "quota",
            "raise the limits or the budget of your workspace at https://modal.com/settings, or set a smaller "
            "max_containers",
        ),
        (
            modal.exception.NotFoundError,
            "not found",
            "create it, for example with `modal secret create NAME KEY=VALUE`, or correct the name",
        ),
        (modal.exception.InvalidError, "setting", "fix that setting of the GPU functions; --modal-plan shows them"),
    ]
    if isinstance(error, modal.exception.ConnectionError | modal.exception.ServiceError | OSError):
        failure = unreachable(url, 0)
        return InfrastructureError("connection", f"Modal can't be reached at {url}: {text}", failure.remedy)
    for kind_of_error, kind, remedy in kinds:
        if isinstance(error, kind_of_error):
            message = f"Modal refused {what} ({kind}): {text}"
            return InfrastructureError(kind, message, remedy, of_project=kind == "setting")
    remedy = "run pytest again; if it happens again, see the app's log"
    return InfrastructureError("unexpected", f"{what} failed: {type(error).__name__}: {text}", remedy)


def _not_accepted(text: str) -> InfrastructureError:
    import modal.config

    what, remedy = "the token", TOKEN_REMEDY
    if modal.config.config.get("oauth_refresh_token"):
        what, remedy = "the OAuth credentials", "have them renewed by the program that sets the MODAL_OAUTH_ variables"
    return InfrastructureError("auth", f"Modal does not accept {what}: {text}", remedy)


async def _image_build(error: Any, what: str) -> InfrastructureError:
    import modal

    try:
        lines = [entry.message async for entry in modal.Image.from_id(error.image_id).logs.fetch.aio()]
    except Exception:
        lines = []
    log = "".join(lines).splitlines()
    told = _cause(log)
    said = " ".join(_PREAMBLE.sub("", str(error)).split())
    message = f"{what} could not be built: {told or said or 'Modal did not say why'}"
    ending = "\n".join(log[-_BUILD_LOG_LINES:])
    # Without a log, nothing of the project's was run.
    if not log or _PASSING.search(f"{told}\n{said}"):
        remedy = "run pytest again: the build was cut short, which says nothing about your packages"
        return InfrastructureError("image build", message, remedy, ending)
    remedy = "fix packages= or image= of the GPU functions; --modal-plan shows what each image installs"
    return InfrastructureError("image build", message, remedy, ending, of_project=True)


def _cause(log: Sequence[str]) -> str:
    """Return the last error of a log, with the sentence that it begins."""
    number = next((index for index in range(len(log) - 1, -1, -1) if _TELLING.match(log[index])), None)
    if number is None:
        return ""
    words = [log[number].strip().removeprefix("× ")]
    if words[0].endswith(":"):
        for line in log[number + 1 : number + 6]:
            words.append(line.strip().removeprefix("╰─▶ "))
            if line.endswith("."):
                break
    return " ".join(words)


def crash_message(error: BaseException, status: int | None, facts: Facts) -> str:
    """Return how a container ended, from the error that the client raised, or its exit status."""
    text = _last_words(str(error))
    named = exit_status_in(text)
    status = status if named is None else named
    if status is None:
        return f"the container ended: {text or 'Modal did not say why'}"
    return container_ending(status, facts.out_of_memory_exit_codes)


def _last_words(text: str) -> str:
    """Return what an error of Modal's client says; of an exception in a container the message."""
    _, _, trace = text.partition(_REMOTE_TRACEBACK)
    lines = trace.rstrip().splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith((" ", "Traceback "))]
    return "\n".join(lines[frames[-1] + 1 :]) if frames else text
