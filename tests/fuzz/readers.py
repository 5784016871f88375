"""What is fuzzed: each reads one hostile input, and anything but a value or its clear error is a fault."""

from __future__ import annotations

import hashlib
import json
import pickle
import random
import struct
import zlib
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
from gate_data import GATE, TEST, evaluation, recorded, write_baseline
from sample_data import ARRAYS, LAYOUTS

from fuzz.mutation import damaged, mutate
from pytest_modal.batch.calls import Batch, Call, Container, ShippedFunction
from pytest_modal.batch.environment import Environment
from pytest_modal.batch.outcomes import Outcome
from pytest_modal.gate.judge.baseline_file import read_baseline
from pytest_modal.gate.judge.baseline_paths import baseline_path, outputs_path
from pytest_modal.gate.judge.errors import BaselineError
from pytest_modal.gate.judge.policy import Origin
from pytest_modal.remote import data
from pytest_modal.remote.compression import compressed
from pytest_modal.remote.framing import Frame
from pytest_modal.report.failures import cause_of, explain, explain_teardown, headline, location_of
from pytest_modal.run.dispatch import Dispatch
from pytest_modal.run.modal.app_log import Sightings, Signs
from pytest_modal.run.modal.plain_replies import bytes_in
from pytest_modal.run.modal.printed_log import PrintedLog
from pytest_modal.run.modal.queues import SentPack, read_reply
from pytest_modal.run.shipped_files import ShippedFiles
from pytest_modal.run.teardowns import in_words
from pytest_modal.store.outcome_file import read_outcome
from pytest_modal.store.recordings.errors import RecordingError
from pytest_modal.store.recordings.model import Keys, Name, Recording, RunFacts
from pytest_modal.store.recordings.reading import read_description, read_recording
from pytest_modal.store.recordings.text import seal
from pytest_modal.store.recordings.writing import write_recording
from pytest_modal.store.results import Results

_HEAD = struct.Struct("<8sQQ8x")
_VALUES: list[Any] = [
    {"rows": [{"id": each, "p": each / 7, "text": f"é{each}"} for each in range(20)], "nan": float("nan")},
    [1, 2**80, -1.5, 1j, b"bytes" * 5, None, True, (1, (2,)), {1: "a", (2, None): "b"}, "\ud800"],
    [np.float32(1.5), np.str_("a\0"), np.bytes_(b"x"), np.int64(3), np.datetime64("2020-01-01")],
    [np.float32(each) for each in range(20)],
    list(range(20)),
    *ARRAYS.values(),
    *(np.zeros(3, layout) for layout in LAYOUTS.values()),
]


class Reader(Protocol):
    """Reads hostile inputs."""

    def once(self, rng: random.Random) -> bool:
        """Make an input and read it; return whether it was accepted."""


def _sealed(lines: str, outputs: str) -> str:
    """Return a baseline with the checksums that its header should have."""
    head, *rest = lines.splitlines(keepends=True)
    header = json.loads(head)
    if not isinstance(header, dict):
        return lines
    items = "".join(line for line in rest if '"id"' in line)
    header["items"] = hashlib.sha256(items.encode()).hexdigest()[:32]
    if outputs:
        header["outputs"] = hashlib.sha256(outputs.encode()).hexdigest()[:32]
    return json.dumps(header) + "\n" + "".join(rest)


def _shown_safely(message: str, lines: int) -> None:
    assert len(message.splitlines()) == lines, message
    assert all(line.isprintable() and len(line) < 2000 for line in message.splitlines()), message


class _Forger:
    """Makes encodings that were forged with their checksums."""

    def __init__(self, values: list[Any]) -> None:
        self._parts = []
        for value in values:
            whole = b"".join(data.encode(value))
            _, _, length = _HEAD.unpack(whole[: _HEAD.size])
            start = _HEAD.size + length
            text = whole[_HEAD.size : start].decode("utf-8", "surrogatepass")
            self._parts.append((json.loads(text), whole[start + -start % 16 :], whole))

    @property
    def whole(self) -> bytes:
        return self._parts[0][2]

    def forged(self, rng: random.Random) -> bytes:
        document, blocks, whole = rng.choice(self._parts)
        if rng.random() < 0.2:
            return damaged(rng, whole)
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            document = mutate(rng, document)
        if rng.random() < 0.1:
            blocks = damaged(rng, blocks)
        text = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return _HEAD.pack(data.MAGIC, zlib.crc32(text), len(text)) + text + bytes(-len(text) % 16) + blocks


class Decoder:
    """Encoded data, of a result or a message."""

    def __init__(self, directory: Path) -> None:
        self._forger = _Forger(_VALUES)

    def once(self, rng: random.Random) -> bool:
        forged = self._forger.forged(rng)
        try:
            value = data.decode(forged, copy=rng.random() < 0.5)
        except data.CorruptDataError:
            return False
        try:
            data.encode(value)  # reads all memory of what was accepted
        except data.NotDataError:
            return False
        return True


