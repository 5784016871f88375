"""What was recorded comes back, the same; an old recording stays until a new one is whole; what changed is named."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_data import ARRAYS, LAYOUTS, same, values

from pytest_modal.batch.environment import Environment
from pytest_modal.remote import data
from pytest_modal.store.files import delete
from pytest_modal.store.recordings import writing as writing_module
from pytest_modal.store.recordings.errors import (
    MissingRecordingError,
    SecretInRecordingError,
    StaleRecordingError,
    TamperedRecordingError,
)
from pytest_modal.store.recordings.finding import Finder
from pytest_modal.store.recordings.model import Keys, Name, Recording, RunFacts, Slot, declared, differences
from pytest_modal.store.recordings.paths import recording_path, told_apart, unused_recordings
from pytest_modal.store.recordings.reading import check_fresh, read_recording
from pytest_modal.store.recordings.writing import secret_values, write_recording

NAME = Name("test_accuracy", "answers", ("gpt2",))
KEYS = Keys(
    {"function answers": "0a" * 16, "helper inference.answer_all": "0b" * 16},
    {"problems": "0c" * 20},
    declared(Environment(packages=("torch==2.4.0",))),
)
FACTS = RunFacts("2025-06-01T12:00:00+00:00", "NVIDIA T4", "3.12.1", {"torch": "2.4.0", "numpy": "2.1.0"}, 12.5)


def recording(value: Any, **changes: Any) -> Recording:
    return dataclasses.replace(Recording(NAME, KEYS, FACTS, value), **changes)


def find(directory: Path, name: Name, keys: Keys = KEYS) -> Path:
    return Finder().find(Slot(directory, name, keys))


def there_and_back(directory: Path, value: Any) -> Any:
    return read_recording(write_recording(directory, recording(value))).value


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=values)
def test_plain_values_come_back_as_they_were(tmp_path: Path, value: Any) -> None:
    assert same(there_and_back(tmp_path, value), value)


@pytest.mark.parametrize("size", ["inline", "beside"])
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_bit_for_bit(tmp_path: Path, name: str, size: str) -> None:
    array = ARRAYS[name]
    if size == "beside" and array.ndim:
        array = np.concatenate([array] * 600)
    back = there_and_back(tmp_path, {"array": [array]})["array"][0]
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable
    assert data.digest(data.encode(back)) == data.digest(data.encode(array))


def fortran(name: str) -> Any:
    return np.asfortranarray(np.arange(600.0, dtype=name).reshape(20, 30))


@pytest.mark.parametrize(
    "value",
    [
        fortran("<f4"),
        fortran(">i2"),
        [np.float16(0.1), np.float32(0.1), np.float64(0.1), np.longdouble(1) / 3, np.int8(-3), np.uint64(2**64 - 1)],
        [np.bool_(True), np.complex64(1j), np.datetime64("2020-01-01T00:00:01"), np.timedelta64(3, "h")],
        [np.str_("a\0"), np.bytes_(b"a\0"), np.str_("\ud83d\ude00"), np.bytes_(bytes(5000))],
        [np.array([np.nan, -np.nan, np.inf, -0.0], "f4"), np.frombuffer(b"\1\0\xc0\x7f" * 2, "f4")],
        [np.zeros((0, 10**9), "f4"), np.zeros((2, 0), ">U3"), np.array(7, ">u2"), np.array("x")],
        np.array([(1, ("é", 2))], [("größe", "i1"), ("名", [("d", "U3"), ("e", ">i2")])]).repeat(500),
        np.zeros(500, np.dtype([(("a title", "a"), "i1"), ("b", "f8", (2, 2))], align=True)),
        [bytes(range(256)), bytes(range(256)) * 20, b""],
        {"$tuple": [1], "$": 2, "a": {"$x": 3}},
        {"\ud800": "\ud83d\ude00", "\u202e\x1b[31m": "\x9b\ufeff\U000e0041"},
        {(1, (2.5, "x")): None, b"k": True, 1j: 0, None: 1, float("inf"): 2},
        [2**64, -(2**700), 10**300, 1e22, 5e-324, -0.0],
    ],
    ids=lambda value: str(value)[:30].splitlines()[0],
)
def test_unusual_values_come_back_bit_for_bit(tmp_path: Path, value: Any) -> None:
    back = there_and_back(tmp_path, value)
    assert data.digest(data.encode(back)) == data.digest(data.encode(value))


@pytest.mark.parametrize("times", [1, 600])
@pytest.mark.parametrize("name", LAYOUTS)
def test_arrays_of_every_layout_come_back(tmp_path: Path, name: str, times: int) -> None:
    array = np.zeros(times, np.dtype(LAYOUTS[name]))
    back = there_and_back(tmp_path, [array, array[0]])
    assert [type(each) for each in back] == [np.ndarray, type(array[0])]
    for was, now in zip([array, array[0]], back, strict=True):
        assert data.digest(data.encode(now)) == data.digest(data.encode(was))


def test_the_deepest_data_comes_back(tmp_path: Path) -> None:
    wraps: list[Callable[[Any], Any]] = [lambda x: [x], lambda x: (x,), lambda x: {"a": x}, lambda x: {1: x}]
    for wrap in wraps:
        value: Any = 1
        for _ in range(data.MAX_DEPTH):
            value = wrap(value)
        assert there_and_back(tmp_path, value) == value


def test_numpy_opens_the_arrays_too(tmp_path: Path) -> None:
    value = [fortran("<f4"), np.zeros(3, "i1,U3").repeat(100), np.array(["größe"]).repeat(300), np.arange(1000)]
    value.append(np.zeros(300, [("名", "f8")]))
    path = write_recording(tmp_path, recording(value))
    (beside,) = path.parent.glob("*.npz")
    with np.load(beside, allow_pickle=False) as loaded:
        for index, array in enumerate(value):
            assert loaded[f"array_{index}"].dtype == array.dtype
            assert loaded[f"array_{index}"].tobytes() == array.tobytes()
            assert loaded[f"array_{index}"].flags.f_contiguous == array.flags.f_contiguous


def test_the_file_is_made_to_be_reviewed(tmp_path: Path) -> None:
    rows = [{"id": "a/1", "output": "4", "time": 0.25}, {"id": "a/2", "output": "five\u202e\x1b[2J", "time": 0.5}]
    path = write_recording(tmp_path, recording({"rows": rows, "accuracy": np.float32(0.1), "logits": np.ones(1000)}))
    assert path == tmp_path / "test_accuracy" / "answers[gpt2].json"
    text = path.read_bytes().decode()
    assert text.endswith('"\n}\n')
    assert "\r" not in text
    assert all(character.isprintable() for character in text.replace("\n", ""))
    assert text.partition('"value": ')[2].partition('"arrays"')[0].splitlines() == [
        "{",
        '    "rows": [',
        '      {"id": "a/1", "output": "4", "time": 0.25},',
        '      {"id": "a/2", "output": "five\\u202e\\u001b[2J", "time": 0.5}',
        "    ],",
        '    "accuracy": {"$scalar": {"dtype": "<f4", "shape": [], "values": 0.1}},',
        '    "logits": {"$array": {"dtype": "<f8", "shape": [1000], "member": "array_0"}}',
        "  },",
        "  ",
    ]
    assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444


def test_the_same_data_makes_the_same_files(tmp_path: Path) -> None:
    value = {"a": np.arange(1000), "b": [1.5] * 40}
    first, second = (write_recording(tmp_path / name, recording(value)) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert [each.name for each in sorted(first.parent.iterdir())] == [
        each.name for each in sorted(second.parent.iterdir())
    ]


def test_the_header_comes_back(tmp_path: Path) -> None:
    whole = recording([1], stdout="loading\n", stderr="")
    assert read_recording(write_recording(tmp_path, whole)) == whole
    assert read_recording(write_recording(tmp_path, recording([1]))).stdout is None


def test_formatting_and_line_ends_do_not_break_a_recording(tmp_path: Path) -> None:
    path = write_recording(tmp_path, recording({"a": [1, 2.5, "x\r\n"]}))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_recording(path).value == {"a": [1, 2.5, "x\r\n"]}
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4))
    assert read_recording(path).value == {"a": [1, 2.5, "x\r\n"]}


def test_a_new_recording_replaces_the_old_one_and_its_arrays(tmp_path: Path) -> None:
    path = write_recording(tmp_path, recording(np.zeros(1000)))
    write_recording(tmp_path, recording(np.ones(1000)))
    assert read_recording(path).value.sum() == 1000
    assert len(list(path.parent.iterdir())) == 2
    write_recording(tmp_path, recording("no array"))
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("step", ["write_npz", "render"])
def test_the_old_recording_stays_when_the_new_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = write_recording(tmp_path, recording(np.zeros(1000)))
    before = {entry.name: entry.read_bytes() for entry in path.parent.iterdir()}

    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(writing_module, step, full)
    with pytest.raises(OSError, match="no space left"):
        write_recording(tmp_path, recording(np.ones(1000)))
    assert read_recording(path).value.sum() == 0
    assert before == {entry.name: entry.read_bytes() for entry in path.parent.iterdir()}


WRITER = """
import sys
from pathlib import Path
import numpy as np
from pytest_modal.store.recordings.model import RunFacts, Keys, Name, Recording
from pytest_modal.store.recordings.writing import write_recording
print("ready", flush=True)
for number in range(1, 100_000):
    facts = RunFacts("", "", "", {}, float(number))
    value = [np.full(20_000, number), number]
    write_recording(Path(sys.argv[1]), Recording(Name("test_x", "answers"), Keys({}, {}, {}), facts, value))
