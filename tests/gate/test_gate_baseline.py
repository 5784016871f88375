"""The files of a baseline: what they look like, what a diff shows, and what is said of damaged ones."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gate_data import GATE, TEST, evaluation, judged, recorded, updated, write_baseline
from hypothesis import given
from hypothesis import strategies as st

from pytest_modal.gate.judge.baseline import Anchor, Baseline, Entry, Round, align, check_items
from pytest_modal.gate.judge.baseline_file import read_baseline, same_items_elsewhere
from pytest_modal.gate.judge.baseline_paths import baseline_path, check_gate_name, find_baseline, outputs_path
from pytest_modal.gate.judge.errors import BaselineError
from pytest_modal.gate.judge.policy import Origin
from pytest_modal.gate.judge.update import plan_addition

COUNTS = [5, 5, 4, 0, 5]
ORIGIN = Origin(gpu="NVIDIA T4", model="gpt2@1", app="ap-1", packages=("torch==2.5.0",))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a baseline of five items."""
    path = baseline_path(tmp_path, GATE)
    write_baseline(path, recorded(evaluation(COUNTS, 5), origin=ORIGIN))
    return path


def same(one: Baseline, two: Baseline) -> bool:
    arrays = ("results", "anchor_results")
    equal = all(np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True) for name in arrays)
    rest = [{k: v for k, v in vars(each).items() if k not in arrays} for each in (one, two)]
    return equal and rest[0] == rest[1]


def broken(path: Path, gate: str = GATE) -> str:
    """Return the message about a baseline that can't be read, which has three parts."""
    with pytest.raises(BaselineError) as caught:
        read_baseline(path, gate, TEST)
    what, where, remedy = str(caught.value).split("\n")
    assert where.startswith(f"  where: {path.parent}")
    assert re.match(r"  what to do: .*(git |pip |sed |make )", remedy)
    return what


def test_a_baseline_is_plain_json_by_line(path: Path) -> None:
    header, anchor, *rounds, history, a, b, c, d, e = map(json.loads, path.read_text().splitlines())
    assert header | {"dataset": 0, "items": 0, "outputs": 0} == {
        "schema": 2,
        "gate": "gsm8k",
        "dataset": 0,
        "items": 0,
        "outputs": 0,
    }
    assert anchor == {"anchor": "2026-01-31", "rounds": 5, "accuracy": 0.76}
    # Of the item that was right four times, the last round was wrong.
    first = {"round": "2026-01-31", "accuracy": 0.8, "app": "ap-1", "gpu": "NVIDIA T4", "model": "gpt2@1"}
    first["packages"] = ["torch==2.5.0"]
    assert rounds == [first] * 4 + [first | {"accuracy": 0.6}]
    assert history == {"history": "2026-01-31", "accuracy": 0.76, "n": 5, "k": 5}
    assert [item["r"] for item in (a, b, c, d, e)] == [1, 1, "11110", 0, 1]
    assert list(c) == ["id", "r", "in"]
    assert outputs_path(path).read_text().split("\n")[3] == '{"id":"gsm8k/0003","out":"forty"}'
    assert sorted(each.name for each in path.parent.iterdir()) == ["gsm8k.jsonl", "gsm8k.outputs.jsonl"]


names = st.text(st.characters(), min_size=1, max_size=8)
rights = st.lists(st.sampled_from([0.0, 1.0]), min_size=4, max_size=4)
scores = st.integers(0, 10_000).map(lambda each: each / 10_000)


@given(
    st.sampled_from(["right or wrong", "scores"]),
    st.dictionaries(
        names,
        st.tuples(
            rights,
            rights,
            scores,
            st.none() | st.text(st.characters()),
            st.booleans(),
            st.sampled_from(["", "77b0e3"]),
        ),
        min_size=1,
    ),
    st.sampled_from([3, 4]),
    st.none() | names,
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, kind: str, items: Any, k: int, reason: Any
) -> None:
    path = tmp_path_factory.mktemp("gate") / "baselines" / "gsm8k.jsonl"
    ids = tuple(sorted(items))
    results, anchors = (np.array([items[each][place] for each in ids], float) for place in (0, 1))
    if kind == "scores":
        results = np.repeat([[items[each][2]] for each in ids], 4, axis=1)
    for index, each in enumerate(ids):
        if items[each][4]:
            anchors[index] = np.nan
    anchor = Anchor(4, 0.5, "2025-12-01")
    baseline = Baseline(
        gate=GATE,
        ids=ids,
        results=results[:, :k],
        digests=tuple(items[each][5] for each in ids),
        outputs=tuple(items[each][3] for each in ids),
        rounds=tuple(Round("2026-01-01", round(each, 6), "ap") for each in results[:, :k].mean(axis=0).tolist()),
        anchor=anchor,
        anchor_results=anchors,
        history=(Entry("2026-01-01", 0.5, len(ids), k, reason, anchor if reason else None),),
    )
    write_baseline(path, baseline)
    assert same(read_baseline(path, GATE, TEST), baseline)