class Replies:
    """Replies of a container, up to what is shown of them."""

    def __init__(self, directory: Path) -> None:
        function = ShippedFunction("f", "f", "test_f.py:1", b"")
        self._call = Call("key", "f", function, {}, Environment())
        self._pack = SentPack([self._call], id="pack")
        batch = Batch([self._call], {"fixture": Container("fixture", "model", function, {}, Environment())})
        self._dispatch, self._files = Dispatch(batch, lambda key: b""), ShippedFiles(batch, directory)
        self._results, self._directory = Results("modal", batch, directory), directory
        raised_there = {"type": "E", "message": "m", "notes": ["n"], "frames": [("f.py", 1, "g")]}
        self._head = _Forger(
            [
                {
                    "pack": "pack",
                    "container": "ta-1",
                    "age": 1.0,
                    "device": "",
                    "ends": False,
                    "keys": ["key"],
                    "spent": [0.5],
                    "teardowns": [{"container_key": "fixture", "error": raised_there}],
                }
            ]
        )
        error = {**raised_there, "cause": raised_there, "exceptions": [raised_there, raised_there]}
        load = {"key": "fixture", "label": "model", "seconds": 1.0, "started": 2.0}
        machine = {"python": "3", "torch": "", "cuda": "", "driver": "", "gpu": "", "memory": 5}
        warned = {"categories": ["builtins.UserWarning"], "message": "m", "file": "f.py", "line": 1, "module": "f"}
        ok = {
            "call": "key", "status": "ok", "container": "ta-1", "process": "p", "phase": "return", "loads": [load],
            "lost_files": ["x"], "warnings": [warned], "seconds": 0.5, "device": "cpu",
            "given": "", "peak_memory": 7, "poisoned": False, "attempts": 1, "fallen": [], "stdout": "", "stderr": "",
            "started": 3.0, "machine": machine,
        }  # fmt: skip
        raised, fell = {"status": "raised", "error": error}, {"status": "crashed", "ended": {"exit_status": -9}}
        self._reply = _Forger([ok, {**ok, **raised}, {**ok, **fell}])

    def once(self, rng: random.Random) -> bool:
        head = self._head.forged(rng) if rng.random() < 0.2 else self._head.whole
        stream = b""
        for part, value in ((head, b""), (self._reply.forged(rng), b"value")):
            lengths = (len(part), len(value)) if rng.random() < 0.97 else rng.choices([0, 1, 2**62, 2**64 - 1], k=2)
            stream += Frame.pack(*lengths) + part + value
        pickled = pickle.dumps(compressed([stream]), protocol=4)
        try:
            read = bytes_in(damaged(rng, pickled) if rng.random() < 0.02 else pickled)
            head, replies = read_reply(read, self._pack)
            torn_down = [in_words(each, self._files) for each in head["teardowns"]]
        except data.CorruptDataError as error:
            _shown_safely(str(error), 1)
            return False
        accepted = True
        shown = [
            explain_teardown(self._results, each)
            for each in torn_down
            if each["container_key"] in self._results.batch.containers
        ]
        for reply, _ in replies:
            outcome = self._files.localize(self._dispatch.outcome(self._call, reply))
            if outcome.status == "infrastructure":
                accepted = False
                _shown_safely(str((outcome.error or {})["message"]), 1)
                continue
            self._results.put(outcome, [])
            if outcome.failed:
                shown += [explain(self._results, outcome), explain(self._results, outcome, brief=True)]
                shown += [headline(self._results, outcome), str(location_of(self._results, outcome, self._directory))]
                cause_of(outcome)
            assert all(character.isprintable() or character in "\n\t" for each in shown for character in each), shown
        return accepted


