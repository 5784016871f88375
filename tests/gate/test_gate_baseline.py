"""The files of a baseline: what they look like, what a diff shows, and what is said of damaged ones."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gate_data import GATE, TEST, evaluation, recorded, write_baseline
from hypothesis import given
from hypothesis import strategies as st

from pytest_modal.gate.judge.baseline import Anchor, Baseline, Entry, align, check_items
from pytest_modal.gate.judge.baseline_file import read_baseline, same_items_elsewhere
from pytest_modal.gate.judge.baseline_paths import baseline_path, check_gate_name, find_baseline, outputs_path
from pytest_modal.gate.judge.errors import BaselineError
from pytest_modal.gate.judge.policy import Origin

COUNTS = [5, 5, 4, 0, 5]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a baseline of five items."""
    path = baseline_path(tmp_path, GATE)
    write_baseline(path, recorded(evaluation(COUNTS, 5), origin=Origin(gpu="NVIDIA T4", model="gpt2@1", speed=12.5)))
    return path


def same(one: Baseline, two: Baseline) -> bool:
    arrays = np.array_equal(one.sums, two.sums) and np.array_equal(one.anchor_sums, two.anchor_sums, equal_nan=True)
    rest = [{k: v for k, v in vars(each).items() if k not in ("sums", "anchor_sums")} for each in (one, two)]
    return arrays and rest[0] == rest[1]


def broken(path: Path, gate: str = GATE) -> str:
    """Return the message about a baseline that can't be read, which has three parts."""
    with pytest.raises(BaselineError) as caught:
        read_baseline(path, gate, TEST)
    what, where, remedy = str(caught.value).split("\n")
    assert where.startswith(f"  where: {path.parent}")
    assert re.match(r"  what to do: .*(git |pip |sed |make )", remedy)
    return what


def test_a_baseline_is_plain_json_by_line(path: Path) -> None:
    header, *items = path.read_bytes().decode().removesuffix("\n").split("\n")
    assert items[2] == '{"id":"gsm8k/0002","c":4,"in":"' + json.loads(items[2])["in"] + '"}'
    assert [json.loads(item)["c"] for item in items] == COUNTS
    content = json.loads(header)
    assert content | {"dataset": 0, "items": 0, "outputs": 0} == {
        "schema": 1,
        "gate": "gsm8k",
        "n": 5,
        "k": 5,
        "accuracy": 0.76,
        "dataset": 0,
        "model": "gpt2@1",
        "gpu": "NVIDIA T4",
        "speed": 12.5,
        "rounds": ["r1"],
        "anchor": {"k": 5, "accuracy": 0.76, "date": "2026-01-31"},
        "items": 0,
        "outputs": 0,
        "history": [{"date": "2026-01-31", "accuracy": 0.76, "n": 5, "k": 5}],
    }
    assert outputs_path(path).read_text().split("\n")[3] == '{"id":"gsm8k/0003","out":"forty"}'
    assert sorted(each.name for each in path.parent.iterdir()) == ["gsm8k.jsonl", "gsm8k.outputs.jsonl"]


names = st.text(st.characters(), min_size=1, max_size=8)


@given(
    st.dictionaries(
        names,
        st.tuples(
            st.integers(0, 3) | st.floats(0, 3).map(lambda c: round(c, 9)),
            st.none() | st.text(st.characters()),
            st.none() | st.integers(0, 4),
            st.sampled_from(["", "77b0e3"]),
        ),
        min_size=1,
    ),
    st.sampled_from([3, 4]),
    st.none() | names,
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, items: Any, k: int, reason: Any) -> None:
    path = tmp_path_factory.mktemp("gate") / "baselines" / "gsm8k.jsonl"
    ids = tuple(sorted(items))
    anchor = Anchor(4, 0.5, "2025-12-01")
    baseline = Baseline(
        gate=GATE,
        ids=ids,
        sums=np.array([items[each][0] for each in ids], float),
        k=k,
        digests=tuple(items[each][3] for each in ids),
        outputs=tuple(items[each][1] for each in ids),
        anchor=anchor,
        anchor_sums=np.array([items[each][2] for each in ids], float),
        history=(Entry("2026-01-01", 0.5, len(ids), k, reason, anchor if reason else None),),
        rounds=("one", "two"),
    )
    write_baseline(path, baseline)
    assert same(read_baseline(path, GATE, TEST), baseline)


