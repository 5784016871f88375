"""State of the process that one call must not leave to the next: environment, directory, settings, random numbers.

Each call begins as in a fresh process, in which only the container fixtures that it uses have been built: what a
fixture sets while it is built (an environment variable, the default dtype, a seed) holds for its users, and for nobody
else. So a result does not depend on which other calls ran before.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pytest_modal.remote.imports import ImportWatch

_ENVIRONMENT = "environment variable "
_FRESH = object()  # random numbers as in a fresh process


class _Setting(NamedTuple):
    """A setting of a module: how to read it and how to set it again."""

    module: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], object]


class _Stream(NamedTuple):
    """A source of random numbers of a module.

    Attributes
    ----------
    begin : callable
        Makes it what it is in a fresh process.
    """

    module: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], object]
    begin: Callable[[Any], object]
    seed: Callable[[Any, int], object]


_SETTINGS = {
    "directory": _Setting("os", lambda _: str(Path.cwd()), lambda _, path: os.chdir(path)),
    "floating-point errors of numpy": _Setting(
        "numpy", lambda numpy: numpy.geterr(), lambda numpy, settings: numpy.seterr(**settings)
    ),
    "default dtype": _Setting(
        "torch", lambda torch: torch.get_default_dtype(), lambda torch, dtype: torch.set_default_dtype(dtype)
    ),
    "default device": _Setting(
        "torch",
        lambda torch: str(torch.get_default_device()),
        # Setting the CPU would make each function that makes a tensor slower.
        lambda torch, device: torch.set_default_device(None if device == "cpu" else device),
    ),
    "grad mode": _Setting(
        "torch", lambda torch: torch.is_grad_enabled(), lambda torch, enabled: torch.set_grad_enabled(enabled)
    ),
    "deterministic algorithms": _Setting(
        "torch",
        lambda torch: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda torch, modes: torch.use_deterministic_algorithms(modes[0], warn_only=modes[1]),
    ),
    "precision of matrix products": _Setting(
        "torch",
        lambda torch: torch.get_float32_matmul_precision(),
        lambda torch, precision: torch.set_float32_matmul_precision(precision),
    ),
    "deterministic cuDNN": _Setting(
        "torch",
        lambda torch: torch.backends.cudnn.deterministic,
        lambda torch, value: setattr(torch.backends.cudnn, "deterministic", value),
    ),
    "benchmark of cuDNN": _Setting(
        "torch",
        lambda torch: torch.backends.cudnn.benchmark,
        lambda torch, value: setattr(torch.backends.cudnn, "benchmark", value),
    ),
    "threads": _Setting(
        "torch", lambda torch: torch.get_num_threads(), lambda torch, number: torch.set_num_threads(number)
    ),
}


def _read_torch(torch: Any) -> list[bytes]:
    # Of a device that is not in use yet nothing is read: it would be initialised by that.
    states = [torch.get_rng_state()]
    states += torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return [bytes(state.tolist()) for state in states]


def _write_torch(torch: Any, states: list[bytes]) -> None:
    cpu, *devices = (torch.tensor(list(state), dtype=torch.uint8, device="cpu") for state in states)
    torch.set_rng_state(cpu)
    if not devices and torch.cuda.is_initialized():
        # They were not in use when the state was read, but the seed was theirs too.
        torch.cuda.manual_seed_all(torch.initial_seed())
    for index, state in enumerate(devices):
        torch.cuda.set_rng_state(state, index)


_STREAMS = {
    "random": _Stream(
        "random",
        lambda module: module.getstate(),
        lambda module, state: module.setstate(state),
        lambda module: module.seed(),
        lambda module, seed: module.seed(seed),
    ),
    "numpy": _Stream(
        "numpy.random",
        lambda module: _plain(module.get_state(legacy=False)),
        lambda module, state: module.set_state(state),
        lambda module: module.seed(),
        lambda module, seed: module.seed(seed),
    ),
    "torch": _Stream(
        "torch",
        _read_torch,
        _write_torch,
        lambda torch: torch.seed(),
        lambda torch, seed: torch.manual_seed(seed),
    ),
}
# Some versions of torch begin with this seed in each process, others with one that nobody knows.
_TORCH_SEED = 67280421310721


def _plain(state: Any) -> Any:
    """Return a state of numpy's in a form that can be compared."""
    if isinstance(state, dict):
        return {name: _plain(value) for name, value in state.items()}
    return state.tolist() if hasattr(state, "tolist") else state