class Outcomes:
    """Outcomes that a run has kept."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "kept"
        error = {
            "type": "E",
            "message": "m",
            "frames": [["f", 1, "g"]],
            "notes": ["n"],
            "cause": {"type": "E", "message": ""},
        }
        load = {"key": "k", "label": "l", "container": "c", "seconds": 1.0}
        warning = {"categories": ["a.B"], "message": "m", "file": "f", "line": 1, "module": "a"}
        lists = {"loads": [], "lost_files": [], "warnings": [], "fallen": []}
        failed = {**asdict(Outcome("key", "raised", error=error)), **lists, "warnings": [warning]}
        whole = {**asdict(Outcome("key", "ok")), **lists, "lost_files": ["a"], "loads": [load]}
        self._forger = _Forger([whole, failed])

    def once(self, rng: random.Random) -> bool:
        head = self._forger.forged(rng)
        lengths = (len(head), 5) if rng.random() < 0.9 else (rng.choice([0, 2**63, 2**64 - 1, len(head) + 1]), 5)
        self._path.write_bytes(Frame.pack(*lengths) + head + b"value" + bytes(20))  # a digest that nothing compares yet
        try:
            outcome = read_outcome(self._path)
        except data.CorruptDataError:
            return False
        assert isinstance(outcome.ok, bool)
        return True


class Recordings:
    """Recordings, forged with their digests."""

    def __init__(self, directory: Path) -> None:
        self._made = []
        large = [np.arange(5000.0).reshape(50, 100).T, [np.arange(3000), b"raw" * 900]]
        for number, value in enumerate([*_VALUES, *large]):
            name = Name("m", f"f{number}", (), "")
            facts = RunFacts("2020", "T4", "3.11", {"torch": "2"}, 1.0)
            keys = Keys({"f": "1"}, {"a": "2"}, {"gpu": "T4"})
            path = write_recording(directory, Recording(name, keys, facts, value, "ok", "out", "err"))
            self._made.append((path, json.loads(path.read_text())))

    def once(self, rng: random.Random) -> bool:
        path, document = rng.choice(self._made)
        fields = ["value"] * 6 + [*document]
        document = {**document}
        for _ in range(rng.choice([1, 1, 2])):
            field = rng.choice(fields)
            document[field] = mutate(rng, document[field])
        if rng.random() < 0.95:
            document["digest"] = seal(document)
        text = json.dumps(document).encode()
        path.write_bytes(damaged(rng, text) if rng.random() < 0.05 else text + b"\n")
        try:
            read_description(path)
            read_recording(path)
        except RecordingError as error:
            _shown_safely(str(error), 3)
            return False
        return True


class Baselines:
    """Baselines of gates, forged with their checksums."""

    def __init__(self, directory: Path) -> None:
        self._path = baseline_path(directory, GATE)
        origin = Origin(gpu="NVIDIA T4", model="gpt2@1", app="ap-1", packages=("torch==2.5.0",))
        self._whole = []
        for made in (evaluation([5, 5, 4, 0, 5], 5), evaluation([0.5, 1.5, 2.25], 1, score=True)):
            write_baseline(self._path, recorded(made, origin=origin))
            files = self._path, outputs_path(self._path)
            self._whole.append([each.read_text().splitlines() if each.exists() else [] for each in files])
        first = Path(__file__).parents[1] / "gate" / "first_schema.jsonl"
        self._whole.append([first.read_text().splitlines(), []])

    def once(self, rng: random.Random) -> bool:
        lines, outputs = ([json.loads(line) for line in each] for each in rng.choice(self._whole))
        for _ in range(rng.choice([1, 1, 2])):
            changed = outputs if outputs and rng.random() < 0.2 else lines
            at = rng.randrange(len(changed))
            changed[at] = mutate(rng, changed[at])
        texts = ["".join(json.dumps(line) + "\n" for line in each) for each in (lines, outputs)]
        if rng.random() < 0.9:
            texts[0] = _sealed(texts[0], texts[1])
        for path, text in zip((self._path, outputs_path(self._path)), texts, strict=True):
            content = text.encode()
            path.write_bytes(damaged(rng, content) if rng.random() < 0.05 else content)
        try:
            read_baseline(self._path, GATE, TEST)
        except BaselineError as error:
            _shown_safely(str(error), 3)
            return False
        return True


class Log:
    """Lines of an app's log: those of a container among what functions print, which may look like them."""

    def __init__(self, directory: Path) -> None:
        self._signs = Signs()
        events = ("ready", "pack", "interrupted", "returned", "start", "load", "import", "call", "teardown", "\ud800")
        words = ["T4", "ta-1", "key", "", "label[x]", "1.5", "\x1b[2J", "\u202e", "{}", "%s", "é" * 50, "0" * 5_000]
        marks = [self._signs.mark, "[pytest-modal]", "[pytest-modal 0123456789abcdef]", self._signs.mark[:-1]]
        self._words, self._marks, self._events = words, marks, events

    def once(self, rng: random.Random) -> bool:
        printed, sightings, own = PrintedLog(self._signs), Sightings(signs=self._signs), 0
        for _ in range(rng.choice([1, 3, 10])):
            words = rng.choices(self._words, k=rng.randrange(5))
            line = " ".join([rng.choice(self._marks), rng.choice(self._events), *words])
            if rng.random() < 0.3:
                line = damaged(rng, line.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
            text = rng.choice(["", "printed ", "\r"]) + line + rng.choice(["", "\n", "\r\n", "\u2028"])
            source = rng.choice(["stdout", "stderr", "system"])
            entry = SimpleNamespace(message=text, source=source, timestamp=0.0, context_ids=["fc-1", "ta-1"])
            found = self._signs.found(text)
            assert not found or self._signs.mark in text
            for sign in found:
                sightings.note(sign)
            sightings.note_end(entry)
            assert self._signs.mark not in self._signs.without(text)
            assert all(self._signs.mark not in shown for _, shown in printed.add(entry))
            own += len(found)
        sightings.fell("ta-1")
        list(printed.rest("key", Outcome("key", "ok", stdout="printed \n")))
        return own > 0


ALL = (Decoder, Replies, Outcomes, Recordings, Baselines, Log)
