"""The files of a baseline: written so that a diff shows the items that changed, read with every check.

The lines are those of `baseline_lines`. The header has checksums, so that what a merge put together wrongly is found.
The outputs of the model are in ``<gate>.outputs.jsonl``. Plain JSON, LF; nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_modal.committed import first_line, read_regular
from pytest_modal.gate.judge.baseline import Anchor, Baseline, Entry, Round, update_command
from pytest_modal.gate.judge.baseline_lines import (
    SAME,
    head_lines,
    is_right_or_wrong,
    item_lines,
    read_head,
    read_items,
)
from pytest_modal.gate.judge.baseline_paths import baselines_beside, is_gate_name, outputs_path
from pytest_modal.gate.judge.baseline_schema_1 import read_schema_1
from pytest_modal.gate.judge.errors import BaselineError
from pytest_modal.wording import count, shown_path, some, three_parts

SCHEMA = 2
_TEXTS = ("gate", "dataset", "items")


def baseline_texts(baseline: Baseline) -> tuple[str, str]:
    """Return what the file of a baseline holds, and what that of its outputs holds (nothing: no such file)."""
    outputs = "".join(
        _line({"id": each, "out": output})
        for each, output in zip(baseline.ids, baseline.outputs, strict=True)
        if output is not None
    )
    items = "".join(map(_line, item_lines(baseline)))
    header = {
        "schema": SCHEMA,
        "gate": baseline.gate,
        "dataset": baseline.dataset,
        "items": _checksum(items),
        "outputs": _checksum(outputs) if outputs else None,
    }
    return _line(header) + "".join(map(_line, head_lines(baseline))) + items, outputs


def _line(value: object) -> str:
    return _encode_json(value) + "\n"


def _checksum(text: str) -> str:
    # As text is written: half a surrogate pair has no UTF-8; Python's escape for it is also JSON's.
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def read_baseline(path: Path, gate: str, test: str, rootdir: Path | None = None) -> Baseline:
    """Read the baseline of a gate.

    Parameters
    ----------
    test : str
        Node id of the test, for the command in the messages.
    rootdir : Path, optional
        What paths in the messages are relative to.

    Raises
    ------
    BaselineError
        The file is damaged, badly merged, of another gate, or of a newer pytest-modal.
    """
    return _Reader(path, gate, test, rootdir).read()


def same_items_elsewhere(path: Path, dataset: str) -> str | None:
    """Return the gate of another baseline in the same directory with the same items: perhaps this gate was renamed."""
    for other in baselines_beside(path):
        try:
            header = json.loads(first_line(other))
        except (OSError, ValueError):
            continue
        if isinstance(header, dict) and header.get("dataset") == dataset and isinstance(header.get("gate"), str):
            return str(header["gate"])
    return None


@dataclass(frozen=True)
class _Reader:
    """Reads one baseline, with errors for what is wrong with it."""

    path: Path
    gate: str
    test: str
    rootdir: Path | None

    def error(self, what: str, remedy: str, line: int = 0, path: Path | None = None) -> BaselineError:
        where = self.shown(path or self.path)
        where = f"{where}:{line}" if line else where
        return BaselineError(three_parts(f"the baseline of gate {self.gate!r} {what}", where, remedy))

    def shown(self, path: Path) -> str:
        """Return a path as commands from the rootdir name it."""
        return path.as_posix() if self.rootdir is None else shown_path(path, self.rootdir)

    @property
    def file(self) -> str:
        """The baseline in a command."""
        return shlex.quote(self.shown(self.path))

    @property
    def files(self) -> str:
        """The baseline and its outputs in a command, those that there are."""
        outputs = outputs_path(self.path)
        return f"{self.file} {shlex.quote(self.shown(outputs))}" if outputs.exists() else self.file

    @property
    def restore(self) -> str:
        """The way out of damage: a new recording, or an earlier version."""
        return (
            f"restore an intact version (git log --oneline -- {self.file}, git checkout COMMIT -- {self.files}), "
            f"or delete it and record it again: {update_command(self.test)}"
        )

    def read(self) -> Baseline:
        """Read both files and check them against each other."""
        lines = self.lines(self.path)
        header = self.header(lines[0])
        objects = self.objects(lines[1:], 2)
        first = next((index for index, each in enumerate(objects) if "id" in each), len(objects))
        self.items(objects[first:], lines[1 + first :], header, 2 + first)
        outputs = self.outputs(header, {each["id"] for each in objects[first:]})
        if header["schema"] == 1:
            try:
                baseline = read_schema_1(header, objects[first:], outputs)
            except (TypeError, ValueError, KeyError, IndexError):
                raise self.error("has a header or items with impossible values", self.restore, 1) from None
        else:
            baseline = self.baseline(objects[:first], objects[first:], outputs, lines)
        if baseline.dataset != header["dataset"]:
            raise self.error("has a header that doesn't belong to its items: a bad merge", self.restore, 1)
        return baseline

    def baseline(
        self,
        head: Sequence[Mapping[str, Any]],
        items: Sequence[Mapping[str, Any]],
        outputs: Mapping[str, str],
        lines: Sequence[str],
    ) -> Baseline:
        """Return the baseline of the lines after the header."""
        said: list[Anchor | Round | Entry] = []
        for number, line in enumerate(head, 2):
            try:
                said.append(read_head(line))
            except (TypeError, ValueError, KeyError, StopIteration):
                what = f"has a line with impossible values: {lines[number - 1][:80]!r}"
                raise self.error(what, self.restore, number) from None
        anchors = [each for each in said if isinstance(each, Anchor)]
        rounds = tuple(each for each in said if isinstance(each, Round))
        if len(anchors) != 1 or not rounds or not items:
            what = f"has {count(len(anchors), 'anchor')}, {count(len(rounds), 'round')} and {count(len(items), 'item')}"
            raise self.error(f"{what}: a bad merge", self.restore, 1)
        read = read_items(items, len(rounds), anchors[0].k)
        if isinstance(read, int):
            number = 1 + len(head) + read
            what = f"has an item with impossible values: {lines[number][:80]!r}"
            raise self.error(what, self.restore, number + 1)
        results, anchor_results = read
        # Rounds of a score that nearly agree are written as their mean.
        slack = 1e-5 if is_right_or_wrong(results) else 2 * SAME
        for number, (each, accuracy) in enumerate(zip(rounds, results.mean(axis=0).tolist(), strict=True), 3):
            if abs(each.accuracy - accuracy) > slack * max(1.0, abs(accuracy)):
                what = "has a round that doesn't belong to its items: a bad merge"
                raise self.error(what, self.restore, number)
        return Baseline(
            gate=self.gate,
            ids=tuple(item["id"] for item in items),
            results=results,
            digests=tuple(item.get("in", "") for item in items),
            outputs=tuple(outputs.get(item["id"]) for item in items),
            rounds=rounds,
            anchor=anchors[0],
            anchor_results=anchor_results,
            history=tuple(each for each in said if isinstance(each, Entry)),
        )

    def lines(self, path: Path) -> list[str]:
        """Return the lines of a file; git may have turned LF into CRLF."""
        try:
            if path.parent.is_symlink():
                raise self.error("is in a directory that is a symbolic link", "remove the link", path=path.parent)
            text = read_regular(path).decode("utf-8").replace("\r\n", "\n")
        except OSError as error:
            remedy = "make it a regular file that can be read, or delete it"
            raise self.error(f"can't be read: {error.strerror}", remedy, path=path) from None
        except UnicodeDecodeError:
            raise self.error("is not UTF-8", self.restore, path=path) from None
        if not text:
            raise self.error("is empty", self.restore, path=path)
        lines = text.split("\n")
        for number, line in enumerate(lines, 1):
            if line.startswith(("<<<<<<<", "=======", ">>>>>>>", "|||||||")):
                # Git has merged the outputs without a conflict, if the branches changed other ones: --ours keeps that.
                raise self.error(
                    "has conflict markers: a merge was not finished",
                    f"take the files of one side, git checkout HEAD -- {self.files} (or MERGE_HEAD), then record the "
                    f"merged code: {update_command(self.test)}",
                    number,
                    path,
                )
        if lines.pop() != "":
            raise self.error("is truncated: it ends in the middle of a line", self.restore, len(lines) + 1, path)
        return lines

    def object(self, line: str, number: int, path: Path | None = None) -> dict[str, Any]:
        """Return the JSON object of a line."""
        try:
            value = _decode(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise self.error(f"has a line that is not a JSON object: {line[:40]!r}", self.restore, number, path)
        return value

    def objects(self, lines: Sequence[str], number: int, path: Path | None = None) -> list[dict[str, Any]]:
        """Return the JSON objects of lines, the first of which has this number."""
        try:
            # All at once is twice as fast. A line that is wrong is looked for only if there is one.
            values = _decode(f"[{','.join(lines)}]")
        except (ValueError, RecursionError):
            values = []
        if len(values) == len(lines) and all(isinstance(value, dict) for value in values):
            return list(values)
        return [self.object(line, each, path) for each, line in enumerate(lines, number)]

    def header(self, line: str) -> dict[str, Any]:
        """Return the header."""
        header = self.object(line, 1)
        schema = header.get("schema")
        if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
            raise self.error("has no 'schema' in its header", self.restore, 1)
        if schema > SCHEMA:
            what = f"has schema {schema}, but this pytest-modal reads schema {SCHEMA}"
            raise self.error(what, "upgrade: pip install -U pytest-modal", 1)
        for key in (*_TEXTS, "outputs"):
            value = header.get(key)
            if not (isinstance(value, str) or (key == "outputs" and key in header and value is None)):
                raise self.error(f"has {key!r} = {value!r} in its header, which is of the wrong type", self.restore, 1)
        if not is_gate_name(header["gate"]):
            raise self.error("has a header with impossible values", self.restore, 1)
        if header["gate"] != self.gate:
            other = header["gate"]
            raise self.error(
                f"belongs to another gate, {other!r}",
                f"if the gate was renamed, rename it in the file: "
                f'sed -i \'1s/"gate":"{other}"/"gate":"{self.gate}"/\' {self.file}; '
                f"otherwise delete the copy and record: {update_command(self.test)}",
                1,
            )
        return header

    def items(
        self, items: Sequence[Mapping[str, Any]], lines: Sequence[str], header: Mapping[str, Any], number: int
    ) -> None:
        """Check the lines of the items all together."""
        for index, item in enumerate(items):
            if not isinstance(item.get("id"), str):
                what = f"has an item with impossible values: {lines[index][:80]!r}"
                raise self.error(what, self.restore, number + index)
        ids = [item["id"] for item in items]
        if odd := [one for one, two in zip(ids[1:], ids, strict=False) if one <= two]:
            raise self.error(f"has items twice or out of order, {some(odd)}: a bad merge", self.restore)
        if _checksum("".join(f"{line}\n" for line in lines)) != header["items"]:
            what = "has items that don't match the checksum of its header: a bad merge, or an edit by hand"
            raise self.error(what, self.restore, 1)

    def outputs(self, header: Mapping[str, Any], known: set[str]) -> dict[str, str]:
        """Return the outputs of the model, by item; if the file is missing, messages don't show them."""
        path = outputs_path(self.path)
        if header["outputs"] is None or not path.exists():
            return {}
        lines = self.lines(path)
        if _checksum("".join(f"{line}\n" for line in lines)) != header["outputs"]:
            raise self.error("has outputs that don't match the checksum of its header", self.restore, path=path)
        objects = self.objects(lines, 1, path)
        columns: list[list[Any]] = [[each.get(key) for each in objects] for key in ("id", "out")]
        ids, outputs = columns
        if {*map(type, ids), *map(type, outputs)} == {str} and known.issuperset(ids):
            return dict(zip(ids, outputs, strict=True))
        number = next(
            number
            for number, (each, output) in enumerate(zip(ids, outputs, strict=True), 1)
            if not (isinstance(each, str) and each in known and isinstance(output, str))
        )
        raise self.error(f"has an impossible output: {lines[number - 1][:80]!r}", self.restore, number, path)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


# Made once: there may be 100,000 items.
_encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_decode = json.JSONDecoder(parse_constant=_refuse).decode
