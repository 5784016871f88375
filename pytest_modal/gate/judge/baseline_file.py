"""The files of a baseline: written so that a diff shows the items that changed, read with every check.

``<gate>.jsonl`` has a header and then one line per item, sorted by id::

    {"id":"add/0008","c":4,"in":"77b0e3","a":5}

`c` is the number of right answers (or the sum of scores) in the `k` rounds of the header, `in` a digest of the
input, `a` that of the anchor's rounds where it is another number (null: the anchor has not seen the item). The outputs
of the model are in ``<gate>.outputs.jsonl``. Plain JSON, LF; nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pytest_modal.gate.judge.baseline import Anchor, Baseline, Entry, update_command
from pytest_modal.gate.judge.baseline_paths import baselines_beside, is_gate_name, outputs_path
from pytest_modal.gate.judge.errors import BaselineError
from pytest_modal.wording import count, some, three_parts

SCHEMA = 1
_NUMBER = (int, float)
_NONE = type(None)
_HEADER: dict[str, tuple[type, ...]] = {
    "schema": (int,),
    "gate": (str,),
    "n": (int,),
    "k": (int,),
    "accuracy": _NUMBER,
    "dataset": (str,),
    "model": (str, _NONE),
    "gpu": (str, _NONE),
    "speed": (*_NUMBER, _NONE),
    "rounds": (list,),
    "anchor": (dict,),
    "items": (str,),
    "outputs": (str, _NONE),
    "history": (list,),
}
_ANCHOR: dict[str, tuple[type, ...]] = {"k": (int,), "accuracy": _NUMBER, "date": (str,)}
_ENTRY: dict[str, tuple[type, ...]] = {"date": (str,), "accuracy": _NUMBER, "n": (int,), "k": (int,)}
_ENTRY_OPTIONAL: dict[str, tuple[type, ...]] = {"reason": (str,), "anchor": (dict,), "items": (str,)}


def baseline_texts(baseline: Baseline) -> tuple[str, str]:
    """Return what the file of a baseline holds, and what that of its outputs holds (nothing: no such file)."""
    outputs = "".join(
        _line({"id": each, "out": output})
        for each, output in zip(baseline.ids, baseline.outputs, strict=True)
        if output is not None
    )
    items = "".join(_item_lines(baseline))
    header = {
        "schema": SCHEMA,
        "gate": baseline.gate,
        "n": len(baseline.ids),
        "k": baseline.k,
        "accuracy": round(baseline.accuracy, 6),
        "dataset": baseline.dataset,
        "model": baseline.model,
        "gpu": baseline.gpu,
        "speed": baseline.speed,
        "rounds": list(baseline.rounds),
        "anchor": asdict(baseline.anchor),
        "items": _checksum(items),
        "outputs": _checksum(outputs) if outputs else None,
        "history": [_without_none(asdict(entry)) for entry in baseline.history],
    }
    return _line(header) + items, outputs


def _item_lines(baseline: Baseline) -> list[str]:
    same_rounds = baseline.anchor.k == baseline.k
    lines = []
    columns = baseline.ids, baseline.sums.tolist(), baseline.digests, baseline.anchor_sums.tolist()
    for each, c, digest, a in zip(*columns, strict=True):
        item: dict[str, Any] = {"id": each, "c": _number(c)}
        if digest:
            item["in"] = digest
        if not (same_rounds and a == c):
            item["a"] = None if math.isnan(a) else _number(a)
        lines.append(_line(item))
    return lines


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else round(value, 12)


def _without_none(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value is not None}


def _line(value: object) -> str:
    return _encode_json(value) + "\n"


def _checksum(text: str) -> str:
    # As text is written: half a surrogate pair has no UTF-8; Python's escape for it is also JSON's.
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def read_baseline(path: Path, gate: str, test: str) -> Baseline:
    """Read the baseline of a gate.

    Parameters
    ----------
    test : str
        Node id of the test, for the command in the messages.

    Raises
    ------
    BaselineError
        The file is damaged, badly merged, of another gate, or of a newer pytest-modal.
    """
    return _Reader(path, gate, test).read()


def same_items_elsewhere(path: Path, dataset: str) -> str | None:
    """Return the gate of another baseline in the same directory with the same items: perhaps this gate was renamed."""
    for other in baselines_beside(path):
        try:
            with other.open(encoding="utf-8") as file:
                header = json.loads(file.readline())
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

    def error(self, what: str, remedy: str, line: int = 0, path: Path | None = None) -> BaselineError:
        where = f"{path or self.path}:{line}" if line else str(path or self.path)
        return BaselineError(three_parts(f"the baseline of gate {self.gate!r} {what}", where, remedy))

    @property
    def restore(self) -> str:
        """The way out of damage: an earlier version, or a new recording."""
        name = _quoted(self.path)
        return (
            f"restore an intact version (git log --oneline -- {name}, git checkout COMMIT -- {name} "
            f"{_quoted(outputs_path(self.path))}), or delete it and record it again: {update_command(self.test)}"
        )

    def read(self) -> Baseline:
        """Read both files and check them against each other."""
        lines = self.lines(self.path)
        header = self.header(lines[0])
        items = self.items(lines[1:], header)
        ids = [item["id"] for item in items]
        outputs = self.outputs(header, ids)
        same_rounds = header["anchor"]["k"] == header["k"]
        missing = (lambda item: item["c"]) if same_rounds else (lambda item: None)
        anchors = [item["a"] if "a" in item else missing(item) for item in items]
        baseline = Baseline(
            gate=self.gate,
            ids=tuple(ids),
            sums=np.array([item["c"] for item in items], float),
            k=header["k"],
            digests=tuple(item.get("in", "") for item in items),
            outputs=tuple(outputs.get(each) for each in ids),
            anchor=Anchor(**header["anchor"]),
            anchor_sums=np.array([math.nan if a is None else a for a in anchors], float),
            history=tuple(_entry(entry) for entry in header["history"]),
            model=header["model"],
            gpu=header["gpu"],
            speed=header["speed"],
            rounds=tuple(header["rounds"]),
        )
        if baseline.dataset != header["dataset"] or abs(baseline.accuracy - header["accuracy"]) > 1e-5:
            raise self.error("has a header that doesn't belong to its items: a bad merge", self.restore, 1)
        return baseline

    def lines(self, path: Path) -> list[str]:
        """Return the lines of a file; git may have turned LF into CRLF."""
        try:
            text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
        except OSError as error:
            raise self.error(f"can't be read: {error.strerror}", "make the file readable", path=path) from None
        except UnicodeDecodeError:
            raise self.error("is not UTF-8", self.restore, path=path) from None
        if not text:
            raise self.error("is empty", self.restore, path=path)
        lines = text.split("\n")
        for number, line in enumerate(lines, 1):
            if line.startswith(("<<<<<<<", "=======", ">>>>>>>", "|||||||")):
                name = _quoted(path)
                raise self.error(
                    "has conflict markers: a merge was not finished",
                    f"check out one side, git checkout --ours -- {name} (or --theirs), of the outputs too, then record "
                    f"the merged code: {update_command(self.test)}",
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

    def objects(self, lines: Sequence[str]) -> list[dict[str, Any]]:
        """Return the JSON objects of the lines after the header."""
        try:
            # All at once is twice as fast. A line that is wrong is looked for only if there is one.
            values = _decode(f"[{','.join(lines)}]")
        except (ValueError, RecursionError):
            values = []
        if len(values) == len(lines) and all(isinstance(value, dict) for value in values):
            return list(values)
        return [self.object(line, number) for number, line in enumerate(lines, 2)]

    def typed(self, value: Mapping[str, Any], types: Mapping[str, tuple[type, ...]], what: str) -> None:
        """Check that a part of the header has all keys, with values of their types."""
        for key, kinds in types.items():
            if key not in value:
                raise self.error(f"has no {key!r} in its {what}", self.restore, 1)
            if not _is(value[key], kinds):
                what = f"has {key!r} = {value[key]!r} in its {what}, which is of the wrong type"
                raise self.error(what, self.restore, 1)

    def header(self, line: str) -> dict[str, Any]:
        """Return the header."""
        header = self.object(line, 1)
        if _is(header.get("schema"), (int,)) and header["schema"] > SCHEMA:
            what = f"has schema {header['schema']}, but this pytest-modal reads schema {SCHEMA}"
            raise self.error(what, "upgrade: pip install -U pytest-modal", 1)
        self.typed(header, _HEADER, "header")
        self.typed(header["anchor"], _ANCHOR, "anchor")
        for entry in header["history"]:
            if not isinstance(entry, dict):
                raise self.error(f"has {entry!r} in its history, which is of the wrong type", self.restore, 1)
            self.typed(entry, _ENTRY, "history")
            self.typed(entry, {key: kinds for key, kinds in _ENTRY_OPTIONAL.items() if key in entry}, "history")
            if "anchor" in entry:
                self.typed(entry["anchor"], _ANCHOR, "history")
        unknown = {*header["anchor"]} - {*_ANCHOR} or {
            key for entry in header["history"] for key in entry if key not in {**_ENTRY, **_ENTRY_OPTIONAL}
        }
        counts = header["n"], header["k"], header["anchor"]["k"]
        possible = min(counts) >= 1 and _within(header["anchor"]["accuracy"], 1)
        possible = possible and (header["speed"] is None or 0 < header["speed"] < math.inf)
        possible = possible and all(isinstance(each, str) for each in header["rounds"])
        if unknown or not possible or not is_gate_name(header["gate"]):
            raise self.error("has a header with impossible values", self.restore, 1)
        if header["gate"] != self.gate:
            other = header["gate"]
            name = _quoted(self.path)
            raise self.error(
                f"belongs to another gate, {other!r}",
                f"if the gate was renamed, rename it in the file: "
                f'sed -i \'1s/"gate":"{other}"/"gate":"{self.gate}"/\' {name}; '
                f"otherwise delete the copy and record: {update_command(self.test)}",
                1,
            )
        return header

    def items(self, lines: Sequence[str], header: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the items, checked one by one and all together."""
        items = self.objects(lines)
        for number, item in enumerate(items, 2):
            fits = _is(item.get("id"), (str,)) and _within(item.get("c"), header["k"])
            fits = fits and _is(item.get("in", ""), (str,)) and not item.keys() - {"id", "c", "in", "a"}
            if not (fits and (item.get("a") is None or _within(item["a"], header["anchor"]["k"]))):
                what = f"has an item with impossible values: {lines[number - 2][:80]!r}"
                raise self.error(what, self.restore, number)
        ids = [item["id"] for item in items]
        if len(items) < header["n"]:
            what = f"is truncated: it has {count(len(items), 'item')}, but its header says {header['n']:,}"
            raise self.error(what, self.restore, len(lines) + 1)
        if odd := [one for one, two in zip(ids[1:], ids, strict=False) if one <= two]:
            raise self.error(f"has items twice or out of order, {some(odd)}: a bad merge", self.restore)
        if len(items) > header["n"] or _checksum("".join(f"{line}\n" for line in lines)) != header["items"]:
            what = "has items that don't match the checksum of its header: a bad merge, or an edit by hand"
            raise self.error(what, self.restore, 1)
        return items

    def outputs(self, header: Mapping[str, Any], ids: Sequence[str]) -> dict[str, str]:
        """Return the outputs of the model, by item; if the file is missing, messages don't show them."""
        path = outputs_path(self.path)
        if header["outputs"] is None or not path.exists():
            return {}
        lines = self.lines(path)
        if _checksum("".join(f"{line}\n" for line in lines)) != header["outputs"]:
            raise self.error("has outputs that don't match the checksum of its header", self.restore, path=path)
        known, outputs = set(ids), {}
        for number, line in enumerate(lines, 1):
            item = self.object(line, number, path)
            if not (_is(item.get("id"), (str,)) and item["id"] in known and _is(item.get("out"), (str,))):
                raise self.error(f"has an impossible output: {line[:80]!r}", self.restore, number, path)
            outputs[item["id"]] = item["out"]
        return outputs


def _quoted(path: Path) -> str:
    return shlex.quote(path.as_posix())


def _is(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _within(value: object, most: int) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most + 1e-9


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


# Made once: there may be 100,000 items.
_encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_decode = json.JSONDecoder(parse_constant=_refuse).decode


def _entry(entry: Mapping[str, Any]) -> Entry:
    anchor = Anchor(**entry["anchor"]) if "anchor" in entry else None
    return Entry(**{**entry, "anchor": anchor})
