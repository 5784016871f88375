"""Files that a call really writes and that are lost with the container.

Python's audit events report every file that is opened from Python; what libraries write from C (`torch.save`,
parquet) is seen where it is new in the working directory.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

KEPT = 20  # paths of a call that are reported
_LIMIT = 10_000  # paths of a call that are remembered
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CACHES = (
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_DATASETS_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "TRANSFORMERS_CACHE",
    "TORCH_HOME",
    "TORCHINDUCTOR_CACHE_DIR",
    "TORCH_EXTENSIONS_DIR",
    "TRITON_CACHE_DIR",
    "TRITON_HOME",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "MPLCONFIGDIR",
    "NUMBA_CACHE_DIR",
    "CUDA_CACHE_PATH",
    "VLLM_CACHE_ROOT",
    "FLASHINFER_WORKSPACE_BASE",
    "NLTK_DATA",
    "PYTHONPYCACHEPREFIX",
)
_HOME_CACHES = (".cache", ".config", ".local", ".triton", ".nv", ".keras", ".cupy", "nltk_data", ".torch", ".ipython")
_SYSTEM = ("/dev", "/proc", "/sys", "/run", "/var", "/etc", "/usr", "/opt")

_recorded: dict[str, None] | None = None  # of the call that runs now
_temporary: list[str] = []  # directories that calls have made with `tempfile`
_installed = False


def _notice(event: str, arguments: tuple[object, ...]) -> None:
    # Runs at every audit event of the process: it decides by the name first, and never raises.
    if event == "open":
        if _recorded is not None and len(arguments) == 3 and _is_writing(arguments[2]):
            _remember(arguments[0])
    elif event == "os.rename" and _recorded is not None:
        _remember(arguments[1])
    elif event == "tempfile.mkdtemp" and _recorded is not None and len(_temporary) < _LIMIT:
        with contextlib.suppress(OSError, ValueError, TypeError):
            _temporary.append(os.path.abspath(os.fsdecode(arguments[0])))  # type: ignore[arg-type]  # noqa: PTH100


def _is_writing(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & _WRITING)


def _remember(path: object) -> None:
    if _recorded is not None and isinstance(path, str | bytes | os.PathLike) and len(_recorded) < _LIMIT:
        with contextlib.suppress(OSError, ValueError, TypeError):
            _recorded[os.path.abspath(os.fsdecode(path))] = None  # noqa: PTH100


@contextlib.contextmanager
def watching(mounts: Iterable[str] = ()) -> Iterator[list[str]]:
    """Yield a list that holds, after the block, the files that were written in it and are lost.

    Parameters
    ----------
    mounts : iterable of str
        Paths of volumes: what is written there stays.
    """
    global _recorded, _installed
    if not _installed:
        sys.addaudithook(_notice)
        _installed = True
    found: list[str] = []
    # The call may go elsewhere, and what lies there is not its own; it may also delete the directory that it is in.
    home = _working_directory()
    before = _listing(home)
    _recorded = {}
    try:
        yield found
    finally:
        written, _recorded = _recorded, None
        written |= {str(Path(home, name)): None for name in sorted(_listing(home) - before)}
        # Without a working directory relative paths lead nowhere; a call doesn't fail for what is only reported.
        with contextlib.suppress(OSError, RuntimeError):
            found += _lost(written, home, list(mounts)) if written else ()


def _working_directory() -> str:
    """Return the working directory; an earlier call may have deleted it, then empty."""
    try:
        return os.path.realpath(Path.cwd())
    except OSError:
        return ""


def _listing(directory: str) -> set[str]:
    if not directory:
        return set()
    try:
        return {entry.name for entry in os.scandir(directory) if entry.is_file(follow_symlinks=False)}
    except OSError:
        return set()


def _lost(written: Iterable[str], here: str, mounts: list[str]) -> list[str]:
    """Return those that still exist and are neither scratch files nor kept; those below `here` relative to it."""
    kept = [os.path.realpath(Path(here, path)) for path in [*mounts, *_temporary]]
    scratch = [os.path.realpath(Path(here, path)) for path in _scratch()]
    lost = []
    for path in written:
        real = os.path.realpath(path)
        # The working directory itself may lie in a temporary one: locally it does.
        below = bool(here) and _below(real, here)
        inside = below and not any(_below(root, here) and _below(real, root) for root in scratch)
        if any(_below(real, root) for root in kept) or "__pycache__" in Path(real).parts:
            continue
        if (inside or not any(_below(real, root) for root in scratch)) and Path(real).is_file():
            lost.append(os.path.relpath(real, here) if inside else path)
    return list(dict.fromkeys(lost))[:KEPT]


def _scratch() -> list[str]:
    home = Path.home()
    named = [value for name in _CACHES if (value := os.environ.get(name))]
    installed = [sys.prefix, sys.base_prefix]
    below_home = [str(home / name) for name in _HOME_CACHES]
    return [tempfile.gettempdir(), "/tmp", "/var/tmp", *_SYSTEM, *named, *installed, *below_home]


def _below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)
