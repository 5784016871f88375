"""Whatever is wrong with a recording is an error that says what, where and what to do; nothing else happens."""

from __future__ import annotations

import ast
import copy
import hashlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pytest_modal.remote import data
from pytest_modal.store.recordings.errors import (
    MalformedRecordingError,
    MissingRecordingError,
    RecordingError,
    RecordingVersionError,
    TamperedRecordingError,
    TruncatedRecordingError,
)
from pytest_modal.store.recordings.model import Keys, Name, Recording, RunFacts
from pytest_modal.store.recordings.reading import read_recording
from pytest_modal.store.recordings.text import seal
from pytest_modal.store.recordings.writing import write_recording

VALUE = {
    "rows": [{"id": "a/1", "output": "4\u202e", "p": np.float32(0.1)}, (1, 2**600, -1.5, float("nan"), 1j, "\ud800")],
    "logits": np.arange(600.0).reshape(20, 30),
    "order": np.asfortranarray(np.arange(600, dtype=">i4").reshape(20, 30)),
    "fields": np.array([(1, "é")], [("a", "i1"), ("b", "U3")]).repeat(100),
    "small": np.arange(6).reshape(2, 3),
    "when": np.datetime64("2020-01-01"),
    "bytes": [b"abc", bytes(2000)],
    "keys": {1: "x", (2, None): np.str_("y")},
}
DIGEST = data.digest(data.encode(VALUE))
KEYS = Keys({"function answers": "0a" * 16}, {"problems": "0b" * 20}, {"gpu": "T4", "packages": ["torch==2.4.0"]})
RECORDING = Recording(
    Name("test_x", "answers", ("gpt2",)), KEYS, RunFacts("2025-06-01T12:00:00+00:00", "T4", "3.12.1", {}, 1.5), VALUE
)


class Copy:
    """A recording to be damaged."""

    def __init__(self, directory: Path) -> None:
        self.path = write_recording(directory, RECORDING)
        (self.npz,) = self.path.parent.glob("*.npz")
        self.whole = {each: each.read_bytes() for each in (self.path, self.npz)}
        self.document = json.loads(self.whole[self.path])

    def restore(self) -> None:
        for entry in self.path.parent.iterdir():
            entry.unlink()
        for each, content in self.whole.items():
            each.write_bytes(content)

    def write(self, document: Any, *, sealed: bool = True) -> None:
        if sealed and type(document) is dict:
            document = {**document, "digest": seal(document)}
        self.path.write_text(json.dumps(document), encoding="utf-8", errors="backslashreplace")

    def write_arrays(self, content: bytes, document: dict[str, Any] | None = None) -> None:
        """Forge the arrays, digests and all."""
        digest = hashlib.blake2b(content, digest_size=20).hexdigest()
        name = f"{self.path.stem}-{digest[:16]}.npz"
        self.path.with_name(name).write_bytes(content)
        described = {"file": name, "bytes": len(content), "digest": digest}
        self.write({**(document or self.document), "arrays": described})

    def is_whole(self) -> bool:
        """Whether it reads as what was recorded; what else it may be is an error in three parts."""
        read = outcome(self.path)
        if isinstance(read, Recording):
            assert data.digest(data.encode(read.value)) == DIGEST
            return True
        lines = str(read).splitlines()
        assert type(read) in {
            MissingRecordingError,
            TruncatedRecordingError,
            TamperedRecordingError,
            RecordingVersionError,
            MalformedRecordingError,
        }
        assert lines[1].startswith(f"  where: {self.path.parent}/")
        assert lines[2].startswith("  what to do: ")
        assert len(lines) == 3
        assert all(len(line) < 800 and line.isprintable() for line in lines)
        return False


def outcome(path: Path) -> Recording | RecordingError:
    try:
        return read_recording(path)
    except RecordingError as error:
        return error


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("recordings"))


@pytest.fixture
def damaged(made: Copy) -> Iterator[Copy]:
    made.restore()
    yield made
    made.restore()


@pytest.fixture(autouse=True)
def _nothing_is_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    def executed(*_: Any, **__: Any) -> None:
        raise AssertionError("something in a recording was executed or unpickled")

    for module, names in {
        pickle: ("load", "loads", "Unpickler"),
        os: ("system", "popen"),
        ast: ("literal_eval",),
    }.items():
        for name in names:
            monkeypatch.setattr(module, name, executed)
    monkeypatch.setattr(np, "load", executed)


