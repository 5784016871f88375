"""Recorded data instead of a GPU: no token, no network, no torch; and never a pass on what has changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from literal_lines import assert_lines, assert_lines_in_any_order
from loopback_modal import LoopbackModal

from pytest_modal.store.recordings.paths import FORMAT
from pytest_modal.store.recordings.text import parse, render, seal
from pytest_modal.store.recordings.writing import OUTDATED_KEYS

SUITE = """
    import numpy as np
    import pytest
    import pytest_modal
    from helpers import SCALE, scaled

    @pytest.fixture(scope="session")
    def problems(): return [1, 2, 3]

    @pytest_modal.fixture(scope="container", gpu="T4")
    def model():
        return lambda x: x * x  # no torch is needed to load it

    @pytest_modal.fixture
    def answers(model, problems):
        '''Answer them.'''
        return [scaled(model(x)) for x in problems]

    @pytest_modal.fixture(params=["small", "large"])
    def arrays(request):
        import numpy
        return numpy.arange(4.0 if request.param == "small" else 4000.0)

    @pytest_modal.fixture
    def summed(answers): return sum(answers)

    def test_answers(answers, summed): assert summed == 10 * 14 == sum(answers)
    def test_arrays(arrays): assert arrays[2] == 2
"""
HELPERS = """
    SCALE = 10

    def scaled(x): return SCALE * x
"""
# A plugin that makes sure of what replay does without.
WITHOUT = """
    import builtins, socket, sys

    class Refuse:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in ("modal", "torch", "cloudpickle_of_modal"):
                raise ImportError(f"{name} must not be imported")

    sys.meta_path.insert(0, Refuse())

    def refuse(*args, **kwargs):
        raise OSError("no network")

    socket.socket.connect = refuse
    socket.create_connection = refuse
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A suite that was recorded."""
    pytester.makepyfile(test_it=SUITE, helpers=HELPERS, without=WITHOUT)
    result = pytester.runpytest_subprocess("--modal-record")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["recorded 4 of 4 calls in recordings"])
    return pytester


def replay(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Replay where neither modal nor torch nor the network can be had."""
    return suite.runpytest_subprocess("--modal-mode=replay", "-p", "without", *arguments)


def edit(suite: pytest.Pytester, name: str, old: str, new: str) -> None:
    """Change a file."""
    path = suite.path / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_replay_needs_nothing_and_says_that_it_is_one(suite: pytest.Pytester) -> None:
    result = replay(suite)
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [
            "modal: replay of recorded data, nothing is run: 4 calls for 3 tests*",
            "mode: replay; device: cpu, recorded 20*",
        ]
    )


