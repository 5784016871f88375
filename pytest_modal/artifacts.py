"""What a test leaves behind: ``output_dir``, ``save_csv``, ``save_figure``, ``save_json``, the run's index.

Each test has one directory, ``<root>/<module path>/<class>/<test[param]>``. No test's directory is, or lies
inside, another's: emptying one before its test writes can only delete what that same test wrote earlier.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import numbers
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, TypedDict

import pytest

from pytest_modal.gate.errors import three_parts as _message
from pytest_modal.names import LONGEST_NAME as LONGEST_NAME
from pytest_modal.names import safe_name as _safe
from pytest_modal.names import short_digest as _digest

if TYPE_CHECKING:
    import pandas

__tracebackhide__ = True  # in all of the module: what went wrong is at the line of the test

DEFAULT_ROOT = "modal_output"


class Artifact(TypedDict):
    """One file that a test wrote, as it stands in ``artifacts.json``."""

    path: str  # relative to the output root, with forward slashes
    test: str  # its node id
    kind: str  # "csv", "figure", "json"; "file" when the test wrote it by itself
    bytes: int


ARTIFACTS = pytest.StashKey[list[Artifact]]()  # of an item: what its test saved
WRITTEN = pytest.StashKey[list[Artifact]]()  # of the config: what all tests of the run left
SCRATCH = pytest.StashKey[Path]()  # of an item: the root while what its test writes isn't kept
_DIRECTORY = pytest.StashKey[Path]()
_LAYOUT = pytest.StashKey[dict[pytest.Item, str]]()


def output_root(config: pytest.Config) -> Path:
    """Return the directory under which every test has its own; nothing is created."""
    # Precedence: command line, environment variable, ini, default.
    chosen: str = (
        config.getoption("modal_output_dir", None)
        or os.environ.get("PYTEST_MODAL_OUTPUT_DIR")
        or config.getini("modal_output_dir")
        or DEFAULT_ROOT
    )
    root = Path(os.path.normpath(config.rootpath / Path(chosen).expanduser()))
    if root == config.rootpath:
        what = "the output directory is the rootdir, where emptying a test's directory could delete sources"
        where = f"{root}, from --modal-output-dir, PYTEST_MODAL_OUTPUT_DIR or the ini modal_output_dir"
        raise pytest.UsageError(_message(what, where, f"choose a directory in it, such as {DEFAULT_ROOT}"))
    return root


def root_of(item: pytest.Item) -> Path:
    """Return the directory below which a test's own lies."""
    return item.stash.get(SCRATCH, None) or output_root(item.config)


def _wanted(item: pytest.Item) -> PurePosixPath:
    """Return the directory, relative to the root, that the test has unless another one is in its way."""
    module = item.path.with_suffix("")
    # Beside a package `test_x/`, the module `test_x.py` keeps its suffix: its test `test_a` must not share a
    # directory with the module `test_x/test_a.py`.
    if item.path.suffix != ".py" or module.exists():
        module = item.path
    names = PurePath(os.path.relpath(module, item.config.rootpath)).parts
    outer = pytest.Session | pytest.Directory | pytest.File
    inner = [node.name for node in item.listchain() if not isinstance(node, outer)]
    return PurePosixPath(*map(_safe, (*names, *inner)))


def _ignores_case(directory: Path) -> bool:
    return Path(str(directory).swapcase()).exists()


def _layout(session: pytest.Session) -> dict[pytest.Item, str]:
    """Return the directory of every selected test, relative to the root: none equal, none inside another."""
    fold = str.casefold if _ignores_case(session.config.rootpath) else str
    wanted = {item: _wanted(item) for item in session.items}
    heads = {path.parent for path in wanted.values()}
    taken = {fold(str(path)) for head in heads for path in (head, *head.parents)}
    layout = {}
    # Sorted, so that shuffling changes nothing. Equal node ids stay in their order, the same in all workers.
    for item, path in sorted(wanted.items(), key=lambda entry: entry[0].nodeid):
        free, attempt = str(path), 0
        while fold(free) in taken:
            attempt += 1
            free = f"{path}-{_digest(f'{item.nodeid} {attempt}')}"
        taken.add(fold(free))
        layout[item] = free
    return layout