def changed_lines(before: str, after: str) -> list[Any]:
    """Return what a diff adds."""
    diff = difflib.unified_diff(before.split("\n"), after.split("\n"), n=0, lineterm="")
    return [json.loads(line[1:]) for line in diff if line.startswith("+{")]


def test_a_diff_after_an_update_shows_the_items_that_changed(path: Path) -> None:
    before = path.read_text(), outputs_path(path).read_text()
    old = read_baseline(path, GATE, TEST)
    write_baseline(path, recorded(evaluation([5, 5, 5, 1, 5], 5), old, date="2026-02-01"))
    items = [line for line in changed_lines(before[0], path.read_text()) if "id" in line]
    assert [(item["id"], item["r"], item["a"]) for item in items] == [
        ("gsm8k/0002", 1, "11110"),
        ("gsm8k/0003", "10000", 0),
    ]
    outputs = changed_lines(before[1], outputs_path(path).read_text())
    assert [item["id"] for item in outputs] == ["gsm8k/0003"]


def test_a_round_that_is_added_changes_the_lines_of_items_that_flipped(path: Path) -> None:
    before = path.read_text(), outputs_path(path).read_text()
    old, now = read_baseline(path, GATE, TEST), evaluation([1, 1, 1, 1, 1])
    result = judged(now, old, adding=True)
    update = plan_addition(result, now, old, origin=Origin(app="ap-2"), date="2026-02-01", most=5)
    assert update.baseline is not None
    write_baseline(path, update.baseline)
    header, added, *items = changed_lines(before[0], path.read_text())
    assert header["schema"] == 2
    assert added == {"round": "2026-02-01", "accuracy": 1.0, "app": "ap-2"}
    assert [(item["id"], item["r"], item["a"]) for item in items] == [
        ("gsm8k/0002", "11101", "11110"),
        ("gsm8k/0003", "00001", 0),
    ]
    assert outputs_path(path).read_text() == before[1]


def test_scores_are_a_list_only_where_rounds_differ(path: Path) -> None:
    results = np.array([[0.93124, 0.93119], [0.93, 0.94]])
    write_baseline(path, recorded(evaluation([0, 0], results=results)))
    items = [json.loads(line) for line in path.read_text().splitlines()][-2:]
    assert [item["s"] for item in items] == [0.9312, [0.93, 0.94]]
    assert read_baseline(path, GATE, TEST).results.tolist() == [[0.9312, 0.9312], [0.93, 0.94]]


FIRST_SCHEMA = Path(__file__).with_name("first_schema.jsonl")


def test_the_first_schema_is_read_and_the_next_update_writes_the_second(path: Path) -> None:
    path.write_text(FIRST_SCHEMA.read_text())
    outputs_path(path).unlink()
    old = read_baseline(path, GATE, TEST)
    assert (old.k, old.sums.tolist(), old.accuracy) == (5, [5, 5, 4, 0, 5], 0.76)
    assert old.anchor_sums.tolist() == [5, 5, 4, 1, 5]
    assert (old.anchor, old.gpu, old.rounds[0].app) == (Anchor(5, 0.8, "2026-01-30"), "NVIDIA T4", "ap-1")
    update = updated(evaluation(COUNTS, 5, outputs=[None] * 5), old, origin=ORIGIN)
    assert update.baseline is not None
    write_baseline(path, update.baseline)
    assert json.loads(path.read_text().splitlines()[0])["schema"] == 2
    again = read_baseline(path, GATE, TEST)
    assert (again.anchor, again.anchor_sums.tolist()) == (old.anchor, [5, 5, 4, 1, 5])
    path.write_text(FIRST_SCHEMA.read_text().replace('"c":4', '"c":3'))
    assert "checksum" in broken(path)


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


def signed(text: str) -> str:
    """Return a file whose checksum is right again, to see what else is wrong with it."""
    lines = text.splitlines(keepends=True)
    items = "".join(line for line in lines[1:] if line.startswith('{"id"'))
    header = json.loads(lines[0]) | {"items": hashlib.sha256(items.encode()).hexdigest()[:32]}
    return json.dumps(header, separators=(",", ":")) + "\n" + "".join(lines[1:])


