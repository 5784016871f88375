"""Writers of CSVs, figures and JSON into a test's ``output_dir``."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import json
import math
import numbers
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modal.local.output_dir import ARTIFACTS, Artifact, artifact_of, root_of
from pytest_modal.store.files import atomic_path, write_json
from pytest_modal.wording import shown_path, three_parts

__tracebackhide__ = True  # in all of the module: what went wrong is at the line of the test


if TYPE_CHECKING:
    import pandas


def _table(rows: Any, columns: Any, where: str) -> pandas.DataFrame:
    import pandas

    if isinstance(rows, pandas.DataFrame):
        return rows
    try:
        if isinstance(rows, Mapping):
            for column, values in rows.items():
                if isinstance(values, Mapping):
                    raise ValueError(f"column {column!r} is a dict, and its keys would be lost")
            lengths = {name: len(values) for name, values in rows.items() if isinstance(values, list | tuple)}
            if len(set(lengths.values())) > 1:
                raise ValueError(f"the columns differ in length: {lengths}")
            return pandas.DataFrame(rows)
        rows = list(rows)
        for index, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise ValueError(f"rows[{index}] is of type {type(row).__name__}, not dict")
        return pandas.DataFrame(rows, columns=None if rows else columns)
    except (TypeError, ValueError) as error:
        remedy = "pass a list of dicts, a DataFrame (`series.to_frame()`), or a dict of equally long columns"
        raise ValueError(three_parts(f"the rows are not a table: {error}", where, remedy)) from None


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
                raise TypeError(three_parts(f"{key!r} can't be a key in JSON", where, "convert the key: str(key)"))
            name = key if isinstance(key, str) else json.dumps(_plain(key, where))
            if name in plain:
                raise ValueError(three_parts(f"two keys become {name!r} in JSON", where, "rename one of them"))
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
    raise TypeError(three_parts(f"{what} can't be written as JSON", where, remedy))


def open_figures() -> set[int]:
    """Return the numbers of pyplot's open figures; pyplot is not imported for it."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    return set(pyplot.get_fignums()) if pyplot is not None else set()


