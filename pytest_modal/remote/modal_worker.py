"""The worker inside a Modal container: requests and replies as bytes, phases as lines in the app's log.

Standard library only; it travels beside `pytest_modal.remote.worker`, which does the work.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import types
from collections.abc import Callable
from typing import Any

from pytest_modal.remote import data
from pytest_modal.remote.debugger import refuse_breakpoints
from pytest_modal.remote.framing import CallRequest, write_message
from pytest_modal.remote.worker import Worker

MARK = "[pytest-modal]"
# Where the Hugging Face hub's downloads are kept, for images and secrets that don't say where.
CACHE = "PYTEST_MODAL_CACHE"


class ModalWorker:
    """Serves one container of an environment.

    Parameters
    ----------
    environment : str
        Name of the Modal Function.
    cancelled : type of exception
        What Modal raises in a function that is timed out.
    recycle : callable
        Makes this container the last one to see it: it ends after the current call.
    """

    def __init__(self, environment: str, cancelled: type[BaseException], recycle: Callable[[], None]) -> None:
        self._environment = environment
        self._cancelled = cancelled
        self._recycle = recycle
        self._call = ""
        # The output of functions is captured; these lines must not be part of it.
        self._log = sys.stderr
        self._interrupted = False
        self._listen_for_interrupts()
        refuse_breakpoints("a container has no terminal")
        if cache := os.environ.pop(CACHE, ""):
            os.environ.setdefault("HF_HOME", cache)
            os.environ.setdefault("HF_XET_HIGH_PERFORMANCE", "1")
        self._worker = Worker(os.environ.get("MODAL_TASK_ID", ""), self._notify, self._is_fatal)
        self._say("ready", self._worker.device.given)

    def run(self, payload: bytes) -> bytes:
        """Run one call; request and reply are as in `pytest_modal.remote.local_worker`."""
        request: CallRequest = data.decode(payload, copy=False)
        self._call = request["call"]["key"]
        self._say("start", f"{self._call} {request['call']['label']}")
        reply, value = self._worker.handle(request)
        if reply["status"] != "missing" and (reply["poisoned"] or request.get("alone")):
            self._recycle()
        packed = io.BytesIO()
        write_message(packed, reply, value)
        return packed.getvalue()

    def close(self) -> None:
        """Release what is left; there is no outcome to report errors with, so they go to the log."""
        for error in self._worker.release_all():
            self._say("teardown", f"{error['type']}: {error['message']}")

    def _notify(self, phase: str, key: str) -> None:
        self._say(phase, f"{self._call} {key}")

    def _say(self, event: str, detail: str) -> None:
        """Write a line that the local side reads from the app's log, and people in `modal app logs`."""
        print(f"{MARK} {event} {self._environment} {detail}", file=self._log, flush=True)

    def _is_fatal(self, error: BaseException) -> bool:
        return isinstance(error, self._cancelled) or self._interrupted

    def _listen_for_interrupts(self) -> None:
        previous = signal.getsignal(signal.SIGINT)

        def handler(number: int, frame: types.FrameType | None) -> Any:
            # Modal ends a container by this signal. A KeyboardInterrupt that a function raises is its outcome.
            self._interrupted = True
            if callable(previous):
                return previous(number, frame)
            raise KeyboardInterrupt

        with contextlib.suppress(ValueError):  # not in the main thread: interrupts don't arrive here
            signal.signal(signal.SIGINT, handler)