def edit_signed(old: str, new: str) -> Callable[[str], str]:
    return lambda text: signed(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda text: "", "is empty"),
        (lambda text: text[:-20], "is truncated: it ends in the middle of a line"),
        (lambda text: "".join(text.splitlines(True)[:-1]), "items that don't match the checksum of its header"),
        (lambda text: signed("".join(text.splitlines(True)[:-1])), "has an impossible output"),
        (lambda text: text + text.splitlines(True)[-1], "items twice or out of order, 'gsm8k/0004': a bad merge"),
        (
            lambda text: "".join(text.splitlines(True)[index] for index in (*range(8), 9, 8, 10, 11, 12)),
            "items twice or out of order, 'gsm8k/0000': a bad merge",
        ),
        (lambda text: "<<<<<<< ours\n" + text + ">>>>>>> theirs\n", "has conflict markers"),
        (
            edit('"11110"', '"11011"'),
            "items that don't match the checksum of its header: a bad merge, or an edit by hand",
        ),
        (edit('"accuracy":0.8,', '"accuracy":0.9,'), "a round that doesn't belong to its items"),
        (
            lambda text: "".join(text.splitlines(True)[:2] + text.splitlines(True)[3:]),
            "has an item with impossible values",
        ),
        (lambda text: "".join(text.splitlines(True)[:1] + text.splitlines(True)[2:]), "has 0 anchors, 5 rounds and 5"),
        (edit_signed('"11110"', '"11112"'), "has an item with impossible values"),
        (edit_signed('"11110"', '"1111"'), "has an item with impossible values"),
        (edit_signed('"11110"', "true"), "has an item with impossible values"),
        (edit_signed('"11110"', "2"), "has an item with impossible values"),
        (edit_signed('"11110"', '"11110","a":9'), "has an item with impossible values"),
        (edit_signed('"11110"', '"11110","b":9'), "has an item with impossible values"),
        (edit('"11110"', "NaN"), "has a line that is not a JSON object"),
        (edit('"id":"gsm8k/0002"', '"id":2'), "has an item with impossible values"),
        (edit('{"id":"gsm8k/0002"', '{"idx":"gsm8k/0002"'), "has an item with impossible values"),
        (edit('{"id":"gsm8k/0002"', '["id"'), "has a line that is not a JSON object"),
        (edit('"schema":2', '"schema":3'), "has schema 3, but this pytest-modal reads schema 2"),
        (edit('"schema":2,', ""), "has no 'schema' in its header"),
        (edit('"dataset":"', '"dataset":"0'), "a header that doesn't belong to its items"),
        (edit('"dataset":"', '"dataset":7,"was":"'), "has 'dataset' = 7 in its header, which is of the wrong type"),
        (edit('"rounds":5', '"rounds":"5"'), "has a line with impossible values"),
        (edit('"rounds":5', '"rounds":0'), "has a line with impossible values"),
        (edit('"rounds":5', '"rounds":null'), "has a line with impossible values"),
        (edit('"accuracy":0.8,', '"accuracy":1e999,'), "has a line with impossible values"),
        (edit('["torch==2.5.0"]', "[7]"), "has a line with impossible values"),
        (edit('{"history":', '{"why":1,"history":'), "has a line with impossible values"),
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
    lines = zip(ours[-6:], theirs[-6:], base[-6:], strict=True)
    path.write_text("\n".join([*ours[:-6], *(t if t != b else o for o, t, b in lines)]))
    assert "checksum" in broken(path)


def test_a_merge_that_kept_the_rounds_of_one_branch_and_the_items_of_the_other_is_found(path: Path) -> None:
    old = read_baseline(path, GATE, TEST)
    write_baseline(path, recorded(evaluation([5, 5, 5, 0, 5], 5), old))
    ours = path.read_text().splitlines(keepends=True)
    write_baseline(path, recorded(evaluation([5, 5, 4, 1, 5], 5), old))
    theirs = path.read_text().splitlines(keepends=True)
    path.write_text("".join([theirs[0], *ours[1:9], *theirs[9:]]))
    assert "a round that doesn't belong to its items: a bad merge" in broken(path)


def test_the_message_about_a_bad_merge_in_full(path: Path) -> None:
    path.write_text(path.read_text().replace('"11110"', '"11111"'))
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


@pytest.mark.parametrize("what", ["pipe", "link", "link to /dev/zero", "directory", "linked directory"])
def test_a_baseline_that_is_not_a_file_of_the_project_is_refused(path: Path, tmp_path: Path, what: str) -> None:
    outside = tmp_path / "outside.jsonl"
    outside.write_text(path.read_text())
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "link":
        path.symlink_to(outside)
    elif what == "link to /dev/zero":
        path.symlink_to("/dev/zero")
    elif what == "directory":
        path.mkdir()
    else:
        path.write_text(outside.read_text())
        path.parent.rename(tmp_path / "elsewhere")
        path.parent.symlink_to("elsewhere")
    assert re.search("symbolic link$|not a regular file$", broken_by_place(path))
    assert same_items_elsewhere(path.with_name("other.jsonl"), "dataset") is None


def broken_by_place(path: Path) -> str:
    with pytest.raises(BaselineError) as caught:
        read_baseline(path, GATE, TEST)
    what, where, remedy = str(caught.value).split("\n")
    assert where.startswith(f"  where: {path.parent}")
    assert remedy.startswith("  what to do: ")
    return what