def test_a_diff_after_an_update_shows_the_items_that_changed(path: Path) -> None:
    before = path.read_text().split("\n"), outputs_path(path).read_text().split("\n")
    old = read_baseline(path, GATE, TEST)
    write_baseline(path, recorded(evaluation([5, 5, 5, 1, 5], 5), old, date="2026-02-01"))
    after = path.read_text().split("\n"), outputs_path(path).read_text().split("\n")
    changed = []
    for one, two in zip(before, after, strict=True):
        diff = [line for line in difflib.unified_diff(one, two, n=0, lineterm="") if line.startswith("+{")]
        changed.append([json.loads(line[1:]) for line in diff])
    (header, *items), outputs = changed
    assert header["accuracy"] == 0.84
    assert [(item["id"], item["c"], item["a"]) for item in items] == [("gsm8k/0002", 5, 4), ("gsm8k/0003", 1, 0)]
    assert [item["id"] for item in outputs] == ["gsm8k/0003"]


def test_a_failed_write_leaves_the_old_baseline(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_baseline(path, recorded(evaluation([0] * 5, 5)))
    assert path.read_bytes() == before
    assert sorted(each.name for each in path.parent.iterdir()) == ["gsm8k.jsonl", "gsm8k.outputs.jsonl"]


def test_line_ends_of_windows_are_no_damage(path: Path) -> None:
    old = read_baseline(path, GATE, TEST)
    for each in (path, outputs_path(path)):
        each.write_bytes(each.read_bytes().replace(b"\n", b"\r\n"))
    assert same(read_baseline(path, GATE, TEST), old)


def test_outputs_may_be_left_out(path: Path) -> None:
    outputs_path(path).unlink()
    assert read_baseline(path, GATE, TEST).outputs == (None,) * 5
    write_baseline(path, recorded(evaluation(COUNTS, 5)))
    write_baseline(path, recorded(evaluation(COUNTS, 5, outputs=[None] * 5)))
    assert not outputs_path(path).exists()


def edit(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda text: "", "is empty"),
        (lambda text: text[:-20], "is truncated: it ends in the middle of a line"),
        (lambda text: "".join(text.splitlines(True)[:-1]), "is truncated: it has 4 items, but its header says 5"),
        (lambda text: text + text.splitlines(True)[-1], "items twice or out of order, 'gsm8k/0004': a bad merge"),
        (
            lambda text: "".join(text.splitlines(True)[index] for index in (0, 2, 1, 3, 4, 5)),
            "items twice or out of order, 'gsm8k/0000': a bad merge",
        ),
        (lambda text: "<<<<<<< ours\n" + text + ">>>>>>> theirs\n", "has conflict markers"),
        (edit('"c":4', '"c":5'), "items that don't match the checksum of its header: a bad merge, or an edit by hand"),
        (edit('"accuracy":0.76', '"accuracy":0.86'), "a header that doesn't belong to its items"),
        (edit('"c":4', '"c":6'), "has an item with impossible values"),
        (edit('"c":4', '"c":true'), "has an item with impossible values"),
        (edit('"c":4', '"c":1e999'), "has an item with impossible values"),
        (edit('"c":4', '"c":NaN'), "has a line that is not a JSON object"),
        (edit('"id":"gsm8k/0002"', '"id":2'), "has an item with impossible values"),
        (edit('{"id":"gsm8k/0002"', '{"idx":"gsm8k/0002"'), "has an item with impossible values"),
        (edit('"c":4', '"c":4,"a":9'), "has an item with impossible values"),
        (edit('{"id":"gsm8k/0002"', '["id"'), "has a line that is not a JSON object"),
        (edit('"schema":1', '"schema":2'), "has schema 2, but this pytest-modal reads schema 1"),
        (edit('"schema":1,', ""), "has no 'schema' in its header"),
        (edit('"k":5', '"k":"5"'), "has 'k' = '5' in its header, which is of the wrong type"),
        (edit('"k":5', '"k":0'), "has a header with impossible values"),
        (edit('"anchor":{"k":5', '"anchor":{"k":null'), "has 'k' = None in its anchor"),
        (edit('"history":[{', '"history":[7,{'), "has 7 in its history"),
        (edit('"history":[{', '"history":[{"why":1,'), "has a header with impossible values"),
        (edit('"speed":12.5', '"speed":1e999'), "has a header with impossible values"),
        (edit('"gate":"gsm8k"', '"gate":"math"'), "belongs to another gate, 'math'"),
        (edit('"gate":"gsm8k"', '"gate":"a\';ls"'), "has a header with impossible values"),
        (lambda text: "[" * 100_000 + "\n" + text, "has a line that is not a JSON object"),
    ],
)
def test_damage_is_told_by_its_kind(path: Path, damage: Callable[[str], str], what: str) -> None:
    path.write_text(damage(path.read_text()))
    assert what in broken(path)


def test_damaged_outputs_are_told_too(path: Path) -> None:
    outputs = outputs_path(path)
    outputs.write_text(outputs.read_text().replace("forty", "fifty"))
    assert "has outputs that don't match" in broken(path)
    outputs.write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in broken(path)