def test_recordings_are_made_to_be_reviewed(suite: pytest.Pytester) -> None:
    root = suite.path / "recordings" / "test_it"
    names = sorted(path.name for path in root.iterdir())
    assert names[:4] == [
        "answers.json",
        *(name for name in names if name.startswith("arrays[large]")),
        "arrays[small].json",
    ]
    document = json.loads((root / "answers.json").read_text())
    assert document["value"] == [10, 40, 90]
    assert document["recorded"]["gpu"] == "cpu"
    assert set(document["keys"]["function"]) >= {"function answers", "helper helpers.scaled", "constant helpers.SCALE"}
    assert "PATH" not in (root / "answers.json").read_text()


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("test_it.py", "for x in problems]", "for x in problems][:]", "function answers changed"),
        ("test_it.py", "x * x", "x ** 2", "container fixture model changed"),
        ("helpers.py", "SCALE * x", "x * SCALE", "helper helpers.scaled changed"),
        ("helpers.py", "SCALE = 10", "SCALE = 11", "constant helpers.SCALE changed"),
        ("test_it.py", "[1, 2, 3]", "[1, 2, 4]", "argument problems changed"),
        ("test_it.py", 'gpu="T4")', 'gpu="T4", packages=["numpy"])', "environment: packages was None, is numpy"),
        ("test_it.py", 'gpu="T4")', 'gpu="H100")', "environment: gpu was T4, is H100"),
    ],
)
def test_what_changed_is_named_and_never_a_pass(
    suite: pytest.Pytester, file: str, old: str, new: str, changed: str
) -> None:
    edit(suite, file, old, new)
    result = replay(suite, "-k", "answers")
    result.assert_outcomes(errors=1, deselected=2)
    result.stdout.fnmatch_lines(
        [
            "answers: the recording is stale: what it depends on has changed",
            f"  changed: {changed}",
            "  where: recordings/test_it/answers.json, for test_it.py:*",
            "  what to do: record it again: pytest --modal --modal-record; or undo the change",
        ]
    )


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("test_it.py", "# no torch is needed to load it", "# another comment"),
        ("test_it.py", "'''Answer them.'''", "'''Answer them all.'''"),
        ("test_it.py", "assert summed == 10 * 14 == sum(answers)", "assert summed == 140"),
        ("helpers.py", "def scaled(x): return SCALE * x", "def scaled(x):\n    return (SCALE\n            * x)"),
    ],
    ids=["a comment", "a docstring", "an assertion", "the format"],
)
def test_what_does_not_count(suite: pytest.Pytester, file: str, old: str, new: str) -> None:
    edit(suite, file, old, new)
    replay(suite).assert_outcomes(passed=3)


def test_recordings_of_an_earlier_version_are_recognised_and_have_to_be_made_once_more(
    suite: pytest.Pytester,
) -> None:
    for path in (suite.path / "recordings").rglob("*.json"):
        document = parse(path.read_text())
        document[FORMAT] = OUTDATED_KEYS
        path.write_text(render(document | {"digest": seal(document)}))
    result = suite.runpytest("--modal-mode=replay")
    assert set(result.parseoutcomes()) == {"errors"}
    result.stdout.fnmatch_lines(
        [
            "*the recording is stale: an earlier version of pytest-modal made it, which compared code in another way, "
            "so that it is not known whether the code has changed since",
            "  what to do: record everything again, once: pytest --modal --modal-record",
        ]
    )
    suite.runpytest_subprocess("--modal-record").assert_outcomes(passed=3)
    suite.runpytest("--modal-mode=replay").assert_outcomes(passed=3)


def test_missing_truncated_and_tampered_recordings_say_so(suite: pytest.Pytester) -> None:
    root = suite.path / "recordings" / "test_it"
    (root / "arrays[small].json").unlink()
    (npz,) = root.glob("*.npz")
    npz.write_bytes(npz.read_bytes()[:-100])
    text = (root / "answers.json").read_text()
    (root / "answers.json").write_text(text.replace("[10, 40, 90]", "[10, 40, 91]"))
    result = replay(suite)
    result.assert_outcomes(errors=3)
    assert_lines_in_any_order(
        result.stdout.lines,
        [
            "arrays[small]: arrays[small] was not recorded",
            "  what to do: record it: pytest --modal --modal-record",
            "arrays[large]: *truncated*",
            "answers: the recording was changed: its digest does not match",
            "  what to do: restore the committed file (git checkout), or record it again: *",
        ],
    )


def test_the_old_recording_stays_when_a_call_fails(suite: pytest.Pytester) -> None:
    before = (suite.path / "recordings" / "test_it" / "answers.json").read_bytes()
    edit(suite, "helpers.py", "return SCALE * x", "raise ValueError")
    result = suite.runpytest_subprocess("--modal-record")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["recorded 2 of 4 calls in recordings", "not recorded: answers has no result; what was recorded before is kept"]
    )
    assert (suite.path / "recordings" / "test_it" / "answers.json").read_bytes() == before


