"""Functions that the doctor sends: each is local, so that it travels by value, and needs the standard library only.

What they print begins with a word by which their lines are found in the app's log; they return bytes.
"""

from __future__ import annotations

import importlib.metadata
import secrets
from collections.abc import Callable
from typing import Any

from pytest_modal.run.modal.entry import PYTHON

GPU = "T4"  # the cheapest
MEMORY_LIMIT = 512  # MiB
MEMORY_TAKEN = 1024
TIME_LIMIT = 2  # seconds
_SCALEDOWN = 10  # seconds that a container is kept, which is paid for
_START_LIMIT = 120


def new_word() -> str:
    """Return a word that no other line of a log has."""
    return f"doctor-{secrets.token_hex(4)}"


def new_image() -> tuple[Any, Callable[[], Any]]:
    """Return an image that was never built before, and what describes the same one again."""
    import modal

    marker = secrets.token_hex(8)

    def described() -> Any:
        image = modal.Image.debian_slim(python_version=PYTHON).env({"PYTEST_MODAL_DOCTOR": marker})
        return image.uv_pip_install(f"cloudpickle=={importlib.metadata.version('cloudpickle')}")

    return described(), described


def new_app(image: Any, names: set[str]) -> tuple[Any, dict[str, Any]]:
    """Return an App, and those of its Functions that have these names; nothing is sent yet."""
    import modal

    app = modal.App("pytest-modal-doctor", tags={"tool": "pytest-modal"}, include_source=False)
    functions = {}
    for name, (code, settings) in _functions().items():
        if name in names:
            common = {"timeout": 60, "startup_timeout": _START_LIMIT, "scaledown_window": _SCALEDOWN}
            every: dict[str, Any] = {**common, "max_containers": 1, "retries": 0, **settings}
            functions[name] = app.function(name=name, serialized=True, image=image, **every)(code)
    return app, functions


def _functions() -> dict[str, tuple[Callable[..., bytes], dict[str, Any]]]:
    wait = _wait()
    return {
        "probe": (_probe(), {}),
        "gpu": (_gpu(), {"gpu": GPU, "scaledown_window": 2}),
        "crash": (_crash(), {}),
        "memory": (_memory(), {"memory": (128, MEMORY_LIMIT)}),
        "timeout": (wait, {"timeout": TIME_LIMIT}),
        "wait": (wait, {}),
    }


def _probe() -> Callable[..., bytes]:
    def probe(word: str, payload: bytes = b"", lines: int = 0, interval: float = 0.0, sleep: float = 0.0) -> bytes:
        import importlib.util
        import json
        import os
        import sys
        import time

        for number in range(lines):
            print(f"{word} line {number}", flush=True)
            time.sleep(interval)
        time.sleep(sleep)
        head = {
            "container": os.environ.get("MODAL_TASK_ID", ""),
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            "project": importlib.util.find_spec("pytest_modal") is not None,
        }
        return json.dumps(head).encode() + b"\n" + payload

    return probe


def _gpu() -> Callable[..., bytes]:
    def gpu(word: str, bundle: bytes) -> bytes:
        import sys
        import tempfile
        from pathlib import Path

        print(f"{word} begun", flush=True)
        archive = Path(tempfile.mkdtemp(), "worker.zip")
        archive.write_bytes(bundle)
        sys.path.insert(0, str(archive))
        from pytest_modal.remote.device import Device

        return Device().given.encode()

    return gpu


def _crash() -> Callable[..., bytes]:
    def crash(word: str) -> bytes:
        import os
        import signal
        import time

        print(f"{word} begun", flush=True)
        time.sleep(0.3)  # for the line to get out
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    return crash


def _memory() -> Callable[..., bytes]:
    def memory(word: str, mebibytes: int) -> bytes:
        import time

        print(f"{word} begun", flush=True)
        time.sleep(0.3)  # for the line to get out
        taken = []
        for _ in range(mebibytes // 32):
            taken.append(b"\x01" * (32 << 20))
            time.sleep(0.05)
        return str(len(taken)).encode()

    return memory


def _wait() -> Callable[..., bytes]:
    def wait(word: str, seconds: float) -> bytes:
        import os
        import time

        container = os.environ.get("MODAL_TASK_ID", "")
        print(f"{word} begun {container}", flush=True)
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                time.sleep(0.1)
        except BaseException as error:
            print(f"{word} raised {type(error).__name__}", flush=True)
            raise
        return container.encode()

    return wait