def test_a_clean_merge_of_two_updates_is_found(path: Path) -> None:
    """Git merges the items of two branches line by line, and takes the header of one."""
    old = read_baseline(path, GATE, TEST)
    base = path.read_text().split("\n")
    write_baseline(path, recorded(evaluation([5, 5, 5, 0, 5], 5), old))
    ours = path.read_text().split("\n")
    write_baseline(path, recorded(evaluation([5, 5, 4, 1, 5], 5), old))
    theirs = path.read_text().split("\n")
    merged = [t if t != b else o for o, t, b in zip(ours, theirs, base, strict=True)]
    path.write_text("\n".join(merged))
    assert "checksum" in broken(path)


def test_the_message_about_a_bad_merge_in_full(path: Path) -> None:
    path.write_text(path.read_text().replace('"c":4', '"c":5'))
    with pytest.raises(BaselineError) as caught:
        read_baseline(path, GATE, TEST)
    assert str(caught.value).replace(str(path.parent), "baselines") == (
        "the baseline of gate 'gsm8k' has items that don't match the checksum of its header: "
        "a bad merge, or an edit by hand\n"
        "  where: baselines/gsm8k.jsonl:1\n"
        "  what to do: restore an intact version (git log --oneline -- baselines/gsm8k.jsonl, git checkout "
        "COMMIT -- baselines/gsm8k.jsonl baselines/gsm8k.outputs.jsonl), or delete it and record it again: "
        'pytest "test_gsm8k.py::test_accuracy" --modal-update-baselines'
    )


# Which file, which items.


def test_the_baseline_of_the_device_comes_first(tmp_path: Path) -> None:
    assert find_baseline(tmp_path, GATE, "NVIDIA A100-SXM4-40GB") is None
    general, special = baseline_path(tmp_path, GATE), baseline_path(tmp_path, GATE, "NVIDIA A100-SXM4-40GB")
    assert special.name == "gsm8k.NVIDIA-A100-SXM4-40GB.jsonl"
    write_baseline(general, recorded(evaluation(COUNTS, 5)))
    assert find_baseline(tmp_path, GATE, "NVIDIA A100-SXM4-40GB") == general
    write_baseline(special, recorded(evaluation(COUNTS, 5)))
    assert find_baseline(tmp_path, GATE, "NVIDIA A100-SXM4-40GB") == special
    assert find_baseline(tmp_path, GATE) == general


def test_a_gate_is_named_as_a_file_can_be() -> None:
    assert check_gate_name("gsm8k-8bit[T4]", TEST) == "gsm8k-8bit[T4]"
    for name in ("org/model", "../up", "a b", "", None, "x" * 101, ".hidden", "con", "gsm8k.outputs", "a\n", "a.", "ü"):
        with pytest.raises(ValueError, match="where: test_gsm8k"):
            check_gate_name(name, TEST)
    with pytest.raises(ValueError, match="such as 'org-model'"):
        check_gate_name("org/model", TEST)


@given(st.text())
def test_the_name_that_is_proposed_is_taken(name: str) -> None:
    try:
        assert check_gate_name(name, TEST) == name
    except ValueError as error:
        if proposed := re.search(r"such as '(.*)'$", str(error)):
            check_gate_name(proposed[1], TEST)
        else:
            assert name == ""


def test_a_renamed_gate_is_recognized_by_its_items(path: Path) -> None:
    new = path.with_name("math.jsonl")
    assert same_items_elsewhere(new, evaluation([1] * 5).dataset) == GATE
    assert same_items_elsewhere(new, evaluation([1] * 4).dataset) is None
    assert same_items_elsewhere(path, evaluation([1] * 5).dataset) is None


def test_items_that_are_missing_or_changed_are_errors(path: Path) -> None:
    baseline = read_baseline(path, GATE, TEST)

    def refused(now: Any) -> str:
        with pytest.raises(BaselineError, match="--modal-update-baselines") as caught:
            check_items(baseline, now, align(baseline, now), str(path), TEST)
        return str(caught.value).split("\n")[0]

    assert "the rows lack 2 items of the baseline: 'gsm8k/0003', 'gsm8k/0004'" in refused(evaluation([1] * 3))
    now = evaluation([1] * 5)
    changed = evaluation([1] * 5, digests=(*now.digests[:4], "000000"))
    assert "the input of 1 item has changed since the baseline: 'gsm8k/0004'" in refused(changed)
    assert "the rows have no inputs" in refused(evaluation([1] * 5, digests=("",) * 5))
    grown = evaluation([1] * 6)
    check_items(baseline, grown, align(baseline, grown), str(path), TEST)
    assert align(baseline, grown).new == ("gsm8k/0005",)
    assert align(baseline, evaluation([1] * 4, first=2)).summary == "removed 2, added 1 items"