@dataclasses.dataclass(frozen=True)
class Saver:
    """Writes files of the test `test` into `directory`, below `root`, and notes them in `saved`.

    A name may have subdirectories, which are made. A name that would leave `directory` is a ValueError, one
    that is no name a TypeError. `shown` is how the directory is shown.
    """

    directory: Path
    root: Path
    test: str
    saved: list[Artifact]
    shown: str = ""

    def _target(self, name: str | os.PathLike[str]) -> tuple[Path, str]:
        """Return the path of the file `name`, and where that is for a message."""
        if not isinstance(name, str | os.PathLike):
            what = f"the first argument is the name of a file, and is of type {type(name).__name__}"
            remedy = 'put the name first, as in save_csv("results.csv", rows) or save_figure("plot.png", figure)'
            raise TypeError(three_parts(what, f"{self.test}, {self.shown or self.directory}", remedy))
        # Read as on Windows, where both slashes separate, so that a name means the same everywhere.
        parts = PureWindowsPath(name)
        is_directory = os.fspath(name).endswith(("/", "\\"))
        path = self.directory.joinpath(*parts.parts)
        where = f"{self.test}, {path}"
        if parts.drive or parts.root or ".." in parts.parts or not parts.name or is_directory:
            what = "is not the name of a file in output_dir"
        elif not path.resolve().is_relative_to(self.directory.resolve()):
            what = "leads out of output_dir through a symbolic link"
        else:
            return path, where
        remedy = 'use a relative name without "..", such as "results.csv" or "plots/timing.png"'
        raise ValueError(three_parts(f"{os.fspath(name)!r} {what}", where, remedy))

    @contextlib.contextmanager
    def _writing(self, path: Path, kind: str) -> Iterator[Path]:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as draft:
            yield draft
        self._note(path, kind)

    def _note(self, path: Path, kind: str) -> None:
        artifact = artifact_of(path, self.root, self.test, kind)
        self.saved[:] = [earlier for earlier in self.saved if earlier["path"] != artifact["path"]]
        self.saved.append(artifact)

    def csv(self, name: str | os.PathLike[str], rows: Any, **to_csv: Any) -> pandas.DataFrame:
        """Write a table as CSV (compressed if the name ends in ``.gz``) and return it as a DataFrame.

        Parameters
        ----------
        rows
            List of dicts (a key that one of them lacks is an empty field), DataFrame, or mapping of equally
            long columns; else a ValueError. A file is written without rows too, with a header if the columns
            are known: from a DataFrame or a mapping, or from ``columns=[...]`` for a list.
        **to_csv
            Options of ``DataFrame.to_csv``. The index is left out unless ``index=True``.
        """
        path, where = self._target(name)
        if "mode" in to_csv:
            remedy = "save all rows at once, or each part under its own name"
            raise ValueError(three_parts("mode= can't be set: a CSV is always written whole", where, remedy))
        table = _table(rows, to_csv.get("columns"), where)
        with self._writing(path, "csv") as draft:
            table.to_csv(draft, **{"index": False, **to_csv})
        return table

    def plain_csv(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Write rows of text and numbers, which all have the same columns, without importing pandas for it."""
        path, _ = self._target(name)
        # Half a surrogate pair has no UTF-8.
        options: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
        with self._writing(path, "csv") as draft, draft.open("w", **options) as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return path

    def figure(self, name: str | os.PathLike[str], figure: Any = None, dpi: float | str = 300, **savefig: Any) -> Path:
        """Write a figure in the format of the name's suffix, close it, and return the path.

        Parameters
        ----------
        figure
            A matplotlib figure, or anything with ``savefig`` (a seaborn grid); pyplot's current figure by
            default. Anything else, such as an Axes, is a TypeError; so is None when no figure is open.
        dpi
            Dots per inch: the picture has the figure's own size (``figsize``) times this. "figure" is the
            figure's own.
        **savefig
            Options of ``Figure.savefig``, such as ``bbox_inches="tight"``; otherwise matplotlib's settings decide.
        """
        path, where = self._target(name)
        pyplot = sys.modules.get("matplotlib.pyplot")
        if figure is None or figure is pyplot:
            figure = pyplot.gcf() if pyplot is not None and pyplot.get_fignums() else None
        if not callable(getattr(figure, "savefig", None)):
            what = "no figure is open" if figure is None else f"{type(figure).__name__} is not a figure: no savefig"
            remedy = "plot first, or pass the figure (ax.figure for an Axes); save_figure closes what it has saved"
            raise TypeError(three_parts(what, where, remedy))
        drawn = getattr(figure, "figure", figure)  # a seaborn grid has one, a figure is its own
        if hasattr(drawn, "canvas"):
            formats = drawn.canvas.get_supported_filetypes()
            if "format" not in savefig and path.suffix[1:].lower() not in formats:
                remedy = f"end the name with one of {', '.join(f'.{known}' for known in sorted(formats))}"
                raise ValueError(three_parts(f"{path.suffix!r} is not a known image format", where, remedy))
        with self._writing(path, "figure") as draft:
            figure.savefig(draft, dpi=dpi, **savefig)
        if pyplot is not None and isinstance(drawn, pyplot.Figure):
            pyplot.close(drawn)
        return path

    def json(self, name: str | os.PathLike[str], data: Any) -> Path:
        """Write data as JSON that any reader takes, in its own order, and return the path.

        Parameters
        ----------
        data
            Dicts, lists, tuples, str, numbers, booleans, None, numpy scalars and arrays (as lists); else a
            TypeError that names its path. Keys that are not str become str. NaN is ``null``, as pandas and
            JavaScript write a missing number. Infinities aren't missing: they are ``"Infinity"`` and
            ``"-Infinity"``, which ``float()`` reads.
        """
        path, where = self._target(name)
        try:
            plain = _plain(data, f"{where}, data")
        except RecursionError:
            what = "the data contains itself, or is nested too deeply"
            raise ValueError(three_parts(what, where, "save a copy without the circular reference")) from None
        write_json(path, plain)
        self._note(path, "json")
        return path


def saver(item: pytest.Item, directory: Path) -> Saver:
    """Return what writes into the ``output_dir`` of a test."""
    return Saver(
        directory, root_of(item), item.nodeid, item.stash[ARTIFACTS], shown_path(directory, item.config.rootpath)
    )


class Writer:
    """What a fixture hands out: a method of a `Saver` that shows in tracebacks as what it is."""

    def __init__(self, name: str, method: Callable[..., Any], shown: str) -> None:
        self._name, self._shown = name, shown
        functools.update_wrapper(self, method)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"<{self._name} into {self._shown}>"


def writer(name: str, method: Callable[..., Any], into: Saver) -> Writer:
    """Return what the fixture of that name hands out."""
    return Writer(name, method, into.shown)