def _make_empty(directory: Path, root: Path, test: str) -> None:
    try:
        for step in (directory, *directory.parents):
            if step.is_relative_to(root) and step != root and step.is_symlink():
                raise OSError(f"{step} is a symbolic link, and what is behind it isn't the test's to empty")
        directory.mkdir(parents=True, exist_ok=True)
        for entry in directory.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    except OSError as error:
        what = f"can't make an empty directory for the test: {error}"
        remedy = "remove what is in the way, make it writable, or choose another --modal-output-dir"
        raise OSError(_message(what, f"{test}, {directory}", remedy)) from None


@contextlib.contextmanager
def _atomic(path: Path) -> Iterator[Path]:
    """Give a path to write to, which replaces `path` when all went well and is gone when not."""
    # Of the same name, in a directory beside: suffixes tell writers the format, and archives store the name.
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as scratch:
        draft = Path(scratch, path.name)
        yield draft
        draft.replace(path)


def _artifact(path: Path, root: Path, test: str, kind: str) -> Artifact:
    return Artifact(path=path.relative_to(root).as_posix(), test=test, kind=kind, bytes=path.stat().st_size)


def _write_json(path: Path, data: object) -> None:
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # Half a surrogate pair has no UTF-8; Python's escape for it is also JSON's.
    path.write_bytes(text.encode("utf-8", "backslashreplace"))


def _table(rows: Any, columns: Any, where: str) -> pandas.DataFrame:
    import pandas

    if isinstance(rows, pandas.DataFrame):
        return rows
    try:
        if isinstance(rows, Mapping):
            for column, values in rows.items():
                if isinstance(values, Mapping):
                    raise ValueError(f"column {column!r} is a dict, whose keys would be lost")
            lengths = {name: len(values) for name, values in rows.items() if isinstance(values, list | tuple)}
            if len(set(lengths.values())) > 1:
                raise ValueError(f"its columns differ in length, {lengths}")
            return pandas.DataFrame(rows)
        rows = list(rows)
        for index, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise ValueError(f"rows[{index}] is of type {type(row).__name__}, not a dict")
        return pandas.DataFrame(rows, columns=None if rows else columns)
    except (TypeError, ValueError) as error:
        remedy = "give a list of dicts, a DataFrame (`series.to_frame()`), or a dict of equally long columns"
        raise ValueError(_message(f"not a table: {error}", where, remedy)) from None


def _plain(value: Any, where: str) -> Any:
    """Return `value` in JSON's own types; `where` is its path, for the message."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, numbers.Integral):  # numpy registers its own
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        if math.isinf(number):
            return "Infinity" if number > 0 else "-Infinity"
        return None if math.isnan(number) else number
    if isinstance(value, Mapping):
        plain: dict[str, Any] = {}
        for key, inner in value.items():
            if not (key is None or isinstance(key, str | numbers.Real)):
                raise TypeError(_message(f"JSON has no key such as {key!r}", where, "make it text: str(key)"))
            name = key if isinstance(key, str) else json.dumps(_plain(key, where))
            if name in plain:
                raise ValueError(_message(f"two keys are {name!r} as text", where, "make them differ"))
            plain[name] = _plain(inner, f"{where}[{json.dumps(name)}]")
        return plain
    if isinstance(value, list | tuple):
        return [_plain(inner, f"{where}[{index}]") for index, inner in enumerate(value)]
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        # A list would lose the unit of times and the names of fields; complex numbers have no JSON.
        if value.dtype.kind not in "mMVc":
            return _plain(value.tolist(), where)
        what = f"numpy {value.dtype}"
    else:
        what = f"{type(value).__module__}.{type(value).__qualname__}"
    remedy = "convert it first: .tolist(), .to_dict(), sorted(...), dataclasses.asdict(...), str(...)"
    raise TypeError(_message(f"JSON has no {what}", where, remedy))


def open_figures() -> set[int]:
    """Return the numbers of pyplot's open figures; pyplot is not imported for it."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    return set(pyplot.get_fignums()) if pyplot is not None else set()