class State:
    """Gives each call the state that it would have in a fresh process."""

    def __init__(self) -> None:
        self._modules = {name: importlib.import_module(name) for name in ("os", "random")}
        self._kept: dict[str, dict[str, Any]] = {}  # what each container fixture has set, by its key
        self._uses: dict[str, tuple[str, ...]] = {}  # the container fixtures that it uses itself
        self._begun: dict[str, Any] = {}  # random numbers that nobody has drawn from since they were begun
        self._entered: dict[str, Any] = {}
        self._seed: int | None = None
        self._closed = False
        self._before = self._read()
        self._fresh = {**self._before, **dict.fromkeys(self._streams(), _FRESH)}
        self._watch = ImportWatch(("numpy", "numpy.random", "torch"), self._imported)
        self._watch.watch()

    @contextlib.contextmanager
    def building(self, key: str, uses: Iterable[str], seed: int | None) -> Iterator[None]:
        """Give a container fixture its state while it is built; what it sets is kept for its users."""
        self._uses[key] = tuple(dict.fromkeys(each for use in uses for each in (*self._uses.get(use, ()), use)))
        self.enter(self._uses[key], seed)
        self._entered = self._read()
        yield
        self._keep(key, self._entered)

    def _keep(self, key: str, before: dict[str, Any]) -> None:
        now = self._read()
        self._kept[key] = {name: value for name, value in now.items() if before.get(name) != value}
        self._kept[key] |= dict.fromkeys((name for name in before if name not in now), None)

    def loading(self, settings: Iterable[str]) -> None:
        """Begin to fill the modules of a function, some of whose settings may have been made for another one."""
        self.enter(settings)

    @contextlib.contextmanager
    def setting(self, key: str) -> Iterator[None]:
        """Note what a statement of a module sets, which holds for the functions that need it: see `enter`."""
        before = self._read()
        yield
        self._keep(key, before)

    def leaving(self, key: str) -> None:
        """Give a container fixture its state again before what follows its ``yield``, and forget it."""
        self.enter((*self._uses.pop(key, ()), key))
        self._kept.pop(key, None)

    def enter(self, containers: Iterable[str], seed: int | None = None) -> None:
        """Begin a call that uses these container fixtures, each after those that it uses itself."""
        wanted = dict(self._fresh)
        for key in containers:
            wanted |= self._kept.get(key, {})
        self._seed = seed
        self._write(wanted)
        if seed is not None:
            for name, stream in self._streams().items():
                self._begun.pop(name, None)
                stream.seed(self._modules[stream.module], seed)

    def leave(self) -> None:
        """End a call: between two calls the process is as it was found, but for its random numbers."""
        self._write({name: value for name, value in self._before.items() if name not in _STREAMS})

    def close(self) -> None:
        """Leave the process as it was found; a second time changes nothing."""
        if self._closed:
            return
        self._closed = True
        self._watch.close()
        self._write({**self._fresh, **self._before})

    def _imported(self, name: str) -> None:
        before = self._read()
        self._modules[name] = sys.modules[name]
        read = self._read()
        new = {each: value for each, value in read.items() if each not in before}
        # As it is now, right after the import, it is in every fresh process.
        self._fresh |= {each: _FRESH if each in _STREAMS else value for each, value in new.items()}
        if "torch" in new and self._modules[name].initial_seed() == _TORCH_SEED:
            self._fresh["torch"] = new["torch"]
        for each, stream in _STREAMS.items():
            if each in new and self._seed is not None:
                stream.seed(self._modules[name], self._seed)
        self._entered |= {each: value for each, value in self._read().items() if each in new}

    def _streams(self) -> dict[str, _Stream]:
        return {name: stream for name, stream in _STREAMS.items() if stream.module in self._modules}

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = {_ENVIRONMENT + name: value for name, value in os.environ.items()}
        for name, each in (_SETTINGS | _STREAMS).items():
            if each.module in self._modules:
                # A directory may be gone, a version of torch may not have a setting, its device may be of no more use.
                with contextlib.suppress(Exception):
                    found[name] = each.read(self._modules[each.module])
        return found

    def _write(self, wanted: dict[str, Any]) -> None:
        now = self._read()
        for name in now.keys() | wanted.keys():
            value = wanted.get(name)
            if value is not _FRESH and now.get(name) == value:
                continue
            if name.startswith(_ENVIRONMENT):
                _set_variable(name.removeprefix(_ENVIRONMENT), value)
            elif value is _FRESH:
                self._begin(name, now.get(name))
            elif value is not None:
                each = _SETTINGS.get(name) or _STREAMS[name]
                with contextlib.suppress(Exception):
                    each.write(self._modules[each.module], value)

    def _begin(self, name: str, now: Any) -> None:
        if name in self._begun and self._begun[name] == now:
            return
        stream = _STREAMS[name]
        with contextlib.suppress(Exception):
            stream.begin(self._modules[stream.module])
            self._begun[name] = stream.read(self._modules[stream.module])


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