MANY = settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(draw=st.data())
def test_truncated_files(damaged: Copy, draw: st.DataObject) -> None:
    damaged.restore()
    target = draw.draw(st.sampled_from([damaged.path, damaged.npz]))
    content = damaged.whole[target]
    length = draw.draw(st.integers(0, len(content) - 2))  # but for the last line end, which says nothing
    target.write_bytes(content[:length])
    with pytest.raises(TruncatedRecordingError, match=r"truncated"):
        read_recording(damaged.path)
    assert not damaged.is_whole()


@MANY
@given(draw=st.data())
def test_flipped_bits(damaged: Copy, draw: st.DataObject) -> None:
    damaged.restore()
    target = draw.draw(st.sampled_from([damaged.path, damaged.npz]))
    content = bytearray(damaged.whole[target])
    for _ in range(draw.draw(st.integers(1, 4))):
        content[draw.draw(st.integers(0, len(content) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    assume(bytes(content) != damaged.whole[target])
    target.write_bytes(content)
    # A space between two members may have become another one.
    if damaged.is_whole():
        assert target == damaged.path
        assert json.loads(content) == damaged.document


@MANY
@given(draw=st.data())
def test_spliced_files(damaged: Copy, draw: st.DataObject) -> None:
    damaged.restore()
    target = draw.draw(st.sampled_from([damaged.path, damaged.npz]))
    content = damaged.whole[target]
    start, end, at = sorted(draw.draw(st.integers(0, len(content))) for _ in range(3))
    piece = draw.draw(st.binary(max_size=20) | st.just(content[start:end]))
    target.write_bytes(content[:start] + content[end:at] + piece + content[at:])
    damaged.is_whole()


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(node, dict | list):
        for key in node if isinstance(node, dict) else range(len(node)):
            yield from places(node[key], (*path, key))


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    document = copy.deepcopy(document)
    node = document
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return document


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**20, 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["../../etc/passwd", "/etc/passwd", "C:\\x", "a\0b", "array_0", "|O", "<f8", ">U99999999", "nan"]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        | st.tuples(
            st.sampled_from(["$int", "$float", "$str", "$bytes", "$tuple", "$dict", "$array", "$scalar", "$x"]), inner
        ).map(lambda pair: {pair[0]: pair[1]})
        | st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["<f8", "|u1", "<i4", "|O", "<U2", "<M8[us]", "|V0", [["a", "<f8", [2]]]])
                | inner,
                "shape": st.lists(st.integers(-1, 10**15), max_size=3) | inner,
            },
            optional={
                "values": inner,
                "base64": st.sampled_from(["", "AAAA", "AAAAAAAA8D8="]) | inner,
                "member": st.sampled_from(["array_0", "array_1", "array_9"]) | inner,
                "order": st.sampled_from(["F", "C"]) | inner,
            },
        ).map(lambda node: {"$array": node})
    ),
    max_leaves=8,
)


@settings(MANY, max_examples=800)
@given(draw=st.data())
def test_other_json_anywhere_with_a_forged_digest(damaged: Copy, draw: st.DataObject) -> None:
    damaged.restore()
    place = draw.draw(st.sampled_from(list(places(damaged.document))))
    damaged.write(put(damaged.document, place, draw.draw(json_values)))
    read = outcome(damaged.path)
    if isinstance(read, RecordingError):
        assert not damaged.is_whole()
    else:
        # It may be another recording: one that could have been written.
        data.encode(read.value)
        json.dumps([read.name.params, read.name.fixture, dict(read.keys.function), read.facts.gpu, read.stdout])


@settings(MANY, max_examples=200)
@given(draw=st.data())
def test_other_json_anywhere_without_one(damaged: Copy, draw: st.DataObject) -> None:
    damaged.restore()
    place = draw.draw(st.sampled_from([place for place in places(damaged.document) if place]))
    changed = put(damaged.document, place, draw.draw(json_values))
    damaged.write(changed, sealed=False)
    assert not damaged.is_whole() or json.dumps(changed) == json.dumps(damaged.document)


