"""Reading of records, and finding of earlier runs as git finds commits: by an id, its beginning, ``last~1``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_modal.committed import read_regular
from pytest_modal.local.output_dir import RUN, RUNS
from pytest_modal.remote.data import CorruptDataError
from pytest_modal.report.record import SCHEMA, Record
from pytest_modal.store.shapes import check_shape
from pytest_modal.wording import count, first_few, three_parts

_LAST = re.compile(r"last(?:~(\d*))?")
_HEAD = 2_000  # bytes in which the fields are that tell runs apart
_SELECTION = re.compile(r'^"selection": "(\w*)"', re.MULTILINE)


class RecordError(ValueError):
    """A run was not found, or its record can't be read; the message says what, where and what to do."""


def read_record(path: Path) -> Record:
    """Read a record.

    Raises
    ------
    RecordError
        The file is missing or damaged, or of a newer pytest-modal.
    """
    try:
        fields: Any = json.loads(read_regular(path))
        if not isinstance(fields, dict):
            raise CorruptDataError("it is not a JSON object")
        schema = fields.get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            what = f"the record of a run has schema {schema:,}, and this pytest-modal knows {SCHEMA}"
            raise RecordError(three_parts(what, path, "use the pytest-modal that wrote it, or a newer one"))
        record: Record = check_shape(_with_tuples(fields), Record, "record")
    except OSError as error:
        what = f"the record of a run can't be read: {error.strerror}"
        raise RecordError(three_parts(what, path, "list the runs that there are: pytest-modal runs")) from None
    except RecordError:
        raise
    except (ValueError, RecursionError) as error:
        what = f"the record of a run is damaged: {error}"
        raise RecordError(three_parts(what, path, "delete the file, or restore it")) from None
    return record


def _with_tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """Make the pairs of a record tuples again, which JSON does not have; what has another shape is refused later."""
    for test in _dicts(fields.get("tests")):
        if isinstance(test.get("failed_at"), list):
            test["failed_at"] = tuple(test["failed_at"])
        for phase in _dicts(test.get("phases")):
            if isinstance(sections := phase.get("sections"), list):
                phase["sections"] = [tuple(each) if isinstance(each, list) else each for each in sections]
    return fields


def _dicts(values: object) -> Iterator[dict[str, Any]]:
    yield from (each for each in values if isinstance(each, dict)) if isinstance(values, list) else ()


def runs_in(root: Path) -> list[Path]:
    """Return the records of the runs that are kept below an output root, the newest first."""
    return sorted((root / RUNS).glob("*.json"), key=lambda path: path.name, reverse=True)


def find_run(name: str, root: Path) -> Path:
    """Return the file of the record of a run.

    Parameters
    ----------
    name : str
        An id or its unique beginning, ``last``, ``last~2`` for the one two before it, or the path of a file.
    root : Path
        The output root.

    Raises
    ------
    RecordError
        There is none, or there are several.
    """
    runs = runs_in(root)
    if match := _LAST.fullmatch(name):
        back = int(match[1] or 1) if "~" in name else 0
        if not runs and not back and (root / RUN).exists():
            return root / RUN
        if back >= len(runs):
            what = f"there is no run {name!r}: {count(len(runs), 'run')} {'is' if len(runs) == 1 else 'are'} kept"
            raise RecordError(three_parts(what, root / RUNS, "run pytest first, or name a run of: pytest-modal runs"))
        return runs[back]
    found = [path for path in runs if path.stem == name] or [path for path in runs if path.stem.startswith(name)]
    if len(found) == 1 and name:
        return found[0]
    if Path(name).is_file():
        return Path(name)
    if len(found) > 1 and name:
        what = f"{len(found):,} runs begin with {name!r}: {first_few(path.stem for path in found)}"
        raise RecordError(three_parts(what, root / RUNS, "write more of the id"))
    remedy = "name an id or its beginning, last, last~1, or a file; pytest-modal runs lists them"
    raise RecordError(three_parts(f"there is no run {name!r}", root / RUNS, remedy))


def find_record(name: str, root: Path) -> Record:
    """Return the record of a run; see `find_run` and `read_record`."""
    return read_record(find_run(name, root))


def previous_of(run: str, selection: str, root: Path) -> Record | None:
    """Return the newest finished record before a run, by its id, of the same tests in the same mode; None without."""
    for path in runs_in(root):
        if path.stem >= run:
            continue
        try:
            with path.open(encoding="utf-8") as stream:
                head = stream.read(_HEAD)
            found = _SELECTION.search(head)
            if found is not None and found[1] == selection and '"ending": "finished"' in head:
                return read_record(path)
        except (OSError, ValueError):
            continue
    return None