def test_data_is_recorded_whatever_the_verdict(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture
        def value(): return 1

        def test_it(value): assert value == 2
        """
    )
    pytester.runpytest_subprocess("--modal-record").assert_outcomes(failed=1)
    pytester.runpytest_subprocess("--modal-mode=replay").assert_outcomes(failed=1)


def test_unused_recordings_are_told_on_full_runs_and_removed_only_on_demand(suite: pytest.Pytester) -> None:
    edit(suite, "test_it.py", 'params=["small", "large"]', 'params=["small"]')
    files = sorted((suite.path / "recordings").rglob("*.*"))
    partial = replay(suite, "-k", "arrays")
    partial.stdout.no_fnmatch_line("*no test uses*")
    partial = replay(suite, "-k", "arrays", "--modal-prune-recordings")
    assert_lines(partial.outlines, ["recordings were not pruned: run all tests (no -k, -m or paths), without errors"])
    full = replay(suite)
    full.assert_outcomes(passed=2)
    assert_lines(
        full.stdout.lines,
        ["no test uses these recordings: recordings/test_it/arrays[large]*; --modal-prune*"],
    )
    assert sorted((suite.path / "recordings").rglob("*.*")) == files
    pruned = replay(suite, "--modal-prune-recordings")
    assert_lines(pruned.stdout.lines, ["deleted recordings that no test uses: recordings/test_it/arrays[large]*"])
    left = sorted(path.name for path in (suite.path / "recordings").rglob("*.*"))
    assert left == ["answers.json", "arrays[small].json", "summed.json"]
    replay(suite).assert_outcomes(passed=2)


def test_mocks_are_not_recorded(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture(mock=1)
        def value(): raise RuntimeError("needs a GPU")

        @pytest_modal.fixture
        def after(value): return value + 1

        def test_it(after): assert after == 2
        """
    )
    result = pytester.runpytest_subprocess("--modal-record")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "recorded 0 of 2 calls",
            "not recorded: value ran with a mock; record with --modal",
            "not recorded: after ran with a mock; record with --modal",
        ]
    )
    assert not (pytester.path / "recordings").exists()


def test_what_was_recorded_on_modal_replays_here(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(test_it=SUITE, helpers=HELPERS, without=WITHOUT)
    pytester.runpytest_subprocess("--modal", "--modal-record", timeout=60).assert_outcomes(passed=3)
    modal_server.reset()
    result = replay(pytester)
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["mode: replay; device: cpu, recorded *"])
    assert modal_server.facts()["rpcs"] == {}


def test_secrets_never_enter(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_averysecrettoken")
    pytester.makepyfile(
        """
        import os, pytest_modal

        @pytest_modal.fixture(env={"MY_TOKEN": "another-secret-value", "GREETING": "hello"}, secrets=["HF_TOKEN"])
        def leaks():
            import os
            return "token is " + os.environ["HF_TOKEN"]

        @pytest_modal.fixture(env={"MY_TOKEN": "another-secret-value"})
        def harmless(): return 1

        def test_it(leaks, harmless): pass
        """
    )
    result = pytester.runpytest_subprocess("--modal-record")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["recorded 2 of 2 calls*"])
    texts = [path.read_text() for path in (pytester.path / "recordings").rglob("*.json")]
    assert len(texts) == 2
    assert all("MY_TOKEN" in text for text in texts)
    assert not any("secret-value" in text or "averysecret" in text for text in texts)
    assert any(f"token is {'*' * len('hf_averysecrettoken')}" in text for text in texts)


def test_usage_that_makes_no_sense(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest_subprocess("--modal-mode=replay", "--modal-record")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--modal-record has nothing to record in mode 'replay'*"])


def test_recordings_move_with_the_project(suite: pytest.Pytester, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(suite.path, moved, ignore=shutil.ignore_patterns(".pytest_cache", "__pycache__"))
    result = suite.runpytest_subprocess("--modal-mode=replay", "--rootdir", str(moved), str(moved))
    result.assert_outcomes(passed=3)