@settings(MANY, max_examples=300)
@given(draw=st.data())
def test_changed_arrays_with_forged_digests(damaged: Copy, draw: st.DataObject) -> None:
    damaged.restore()
    content = bytearray(damaged.whole[damaged.npz])
    # The structures of a zip file are around its members' data: at their heads, and at the end.
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        heads = [info.header_offset for info in archive.infolist()]
    starts = st.sampled_from([*heads, len(content) - 300])
    for _ in range(draw.draw(st.integers(1, 3))):
        at = draw.draw(starts) + draw.draw(st.integers(0, 299))
        content[at] = draw.draw(st.integers(0, 255))
    damaged.write_arrays(bytes(content))
    read = outcome(damaged.path)
    if isinstance(read, RecordingError):
        assert not damaged.is_whole()
    else:
        assert read.value["logits"].shape == (20, 30)


def npz(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def member(array: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


class Payload:
    """Would execute if it were unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch executed",)


ONE = member(np.zeros(1000))
FORGED: dict[str, tuple[dict[str, bytes] | bytes, str]] = {
    "a pickle in an object array": (
        {"array_0.npy": member(np.array([Payload()], object))},
        r"has [\d,]+ bytes, not 8,128",
    ),
    "a pickle in the place of an array": ({"array_0.npy": pickle.dumps([0] * 10)}, "bytes, not 8,128"),
    "another dtype of the same size": ({"array_0.npy": member(np.zeros(1000, "i8"))}, "not the one that the JSON"),
    "a header that asks for a terabyte": (
        {"array_0.npy": ONE.replace(b"(1000,), }    ", b"(100000000000,)}")},
        "not the one that the JSON describes|bytes, not 8,128",
    ),
    "another name": ({"../array_0.npy": ONE}, "'array_0' is not in the .npz file"),
    "one array too many": ({"array_0.npy": ONE, "array_1.npy": ONE}, "has an unused member 'array_1.npy'"),
    "no zip file": (b"PK\3\4" + bytes(100), "not an .npz file"),
    "nothing at all": (b"", "not an .npz file"),
    "a bare npy file": (ONE, "not an .npz file"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_forged_arrays(damaged: Copy, name: str) -> None:
    members, said = FORGED[name]
    document = {**damaged.document, "value": {"$array": {"dtype": "<f8", "shape": [1000], "member": "array_0"}}}
    damaged.write_arrays(npz({"array_0.npy": ONE}), document)
    assert read_recording(damaged.path).value.shape == (1000,)
    damaged.write_arrays(members if isinstance(members, bytes) else npz(members), document)
    with pytest.raises(MalformedRecordingError, match=said):
        read_recording(damaged.path)
    assert not Path("executed").exists()


def test_an_array_cannot_be_used_twice(damaged: Copy) -> None:
    node = {"$array": {"dtype": "<f8", "shape": [1000], "member": "array_0"}}
    damaged.write_arrays(npz({"array_0.npy": ONE}), {**damaged.document, "value": [node] * 1000})
    with pytest.raises(MalformedRecordingError, match=r"'array_0' is not in the .npz file, or is used twice") as error:
        read_recording(damaged.path)
    assert error.value.inside == "value[1]"


def test_two_members_of_one_name(damaged: Copy) -> None:
    content = npz({"array_0.npy": ONE, "array_1.npy": ONE}).replace(b"array_1", b"array_0")
    damaged.write_arrays(content)
    with pytest.raises(MalformedRecordingError, match="two arrays have the same name"):
        read_recording(damaged.path)


@pytest.mark.parametrize(
    "file",
    ["../answers.npz", "/etc/passwd", "answers.npz", "..\\x.npz", "", "\0", None, 3, ["a"], "answers[gpt2].json"],
)
def test_no_path_is_taken_from_a_recording(damaged: Copy, file: Any) -> None:
    damaged.write(put(damaged.document, ("arrays", "file"), file))
    with pytest.raises(MalformedRecordingError, match="not in the file beside this recording"):
        read_recording(damaged.path)
    damaged.write(put(damaged.document, ("arrays", "digest"), file))
    with pytest.raises(MalformedRecordingError):
        read_recording(damaged.path)


@pytest.mark.parametrize(
    ("edit", "kind", "said"),
    [
        (lambda text: "", TruncatedRecordingError, "truncated: its end is missing"),
        (lambda text: text[:-40], TruncatedRecordingError, "truncated: its end is missing"),
        (lambda text: text.replace("a/1", "a/2"), TamperedRecordingError, "its digest does not match"),
        (lambda text: text.replace(": [", ": [,", 1), TamperedRecordingError, "it is no longer JSON"),
        (lambda text: text.replace('"test_x"', "NaN"), MalformedRecordingError, "NaN is not JSON"),
        (lambda text: text.replace('"status"', '"module"'), MalformedRecordingError, "'module' occurs twice"),
        (lambda text: text.replace('g": 2,', 'g": 3,'), RecordingVersionError, "has format 3; this version of"),
        (lambda text: text.replace('g": 2,', 'g": 0,'), RecordingVersionError, "has format 0; this version of"),
        (lambda text: text.replace('g": 2,', 'g": "1",'), MalformedRecordingError, "format is '1'"),
        (lambda text: text.replace('g": 2,', 'g": true,'), MalformedRecordingError, "format is 'True'"),
        (lambda text: text.replace('g": 2,', 'g": ' + "1" * 9999 + ","), MalformedRecordingError, "9,999 digits"),
        (lambda text: "[1]", MalformedRecordingError, "the file is JSON, but not a recording"),
        (lambda text: "{}", MalformedRecordingError, "the file is JSON, but not a recording"),
        (lambda text: "null", MalformedRecordingError, "the file is JSON, but not a recording"),
        (lambda text: "[" * 100_000, MalformedRecordingError, "nested too deeply"),
        (lambda text: '{"a":' * 100_000, MalformedRecordingError, "nested too deeply"),
        (lambda text: "\ufeff" + text, TamperedRecordingError, "it is no longer JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_each_damage_has_its_own_error(
    damaged: Copy, edit: Callable[[str], str], kind: type[RecordingError], said: str
) -> None:
    damaged.path.write_text(edit(damaged.whole[damaged.path].decode()), encoding="utf-8")
    with pytest.raises(kind) as error:
        read_recording(damaged.path)
    assert said in error.value.what
    assert type(error.value) is kind
    assert not damaged.is_whole()


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("fixture",), 1, "'fixture' is of type int, not str"),
        (("params",), ["gpt2", None], "something in 'params' is not of type str"),
        (("keys",), [], "'keys' is of type list, not dict"),
        (("keys", "function"), {"a": 1}, "something in 'function' is not of type str"),
        (("keys", "environment"), None, "'environment' is of type NoneType, not dict"),
        (("recorded", "seconds"), "1", "'seconds' is of type str, not float"),
        (("status",), "fine", "status 'fine' with a value"),
        (("surprise",), 1, "unknown field 'surprise'"),
        (("value", "rows", 0), {"$exec": "1"}, "unknown tag '$exec'"),
        (("value", "rows", 0), {"$int": "0x1", "b": 1}, "the tag '$int' among other names"),
        (("value", "rows", 0), {"a": 1, "$int": "0x1"}, "'$int' among other names"),
        (("value", "rows", 0), {"$dict": [[[], 1]]}, "not the key of a dict"),
        (("value", "rows", 0), {"$dict": [[1, 1], [True, 1]]}, "two equal keys"),
        (("value", "rows", 0), {"$dict": [[1]]}, "not a list of two"),
        (("value", "rows", 0), {"$float": "1.5"}, "not a special float"),
        (("value", "rows", 0), {"$bytes": "a*b="}, "not base64"),
        (("value", "rows", 0), {"$str": ["a", 1]}, "not pieces of text and lone surrogates"),
        (("value", "rows", 0), {"$tuple": {}}, "of type dict, not list"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_wrong_types_are_named_with_their_place(damaged: Copy, place: tuple[Any, ...], value: Any, said: str) -> None:
    damaged.write(put(damaged.document, place, value))
    with pytest.raises(MalformedRecordingError) as error:
        read_recording(damaged.path)
    assert said in error.value.what
    assert error.value.inside.startswith("value['rows'][0]" if place[0] == "value" else "")


def test_a_recording_under_another_name_and_arrays_that_are_gone(damaged: Copy) -> None:
    other = damaged.path.with_name("other.json")
    other.write_bytes(damaged.whole[damaged.path])
    with pytest.raises(TamperedRecordingError, match=r"the recording of answers\[gpt2\] has the wrong file name"):
        read_recording(other)
    damaged.npz.unlink()
    with pytest.raises(MissingRecordingError, match=r"missing\n  where: .*\.npz\n  what to do: "):
        read_recording(damaged.path)
    damaged.path.unlink()
    with pytest.raises(MissingRecordingError, match=r"missing\n  where: .*\.json\n  what to do: "):
        read_recording(damaged.path)
    damaged.path.mkdir()
    try:
        with pytest.raises(TamperedRecordingError, match="the recording is not a regular file"):
            read_recording(damaged.path)
    finally:
        damaged.path.rmdir()


def array(**node: Any) -> Any:
    return {"$array": {"dtype": "<f8", "shape": [1], **node}}


GREEDY: dict[str, Any] = {
    "a terabyte in a member": array(shape=[10**12], member="array_0"),
    "more than there is memory": array(shape=[1 << 61], member="array_0"),
    "a wide dtype": array(dtype="|V2000000000", shape=[1000], base64="AAAA"),
    "a wide field": array(dtype=[["a", "<f8", [2**40]]], base64="AAAA"),
    "a wide text": array(dtype="<U500000000", values=["a"]),
    "items of no size": array(dtype="|V0", shape=[10**12], base64=""),
    "an empty array of many": array(shape=[10**12], base64=""),
    "many dimensions": array(shape=[1] * 65, base64="AAAAAAAA8D8="),
    "many numbers announced": array(shape=[10**9], values=[1.0]),
    "many fields": array(dtype=[[str(number), "|u1"] for number in range(20_000)], base64="AAAA"),
    "deep dtypes": array(dtype=json.loads('[["a",' * 300 + '"<f8"' + "]]" * 300), base64="AAAA"),
    "deep lists": json.loads("[" * 900 + "]" * 900),
    "a long number": {"$int": "0x" + "f" * 1_000_000},
}


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")
def test_nothing_greedy_takes_memory_or_ends_the_process(damaged: Copy, tmp_path: Path) -> None:
    """Each of the worst, read by a process that may take 200 MB more than it has when it starts to read."""
    places: list[Path] = []

    def forge(name: str, value: Any, content: bytes = b"") -> None:
        copied = Copy(tmp_path / name.replace(" ", "_"))
        document = {**copied.document, "value": value}
        if content:
            copied.write_arrays(content, document)
        elif "array_0" in str(value):
            copied.write(document)
        else:
            copied.write({name: part for name, part in document.items() if name != "arrays"})
        places.append(copied.path)

    for name, value in GREEDY.items():
        forge(name, value)
    small = array(shape=[10**8], member="array_0")
    bomb = npz({"array_0.npy": bytes(800_000_128)}, zipfile.ZIP_DEFLATED)
    forge("a zip bomb", small, bomb)
    forge(
        "a zip bomb that says it is stored",
        small,
        bomb.replace(b"PK\1\2\x14\x03\x14\0\0\0\x08", b"PK\1\2\x14\x03\x14\0\0\0\0"),
    )
    lying = bytearray(npz({"array_0.npy": ONE}))
    at = lying.index(b"PK\1\2")
    lying[at + 20 : at + 28] = struct.pack("<II", 800_000_128, 800_000_128)
    forge("a zip file that lies", small, bytes(lying))
    crowded = npz({"array_0.npy": ONE})
    forge("a zip file of many entries", small, crowded[: crowded.index(b"PK\5\6")] + b"PK\5\6" + b"\xff" * 18)
    raw = {"brackets": b"[" * 20_000_000, "digits": b"1" * 20_000_000, "nothing": bytes(20_000_000)}
    for name, content in raw.items():
        copied = Copy(tmp_path / name)
        copied.path.write_bytes(content)
        places.append(copied.path)
    read = """
        import json, resource, sys
        import numpy
        from pathlib import Path
        from pytest_modal.store.recordings.errors import RecordingError
        from pytest_modal.store.recordings.reading import read_recording
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + 200_000_000
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for path in json.loads(sys.stdin.read()):
            try:
                read_recording(Path(path))
            except RecordingError as error:
                print(type(error).__name__, "|", error.what[:100])
            else:
                print("read")
        """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(read)],
        input=json.dumps([str(path) for path in places]),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    said = dict(zip([path.parent.parent.name for path in places], result.stdout.splitlines(), strict=True))
    assert not [line for line in said.values() if "MemoryError" in line], said
    # A number is as long as its file says, and a value of its own.
    assert {name for name, line in said.items() if line == "read"} == {"a_long_number"}, said