"""


def test_killed_at_any_moment_it_leaves_a_whole_recording(tmp_path: Path) -> None:
    path = recording_path(tmp_path, Name("test_x", "answers"))
    for seed in range(5):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            while not path.exists():
                assert process.poll() is None
            time.sleep(random.Random(seed).uniform(0.01, 0.1))
            process.kill()
        found = read_recording(path)
        assert (found.value[0] == found.value[1]).all()
        assert found.facts.seconds == found.value[1]
        for leftover in unused_recordings(tmp_path, [path]):
            delete(leftover)
        assert len(list(path.parent.iterdir())) == 2


def test_two_runs_that_record_at_once_leave_a_whole_recording(tmp_path: Path) -> None:
    path = recording_path(tmp_path, Name("test_x", "answers"))
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER.replace("100_000", "60"), str(tmp_path)]) for _ in range(2)
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    found = read_recording(path)
    assert (found.value[0] == found.value[1]).all()


def test_what_is_not_data_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(data.NotDataError, match=r'answers\["a"\]\[0\]: set is not data'):
        write_recording(tmp_path, recording({"a": [{1}]}))
    assert list(tmp_path.iterdir()) == []


def test_tensors_and_dataclasses_are_recorded_as_they_would_leave_a_container(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    @dataclasses.dataclass
    class Row:
        scores: Any

    back = there_and_back(tmp_path, [Row(torch.ones(2, dtype=torch.bfloat16))])
    assert list(back[0]) == ["scores"]
    assert back[0]["scores"].dtype == np.float32


ENVIRON = {"HF_TOKEN": "hf_0123456789", "HOME": "/home/someone", "DEBUG_TOKEN": "1"}


@pytest.mark.parametrize(
    "leak",
    [
        {"value": {"debug": ["the token is hf_0123456789"]}},
        {"value": {"hf_0123456789": 1}},
        {"value": [b"\xff hf_0123456789" * 200]},
        {"value": 1, "stdout": "hf_0123456789"},
    ],
)
def test_a_secret_is_not_recorded(tmp_path: Path, leak: dict[str, Any]) -> None:
    old = write_recording(tmp_path, recording("old"))
    secrets = secret_values(ENVIRON)
    assert list(secrets) == ["HF_TOKEN"]
    with pytest.raises(SecretInRecordingError) as refused:
        write_recording(tmp_path, recording(**leak), secrets)
    assert str(refused.value).splitlines() == [
        "the result or output of answers[gpt2] holds the value of HF_TOKEN: it was not recorded",
        f"  where: {old}",
        "  what to do: return only results, and print no environment variables",
    ]
    assert read_recording(old).value == "old"


def test_values_of_environment_variables_and_secrets_are_not_in_the_environment() -> None:
    environment = Environment(
        gpu=("H100", "A100"), timeout=float("inf"), env=(("WANDB_KEY", "hidden"),), secrets=("my-secret", object())
    )
    shown = declared(environment)
    assert "hidden" not in json.dumps(shown)
    assert (shown["env"], shown["secrets"]) == (["WANDB_KEY"], ["my-secret", "object"])


def test_what_changed_is_named() -> None:
    now = Keys(
        {"function answers": "0a" * 16, "helper inference.answer_all": "ff" * 16, "constant inference.N": "0d" * 16},
        {"problems": "ff" * 20, "seed": "0e" * 20},
        declared(Environment(gpu=("A100", "H100"), packages=("torch==2.5.0",))),
    )
    assert differences(KEYS, KEYS) == []
    assert differences(KEYS, now) == [
        "constant inference.N is new",
        "helper inference.answer_all changed",
        "argument problems changed",
        "argument seed is new",
        "environment: gpu was T4, is A100, H100",
        "environment: packages was torch==2.4.0, is torch==2.5.0",
    ]
    assert KEYS.digest != now.digest
    assert dataclasses.replace(KEYS, arguments=dict(KEYS.arguments)).digest == KEYS.digest


def test_a_stale_recording_says_what_changed_and_how_to_fix_it(tmp_path: Path) -> None:
    path = write_recording(tmp_path, recording(1))
    found = read_recording(path)
    check_fresh(path, found.keys, KEYS)
    with pytest.raises(StaleRecordingError) as stale:
        check_fresh(path, found.keys, dataclasses.replace(KEYS, arguments={"problems": "ff" * 20}))
    assert str(stale.value).splitlines() == [
        "the recording is stale: what it depends on has changed",
        "  changed: argument problems changed",
        f"  where: {path}",
        "  what to do: record it again: pytest --modal --modal-record; or undo the change",
    ]


@pytest.mark.parametrize("params", [("../../etc/passwd",), ("a/b", "c"), ("x" * 300,), ("é", "\0", " "), ("CON",), ()])
def test_names_of_files_are_safe(tmp_path: Path, params: tuple[str, ...]) -> None:
    name = Name("test_x", "answers", params)
    path = write_recording(tmp_path / "recordings", recording(1, name=name))
    assert path.parent == tmp_path / "recordings" / "test_x"
    assert path.name.isascii()
    assert len(path.name) < 130
    assert find(tmp_path / "recordings", name) == path
    assert read_recording(path).name == name


def keys_of(argument: str) -> Keys:
    return dataclasses.replace(KEYS, arguments={"problems": argument * 20})


def test_calls_whose_names_clash_get_files_of_their_own(tmp_path: Path) -> None:
    names = {
        "1a": Name("test_x", "answers", ("ndarray",)),
        "2b": Name("test_x", "answers", ("NDArray",)),
        "3c": Name("test_x", "answers", ("list",)),
        "4d": Name("test_x", "answers", ("NDArray",)),
    }
    apart = told_apart({key: (name, "same" if key in ("2b", "4d") else key) for key, name in names.items()})
    for key, name in apart.items():
        write_recording(tmp_path, recording(key, name=name, keys=keys_of(key)))
    assert len({str(path).casefold() for path in tmp_path.glob("*/*.json")}) == 4
    assert apart["3c"] == names["3c"]
    found = [Finder().read(Slot(tmp_path, name, keys_of(key))).value for key, name in apart.items()]
    assert found == list(apart)


@pytest.mark.parametrize("code", ["0a", "0e"], ids=["as it was", "edited"])
def test_a_recording_is_found_under_any_name_by_what_it_depended_on(tmp_path: Path, code: str) -> None:
    names = [Name("test_x", "answers", (), "as told apart by an earlier version"), Name("test_x", "answers", ("fast",))]
    for name, argument in zip(names, ("11", "22"), strict=True):
        write_recording(tmp_path, recording(argument, name=name, keys=keys_of(argument)))
    wanted = dataclasses.replace(keys_of("11"), function=dict(KEYS.function) | {"function answers": code * 16})
    slot = Slot(tmp_path, Name("test_x", "answers", ("slow",)), wanted)
    if code == "0a":
        assert Finder().read(slot).value == "11"
    else:
        with pytest.raises(StaleRecordingError, match="changed: function answers changed"):
            Finder().read(slot)
    assert Finder().superseded(slot) == [recording_path(tmp_path, names[0])]


def test_a_recording_of_another_call_or_round_is_not_taken_for_it(tmp_path: Path) -> None:
    for params in (("tiny",), ("large", "round2")):
        write_recording(tmp_path, recording(1, name=Name("test_x", "answers", params), keys=keys_of("11")))
    with pytest.raises(MissingRecordingError, match=re.escape("answers[large] was not recorded")):
        find(tmp_path, Name("test_x", "answers", ("large",)), keys_of("22"))
    assert find(tmp_path, Name("test_x", "answers", ("big", "round2")), keys_of("11")).stem == "answers[large-round2]"


def test_a_missing_recording_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(MissingRecordingError) as missing:
        find(tmp_path, NAME)
    assert str(missing.value).splitlines() == [
        "answers[gpt2] was not recorded",
        f"  where: {tmp_path / 'test_accuracy' / 'answers[gpt2].json'}",
        "  what to do: record it: pytest --modal --modal-record",
    ]


def test_unused_files_are_ours_and_nobody_elses(tmp_path: Path) -> None:
    used = write_recording(tmp_path, recording(np.ones(1000)))
    other = write_recording(tmp_path, recording(np.ones(1000), name=Name("test_gone", "answers")))
    (arrays,) = other.parent.glob("*.npz")
    draft = other.with_name(".draft-x1y2")
    draft.mkdir()
    (draft / other.name).touch()
    for foreign in ("notes.json", "README.md", "data.npz", ".gitattributes"):
        (other.parent / foreign).write_text("{}")
    orphan = used.with_name("never-0123456789abcdef.npz")
    orphan.touch()
    left_by_a_crash = used.with_name(f"{used.stem}-0123456789abcdef.npz")
    left_by_a_crash.touch()
    assert unused_recordings(tmp_path, [used]) == sorted([other, arrays, draft, orphan, left_by_a_crash])
    assert unused_recordings(tmp_path / "none", []) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = write_recording(tmp_path / "outside", recording(np.ones(1000)))
    inside = recording_path(tmp_path / "inside", NAME)
    inside.parent.parent.mkdir()
    inside.parent.symlink_to(outside.parent)
    for attempt in (lambda: read_recording(inside), lambda: write_recording(tmp_path / "inside", recording(1))):
        with pytest.raises(TamperedRecordingError, match="recordings are not read or written through a symbolic link"):
            attempt()
    inside.parent.unlink()
    inside.parent.parent.rmdir()
    inside.parent.parent.symlink_to(outside.parent.parent)
    for attempt in (lambda: read_recording(inside), lambda: write_recording(tmp_path / "inside", recording(1))):
        with pytest.raises(TamperedRecordingError, match="recordings are not read or written through a symbolic link"):
            attempt()
    inside.parent.parent.unlink()
    inside.parent.mkdir(parents=True)
    inside.symlink_to(outside)
    with pytest.raises(TamperedRecordingError, match="symbolic link"):
        read_recording(inside)
    inside.unlink()
    inside.write_bytes(outside.read_bytes())
    (arrays,) = outside.parent.glob("*.npz")
    inside.with_name(arrays.name).symlink_to(arrays)
    with pytest.raises(TamperedRecordingError, match="symbolic link"):
        read_recording(inside)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = recording_path(tmp_path, NAME)
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(TamperedRecordingError, match="the recording is not a regular file"):
        read_recording(path)


names_strategy = st.text(st.characters(codec=None, categories=None), max_size=20)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(params=st.lists(names_strategy, max_size=3))
def test_any_params_make_a_name_that_is_found_again(tmp_path: Path, params: list[str]) -> None:
    name = Name("test_x", "f", tuple(params))
    path = write_recording(tmp_path, recording(1, name=name))
    assert read_recording(path).name == name
    assert find(tmp_path, name) == path


def test_replaying_plain_values_imports_no_package_of_numbers(tmp_path: Path) -> None:
    path = write_recording(tmp_path, recording({"rows": [{"id": "a", "time": 0.5}]}))
    program = """
        import sys
        from pathlib import Path
        from pytest_modal.code import keys
        from pytest_modal.store.recordings.reading import read_recording
        assert read_recording(Path(sys.argv[1])).value == {"rows": [{"id": "a", "time": 0.5}]}
        print(sorted({"modal", "torch", "numpy", "pandas"} & set(sys.modules)))
        """
    command = [sys.executable, "-c", textwrap.dedent(program), str(path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