@dataclasses.dataclass(frozen=True)
class Saver:
    """Writes files of the test `test` into `directory`, below `root`, and notes them in `saved`.

    A name may have subdirectories, which are made. A name that would leave `directory` is a ValueError.
    """

    directory: Path
    root: Path
    test: str
    saved: list[Artifact]

    def _target(self, name: str | os.PathLike[str]) -> tuple[Path, str]:
        """Return the path of the file `name`, and where that is for a message."""
        # Read as on Windows, where both slashes separate, so that a name means the same everywhere.
        parts = PureWindowsPath(name)
        path = self.directory.joinpath(*parts.parts)
        where = f"{self.test}, {path}"
        if parts.drive or parts.root or ".." in parts.parts or not parts.name:
            what = "isn't the name of a file in output_dir"
        elif not path.resolve().is_relative_to(self.directory.resolve()):
            what = "leads out of output_dir through a symbolic link"
        else:
            return path, where
        remedy = 'give a relative name without "..", such as "results.csv" or "plots/timing.png"'
        raise ValueError(_message(f"{os.fspath(name)!r} {what}", where, remedy))

    @contextlib.contextmanager
    def _writing(self, path: Path, kind: str) -> Iterator[Path]:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _atomic(path) as draft:
            yield draft
        artifact = _artifact(path, self.root, self.test, kind)
        self.saved[:] = [earlier for earlier in self.saved if earlier["path"] != artifact["path"]]
        self.saved.append(artifact)

    def csv(self, name: str | os.PathLike[str], rows: Any, **to_csv: Any) -> pandas.DataFrame:
        """Write a table as CSV (compressed if the name ends in ``.gz``) and return it as a DataFrame.

        Parameters
        ----------
        rows
            List of dicts (a key that one of them lacks is an empty field), DataFrame, or mapping of equally
            long columns; else a ValueError. No rows give a file all the same, with a header if the columns
            are known: a DataFrame and a mapping tell them, ``columns=[...]`` does for a list.
        **to_csv
            Options of ``DataFrame.to_csv``. The index is left out unless ``index=True``.
        """
        path, where = self._target(name)
        if "mode" in to_csv:
            remedy = "save all rows at once, or each part under its own name"
            raise ValueError(_message("a CSV is written whole, without mode=", where, remedy))
        table = _table(rows, to_csv.get("columns"), where)
        with self._writing(path, "csv") as draft:
            table.to_csv(draft, **{"index": False, **to_csv})
        return table

    def figure(self, name: str | os.PathLike[str], figure: Any = None, dpi: float = 300) -> Path:
        """Write a figure in the format of the name's suffix, close it, and return the path.

        Parameters
        ----------
        figure
            A matplotlib figure, or anything with ``savefig`` (a seaborn grid); pyplot's current figure by
            default. The picture's edges fit what is drawn, so that no label or legend is cut off.
            Anything else, such as an Axes, is a TypeError; so is None when no figure is open.
        """
        path, where = self._target(name)
        pyplot = sys.modules.get("matplotlib.pyplot")
        if figure is None or figure is pyplot:
            figure = pyplot.gcf() if pyplot is not None and pyplot.get_fignums() else None
        if not callable(getattr(figure, "savefig", None)):
            what = "no figure is open" if figure is None else f"no figure: {type(figure).__name__}"
            remedy = "draw first, or pass the figure (of an Axes: ax.figure); one that was saved is closed"
            raise TypeError(_message(what, where, remedy))
        drawn = getattr(figure, "figure", figure)  # a seaborn grid has one, a figure is its own
        if hasattr(drawn, "canvas"):
            formats = drawn.canvas.get_supported_filetypes()
            if path.suffix[1:].lower() not in formats:
                remedy = f"end the name in one of {', '.join(f'.{known}' for known in sorted(formats))}"
                raise ValueError(_message(f"no known image format: {path.suffix!r}", where, remedy))
        with self._writing(path, "figure") as draft:
            figure.savefig(draft, dpi=dpi, bbox_inches="tight")
        if pyplot is not None and isinstance(drawn, pyplot.Figure):
            pyplot.close(drawn)
        return path

    def json(self, name: str | os.PathLike[str], data: Any) -> Path:
        """Write data as JSON that any reader takes, in its own order, and return the path.

        Parameters
        ----------
        data
            Dicts, lists, tuples, text, numbers, booleans, None, numpy scalars and arrays (as lists); else a
            TypeError that names its path. Keys that are no text become text. NaN is ``null``, as pandas and
            JavaScript write a missing number. Infinities aren't missing: they are ``"Infinity"`` and
            ``"-Infinity"``, which ``float()`` reads.
        """
        path, where = self._target(name)
        try:
            plain = _plain(data, f"{where}, data")
        except RecursionError:
            what = "the data contains itself, or is nested too deep"
            raise ValueError(_message(what, where, "save a copy without the reference back")) from None
        with self._writing(path, "json") as draft:
            _write_json(draft, plain)
        return path


