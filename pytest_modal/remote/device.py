"""The GPU of a process: which one it is, what a call used of it, whether it still works."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import subprocess
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from pytest_modal.remote.framing import Machine

# Libraries that compute on a GPU besides torch. torch's own counters show what each call used; theirs are not read.
_OTHERS = {"cupy", "jax", "numba.cuda", "pycuda", "tensorflow"}
# Bytes that a card shows as taken when nobody computes on it.
_IDLE_MEMORY = 1 << 30


class Use(NamedTuple):
    """The device that a call used ("cpu" without a GPU), its peak memory in bytes, whether a fault made it unusable."""

    device: str
    peak_memory: int
    poisoned: bool


class Card(NamedTuple):
    """The GPU of a process, as its driver reports it: name and version of the driver, empty without one; bytes."""

    name: str = ""
    driver: str = ""
    memory: int | None = None


class Device:
    """Watches the GPU from call to call.

    Parameters
    ----------
    card : Card or None
        Which one it is, where that is known already.
    """

    def __init__(self, card: Card | None = None) -> None:
        self._name = ""
        self._card = card
        self._allocations = 0
        self._told: Machine | None = None

    @property
    def card(self) -> Card:
        """The GPU that this process has."""
        if self._card is None:
            self._card = Card() if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") else _card()
        return self._card

    @property
    def given(self) -> str:
        """The name of the GPU that this process has, as its driver reports it; empty without one."""
        return self.card.name

    def news(self) -> Machine | None:
        """Return what is known of the machine, if that is more than the last time; nothing is imported for it."""
        torch = sys.modules.get("torch")
        if self._told is not None and (torch is None or self._told["torch"]):
            return None
        try:
            version, cuda = str(torch.__version__), str(torch.version.cuda or "")  # type: ignore[union-attr]
        except Exception:  # not there, not imported to its end, or something else of that name
            version = cuda = ""
        if self._told is not None and not version:
            return None
        name, driver, memory = self.card
        python = sys.version.partition(" ")[0]
        self._told = Machine(python=python, torch=version, cuda=cuda, driver=driver, gpu=name, memory=memory)
        return self._told

    def begin(self) -> None:
        """Begin to count, before a call and what it loads first."""
        self._allocations = _allocations()

    def reset_peak(self) -> None:
        """Begin to measure the peak of the memory."""
        with contextlib.suppress(Exception):
            for torch, index in _used_by_torch():
                torch.cuda.reset_peak_memory_stats(index)

    def wait(self) -> None:
        """Wait for the device; its errors since the last wait are raised here."""
        for torch, index in _used_by_torch():
            torch.cuda.synchronize(index)

    def look(self) -> Use:
        """Return what was used since `begin`."""
        try:
            self.wait()
            names = dict.fromkeys(torch.cuda.get_device_name(index) for torch, index in _used_by_torch())
        except Exception:
            # After a device-side assert every CUDA call fails, until the end of the process.
            return Use(self._name or self.given or "cuda", _peak_allocated(), poisoned=True)
        try:
            return self._use(names)
        except Exception:  # a diagnostic must not decide what becomes of a call
            return Use(self.given or "cpu", 0, poisoned=False)

    def _use(self, names: Iterable[str]) -> Use:
        self._name = ", ".join(names) or self._name
        if self._name and _allocations() > self._allocations:
            return Use(self._name, _peak_allocated(), poisoned=False)
        device = (self.given or self._name) if self._is_used_otherwise() else "cpu"
        return Use(device, _peak_resident(), poisoned=False)

    def _is_used_otherwise(self) -> bool:
        if not _OTHERS.isdisjoint(sys.modules):
            return _has_context()
        # torch has a context once it has computed there, in whichever call that was.
        return _torch() is None and bool(self.given) and (_has_context() or _memory_in_use() > _IDLE_MEMORY)


def free_memory() -> None:
    """Collect garbage, and free what torch has cached of the GPU's memory."""
    with contextlib.suppress(Exception):
        gc.collect()
    torch = _torch()
    if torch is not None:
        with contextlib.suppress(Exception):
            torch.cuda.empty_cache()


def _torch() -> Any:
    """Return torch if it has begun to use CUDA: nothing is imported or initialised to find out."""
    try:
        torch = sys.modules.get("torch")
        cuda = getattr(torch, "cuda", None)
        return torch if cuda is not None and cuda.is_initialized() else None
    except Exception:  # something else of that name
        return None


def _used_by_torch() -> list[tuple[Any, int]]:
    """Return torch with the index of each device on which it has memory; asking about others would use memory there."""
    torch = _torch()
    if torch is None:
        return []
    return [(torch, index) for index in range(torch.cuda.device_count()) if torch.cuda.memory_reserved(index)]


def _allocations() -> int:
    torch = _torch()
    if torch is None:
        return 0
    stats = (torch.cuda.memory_stats(index) for index in range(torch.cuda.device_count()))
    try:
        return sum(each.get("allocation.all.allocated", 0) for each in stats)
    except Exception:  # as above
        return 0


def _peak_allocated() -> int:
    try:
        return sum(torch.cuda.max_memory_allocated(index) for torch, index in _used_by_torch())
    except Exception:  # as above
        return 0


def _peak_resident() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def _card() -> Card:
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return Card()
    rows = [[part.strip() for part in line.split(",")] for line in answer.splitlines() if line.strip()]
    if not rows:
        return Card()
    names = ", ".join(dict.fromkeys(row[0] for row in rows))
    _, *driver, memory = rows[0] if len(rows[0]) > 1 else [*rows[0], ""]
    mebibytes = memory.partition(" ")[0]
    return Card(names, ", ".join(driver), int(mebibytes) << 20 if mebibytes.isdecimal() else None)


def _has_context() -> bool:
    """Whether anything in this process computes with CUDA: a library has opened a device, whichever library it is."""
    try:
        driver = ctypes.CDLL("libcuda.so.1", mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except (OSError, AttributeError):  # not loaded, or a system without the flag
        return False
    count, flags, active = ctypes.c_int(), ctypes.c_uint(), ctypes.c_int()
    if driver.cuDeviceGetCount(ctypes.byref(count)):
        return False
    for index in range(count.value):
        if not driver.cuDevicePrimaryCtxGetState(index, ctypes.byref(flags), ctypes.byref(active)) and active.value:
            return True
    return False


def _memory_in_use() -> int:
    """Return the bytes that are taken on all devices, by whichever process: a call may compute in children."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return 0
    if library.nvmlInit_v2():
        return 0
    taken, count = 0, ctypes.c_uint()
    try:
        library.nvmlDeviceGetCount_v2(ctypes.byref(count))
        for index in range(count.value):
            handle, memory = ctypes.c_void_p(), (ctypes.c_ulonglong * 3)()  # total, free, used
            if not library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)):
                library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
                taken += memory[2]
    finally:
        library.nvmlShutdown()
    return taken
