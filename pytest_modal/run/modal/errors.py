"""Meanings of Modal's exceptions: which are a call's own, which the session's, and what to do about them."""

from __future__ import annotations

import re
from typing import Any

from pytest_modal.batch.calls import Call
from pytest_modal.batch.outcomes import Outcome
from pytest_modal.run.endings import ending

TOKEN_REMEDY = (
    "run `modal token new`, or set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET (in CI: from the repository's secrets)"
)
_BUILD_LOG_LINES = 30
_TELLING = re.compile(r"\s*(pytest-modal:|error|×|E:)", re.IGNORECASE)
_EXIT_STATUS = re.compile(r"exit code: (-?\d+)")


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
    """

    def __init__(self, kind: str, message: str, remedy: str, log: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.remedy, self.log = kind, message, remedy, log

    def outcome(self, call: Call) -> Outcome:
        """Return the outcome of a call that could not run because of this."""
        error = {"type": self.kind, "message": self.message, "remedy": self.remedy, "log": self.log}
        return Outcome(call.key, "infrastructure", phase="start", error=error)


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


def stopped() -> InfrastructureError:
    """Return the error for an app that somebody stopped."""
    return InfrastructureError(
        "stopped",
        "the session was stopped from outside, on the dashboard or with `modal app stop`",
        "run pytest again; if nobody stopped it, see the app's log",
    )


def no_gpu(gpu: str, seconds: float) -> InfrastructureError:
    """Return the error for a GPU that was not available in time."""
    return InfrastructureError(
        "no GPU",
        f"no container with {gpu} within {seconds:,.0f} s (phase: queue)",
        'allow other types too, gpu=["A100", "H100"], or set a longer modal_acquire_timeout in the ini',
    )


async def of_session(error: BaseException, url: str) -> InfrastructureError:
    """Explain why a session could not be opened, or can't go on."""
    import modal

    if isinstance(error, InfrastructureError):
        return error
    if isinstance(error, modal.exception.ImageBuildError):
        return await _image_build(error)
    text = str(error) or type(error).__name__
    if isinstance(error, modal.exception.AuthError):
        return _auth(text)
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
            return InfrastructureError(kind, f"Modal refused the session ({kind}): {text}", remedy)
    remedy = "run pytest again; if it happens again, see the app's log"
    return InfrastructureError("unexpected", f"the session failed: {type(error).__name__}: {text}", remedy)


def _auth(text: str) -> InfrastructureError:
    from modal.config import config

    if config.get("token_id") and config.get("token_secret"):
        return InfrastructureError("auth", f"Modal does not accept the token: {text}", TOKEN_REMEDY)
    return InfrastructureError("auth", "there is no token for Modal on this machine", TOKEN_REMEDY)


async def _image_build(error: Any) -> InfrastructureError:
    import modal

    try:
        lines = [entry.message async for entry in modal.Image.from_id(error.image_id).logs.fetch.aio()]
    except Exception as broken:
        lines = [f"(its log could not be read: {broken})"]
    log = "".join(lines).splitlines()
    cause = next((line for line in reversed(log) if _TELLING.match(line)), "")
    return InfrastructureError(
        "image build",
        f"an image could not be built{f': {cause.strip()}' if cause else ''}",
        "fix packages= or image= of the GPU functions; --modal-plan shows what each image installs",
        "\n".join(log[-_BUILD_LOG_LINES:]),
    )


def crash_message(error: BaseException) -> str:
    """Return how a container ended, from the error that the client raised."""
    text = str(error)
    if match := _EXIT_STATUS.search(text):
        status = int(match[1])
        # Modal adds 128 to the number of a signal, as a shell does.
        return ending("the container", 128 - status if status > 128 else status)
    return f"the container ended: {text or type(error).__name__}"