def own_directory(item: pytest.Item) -> Path:
    """Return the directory of a test, empty."""
    if _LAYOUT not in item.session.stash:
        item.session.stash[_LAYOUT] = _layout(item.session)
    root = root_of(item)
    directory = root / item.session.stash[_LAYOUT][item]
    _make_empty(directory, root, item.nodeid)
    item.stash[_DIRECTORY] = directory
    item.stash[ARTIFACTS] = []
    return directory


def saver(item: pytest.Item, directory: Path) -> Saver:
    """Return what writes into the ``output_dir`` of a test."""
    return Saver(directory, root_of(item), item.nodeid, item.stash[ARTIFACTS])


def collect(item: pytest.Item) -> list[Artifact]:
    """Return the files that are in the test's directory now, saved or written by hand; [] if it has none."""
    if _DIRECTORY not in item.stash:
        return []
    root = root_of(item)
    kinds = {artifact["path"]: artifact["kind"] for artifact in item.stash[ARTIFACTS]}
    found = []
    for folder, _, names in os.walk(item.stash[_DIRECTORY]):
        for path in (Path(folder, name) for name in names):
            kind = kinds.get(path.relative_to(root).as_posix(), "file")
            # A file may vanish meanwhile: a thread of the test may still be at work.
            with contextlib.suppress(FileNotFoundError):
                if not path.is_symlink():
                    found.append(_artifact(path, root, item.nodeid, kind))
    return sorted(found, key=lambda artifact: artifact["path"])


def write_index(root: Path, entries: Iterable[Mapping[str, Any]]) -> Path | None:
    """Write ``artifacts.json``: what this run wrote, and nothing from earlier runs.

    Of a test that ran again, only what its last run wrote is there to list. A run that wrote nothing leaves
    the index as it is, and gets None.
    """
    artifacts = {entry["path"]: dict(entry) for entry in entries if (root / entry["path"]).is_file()}
    if not artifacts:
        return None
    index = root / "artifacts.json"
    write_record(index, {"schema": 1, "artifacts": [artifacts[path] for path in sorted(artifacts)]})
    return index


def read_index(config: pytest.Config) -> tuple[list[Artifact], str]:
    """Return what ``artifacts.json`` lists of this run, and the path of that file as it is shown."""
    index = output_root(config) / "artifacts.json"
    listed: list[Artifact] = []
    if config.stash[WRITTEN] and index.exists():
        listed = json.loads(index.read_text(encoding="utf-8"))["artifacts"]
    shown = index.relative_to(config.rootpath).as_posix() if index.is_relative_to(config.rootpath) else str(index)
    return listed, shown


def write_record(path: Path, record: object) -> None:
    """Write plain data as JSON, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _atomic(path) as draft:
        _write_json(draft, record)
