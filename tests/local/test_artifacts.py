"""What tests write: where it goes, what it looks like, and what the run's index says of it."""

from __future__ import annotations

import gzip
import json
import math
import subprocess
import sys
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from literal_lines import assert_lines

from pytest_modal.local.output_dir import output_root, write_index
from pytest_modal.local.saver import Saver
from pytest_modal.store import files

NODEID = "tests/test_x.py::test_a"
WRITE = "(output_dir / 'here.txt').write_text(request.node.nodeid)"


@pytest.fixture
def no_figures() -> Any:
    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture
def saver(tmp_path: Path) -> Saver:
    root = tmp_path / "modal_output"
    directory = root / "tests/test_x/test_a"
    directory.mkdir(parents=True)
    return Saver(directory, root, NODEID, [])


def run(pytester: pytest.Pytester, *args: Any, **outcomes: int) -> pytest.RunResult:
    """Run pytest in this process and check how many tests passed, failed, ..."""
    result = pytester.runpytest(*args)
    result.assert_outcomes(**outcomes)
    return result


def written(pytester: pytest.Pytester, root: str = "modal_output") -> dict[str, str]:
    """Return the node id that each test wrote into its directory, by directory."""
    top = pytester.path / root
    return {path.parent.relative_to(top).as_posix(): path.read_text() for path in top.rglob("here.txt")}


def index(pytester: pytest.Pytester) -> list[dict[str, Any]]:
    content = json.loads((pytester.path / "modal_output/artifacts.json").read_text())
    assert content["schema"] == 1
    artifacts: list[dict[str, Any]] = content["artifacts"]
    return artifacts


# Where files go.


def test_every_test_has_a_directory_that_is_named_like_it(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("tests").mkdir()
    pytester.path.joinpath("tests/test_x.py").write_text(
        f"""
import unittest
import pytest

def test_plain(output_dir, request):
    assert list(output_dir.iterdir()) == []
    {WRITE}

@pytest.mark.parametrize("model", ["gpt2", "T4-v1.0"])
def test_with(model, output_dir, request):
    {WRITE}

class TestOuter:
    class TestInner:
        def test_method(self, output_dir, request):
            {WRITE}

class TestCase(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def directory(self, output_dir, request):
        {WRITE}

    def test_method(self):
        pass
"""
    )
    run(pytester, passed=5)
    assert written(pytester) == {
        "tests/test_x/test_plain": "tests/test_x.py::test_plain",
        "tests/test_x/test_with[gpt2]": "tests/test_x.py::test_with[gpt2]",
        "tests/test_x/test_with[T4-v1.0]": "tests/test_x.py::test_with[T4-v1.0]",
        "tests/test_x/TestOuter/TestInner/test_method": "tests/test_x.py::TestOuter::TestInner::test_method",
        "tests/test_x/TestCase/test_method": "tests/test_x.py::TestCase::test_method",
    }


def test_a_name_that_had_to_change_has_a_hash(pytester: pytest.Pytester) -> None:
    names = ["org/model", "org_model", "../../up", "a b", "a:b", "grün", "x" * 300, "x" * 301, "a."]
    pytester.makepyfile(
        test_x=f"""
import pytest

@pytest.mark.parametrize("name", {names!r}, ids=str)
def test_a(name, output_dir, request):
    {WRITE}
"""
    )
    pytester.makeini("[pytest]\ndisable_test_id_escaping_and_forfeit_all_rights_to_community_support = true")
    run(pytester, passed=len(names))
    directories = [PurePosixPath(path) for path in written(pytester)]
    assert len(directories) == len(names)
    assert all(len(path.parts) == 2 and len(path.name) <= 110 and path.name.isascii() for path in directories)
    assert sorted(path.name[:17] for path in directories if "org" in path.name) == ["test_a[org_model]"] * 2
    assert PurePosixPath("test_x/test_a[org_model]") in directories


@pytest.mark.parametrize("name", ["..", ".", "con", "NUL.txt", "Com1", "a.", "a\0b", "-" * 101, "\ud800"])
def test_no_name_is_special_to_any_system(name: str) -> None:
    safe = files.safe_name(name)
    assert safe not in ("", ".", "..")
    assert not safe.endswith(".")
    assert safe.lower().split(".")[0] not in ("con", "nul", "com1")
    assert len(safe) <= files.LONGEST_NAME
    assert safe[-9] == "-"


def test_doctests_and_text_files_have_directories_too(pytester: pytest.Pytester) -> None:
    example = ">>> output = getfixture('output_dir')\n>>> _ = (output / 'here.txt').write_text('doctest')\n"
    pytester.makefile(".txt", guide=example)
    pytester.makepyfile(test_x=f'def f():\n    """\n    {example.replace(chr(10), chr(10) + "    ")}"""')
    run(pytester, "--doctest-modules", "--doctest-glob=*.txt", passed=2)
    assert written(pytester).keys() == {"guide.txt/guide.txt", "test_x/test_x.f"}


def test_a_module_outside_the_rootdir_stays_below_the_root(pytester: pytest.Pytester) -> None:
    inside = pytester.mkdir("project")
    inside.joinpath("pytest.ini").write_text("[pytest]")
    pytester.mkdir("x").joinpath("test_y.py").write_text(f"def test_a(output_dir, request): {WRITE}")
    inside.joinpath("test_y.py").write_text(f"def test_a(output_dir, request): {WRITE}")
    run(pytester, "--import-mode=importlib", "--rootdir=project", "project", "x", passed=2)
    outside, within = sorted(written(pytester, "project/modal_output"))
    assert within == "test_y/test_a"
    assert PurePosixPath(outside).match("_-*/x/test_y/test_a")


def test_two_tests_of_one_node_id_have_two_directories(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
import pytest

def pytest_collection_modifyitems(items):
    items += [pytest.Function.from_parent(item.parent, name=item.name) for item in items]
"""
    )
    pytester.makepyfile(test_x=f"def test_a(output_dir, request):\n    assert not any(output_dir.iterdir()); {WRITE}")
    run(pytester, passed=2)
    first, second = sorted(written(pytester))
    assert first == "test_x/test_a"
    assert second.startswith("test_x/test_a-")
    run(pytester, passed=2)
    assert sorted(written(pytester)) == [first, second]


def test_names_differ_where_the_file_system_ignores_case(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_modal.local.output_dir._ignores_case", lambda directory: True)
    pytester.makepyfile(
        test_x=f"""
import pytest

@pytest.mark.parametrize("name", ["small", "Small", "SMALL"])
def test_a(name, output_dir, request):
    {WRITE}
"""
    )
    run(pytester, passed=3)
    layout = written(pytester)
    assert len({path.lower() for path in layout}) == 3
    pytester.makeconftest("def pytest_collection_modifyitems(items): items.reverse()")
    run(pytester, passed=3)
    assert written(pytester) == layout


def test_a_module_beside_a_package_of_its_name(pytester: pytest.Pytester) -> None:
    # given test_x.py::test_a and test_x/test_a.py::test_b, both of whose plain paths start with test_x/test_a
    pytester.makepyfile(test_x=f"def test_a(output_dir, request): {WRITE}")
    pytester.mkdir("test_x").joinpath("test_a.py").write_text(f"def test_b(output_dir, request): {WRITE}")
    # when they run one after the other
    run(pytester, "test_x/test_a.py", passed=1)
    run(pytester, "test_x.py", passed=1)
    # then neither deletes what the other wrote
    assert written(pytester) == {
        "test_x/test_a/test_b": "test_x/test_a.py::test_b",
        "test_x.py/test_a": "test_x.py::test_a",
    }


def test_a_collector_of_the_name_of_a_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
import pytest

class Group(pytest.Collector):
    def collect(self):
        yield pytest.Function.from_parent(self, name="inner", callobj=run)

class File(pytest.Module):
    def collect(self):
        yield Group.from_parent(self, name="outer")
        yield pytest.Function.from_parent(self, name="outer", callobj=run)

def run(output_dir, request):
    (output_dir / "here.txt").write_text(request.node.nodeid)

def pytest_pycollect_makemodule(module_path, parent):
    return File.from_parent(parent, path=module_path)
"""
    )
    pytester.makepyfile(test_x="")
    run(pytester, passed=2)
    directory = {nodeid: PurePosixPath(path) for path, nodeid in written(pytester).items()}
    assert directory["test_x.py::outer::inner"] == PurePosixPath("test_x/outer/inner")
    assert directory["test_x.py::outer"].match("test_x/outer-*")


# Making and emptying a directory.


def test_what_a_test_wrote_before_is_gone_and_the_rest_stays(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_x="""
def test_a(output_dir):
    assert list(output_dir.iterdir()) == []
    (output_dir / "sub/deep").mkdir(parents=True)
    (output_dir / "sub/deep/a.txt").write_text("a")

def test_b(save_json):
    save_json("b.json", 1)
"""
    )
    run(pytester, passed=2)
    run(pytester, "-k", "test_a", passed=1)
    assert (pytester.path / "modal_output/test_x/test_b/b.json").exists()


def test_a_link_is_deleted_and_what_it_points_to_is_not(pytester: pytest.Pytester) -> None:
    precious = pytester.mkdir("precious")
    precious.joinpath("data.txt").write_text("precious")
    directory = pytester.path / "modal_output/test_x/test_a"
    directory.joinpath("sub").mkdir(parents=True)
    for link in (directory / "link", directory / "sub/link"):
        link.symlink_to(precious, target_is_directory=True)
    pytester.makepyfile(test_x="def test_a(output_dir): assert list(output_dir.iterdir()) == []")
    run(pytester, passed=1)
    assert precious.joinpath("data.txt").read_text() == "precious"


@pytest.mark.parametrize("step", ["test_x", "test_x/test_a"])
def test_a_link_on_the_way_is_refused(pytester: pytest.Pytester, step: str) -> None:
    precious = pytester.mkdir("precious")
    precious.joinpath("test_a").mkdir()
    precious.joinpath("test_a/data.txt").write_text("precious")
    link = pytester.path / "modal_output" / step
    link.parent.mkdir(parents=True)
    link.symlink_to(precious, target_is_directory=True)
    pytester.makepyfile(test_x="def test_a(output_dir): pass")
    result = run(pytester, errors=1)
    result.stdout.fnmatch_lines(
        [
            "E *the output directory of the test can't be emptied: *is a symbolic link: its target is not deleted",
            "* where: test_x.py::test_a,*",
            "* what to do:*",
        ]
    )
    assert precious.joinpath("test_a/data.txt").read_text() == "precious"


def test_the_root_may_be_a_link(pytester: pytest.Pytester) -> None:
    scratch = pytester.mkdir("scratch")
    pytester.path.joinpath("modal_output").symlink_to(scratch, target_is_directory=True)
    pytester.makepyfile(test_x=f"def test_a(output_dir, request): {WRITE}")
    run(pytester, passed=1)
    assert scratch.joinpath("test_x/test_a/here.txt").exists()


def test_a_file_in_the_way_is_an_error_that_says_so(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("modal_output").write_text("a file")
    pytester.makepyfile(test_x="def test_a(save_csv): pass")
    result = run(pytester, errors=1)
    result.stdout.fnmatch_lines(
        [
            "E *the output directory of the test can't be emptied:*modal_output*",
            "* where: test_x.py::test_a, *test_x*test_a",
            "* what to do: remove what is in the way*--modal-output-dir*",
        ]
    )
    assert pytester.path.joinpath("modal_output").read_text() == "a file"


def test_nothing_is_made_unless_asked_for(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_x="def test_a(): pass")
    run(pytester, passed=1)
    assert not pytester.path.joinpath("modal_output").exists()


# The root.


@pytest.mark.parametrize(
    ("given", "expected"),
    [((), "modal_output"), (("ini",), "ini"), (("ini", "env"), "env"), (("ini", "env", "option"), "option")],
)
def test_the_root_is_taken_from_the_nearest_place(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], expected: str
) -> None:
    pytester.makeini("[pytest]\nmodal_output_dir = ini" if "ini" in given else "[pytest]")
    if "env" in given:
        monkeypatch.setenv("PYTEST_MODAL_OUTPUT_DIR", "env")
    pytester.makepyfile(test_x=f"def test_a(output_dir, request): {WRITE}")
    run(pytester, *(["--modal-output-dir=option"] if "option" in given else []), passed=1)
    assert written(pytester, expected) == {"test_x/test_a": "test_x.py::test_a"}


def test_the_root_is_relative_to_the_rootdir(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makeini("[pytest]")
    pytester.makepyfile(**{"tests/test_x": f"def test_a(output_dir, request): {WRITE}"})
    monkeypatch.chdir(pytester.path / "tests")
    run(pytester, "--modal-output-dir=out/here", passed=1)
    assert written(pytester, "out/here") == {"tests/test_x/test_a": "tests/test_x.py::test_a"}


def test_the_root_may_be_in_the_home(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(pytester.mkdir("home")))
    config = pytester.parseconfig("--modal-output-dir=~/out")
    assert output_root(config) == pytester.path / "home" / "out"


def test_the_rootdir_is_no_root(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfig("--modal-output-dir=.")
    with pytest.raises(pytest.UsageError, match=r"(?s)is the rootdir.*where: .*what to do: "):
        output_root(config)


# The name of a file.


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x.json",
        "a/../../x.json",
        "/tmp/x.json",
        "C:x.json",
        "C:\\x.json",
        "..\\x.json",
        "\\x",
        "//h/s/x",
    ],
)
def test_a_name_cannot_leave_the_directory(saver: Saver, name: str) -> None:
    with pytest.raises(ValueError, match=r"(?s)is not the name of a file.*where: tests/test_x.py::test_a.*what to do"):
        saver.json(name, 1)
    assert [path for path in saver.root.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("method", ["csv", "figure", "json"])
@pytest.mark.parametrize("first", [[{"id": 1}], {"id": [1]}, 7, None, b"x.csv"], ids=lambda value: type(value).__name__)
def test_what_is_written_does_not_come_before_its_name(saver: Saver, method: str, first: Any) -> None:
    with pytest.raises(TypeError) as refused:
        getattr(saver, method)(first, "x.csv")
    what, where, remedy = str(refused.value).splitlines()
    assert what == f"the first argument is the name of a file, and is of type {type(first).__name__}"
    assert where.startswith("  where: tests/test_x.py::test_a, ")
    assert remedy.startswith('  what to do: put the name first, as in save_csv("results.csv", rows)')
    assert [path for path in saver.root.rglob("*") if path.is_file()] == []


def test_a_name_cannot_leave_through_a_link(saver: Saver, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (saver.directory / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(ValueError, match="symbolic link"):
        saver.json("link/x.json", 1)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["plots/deep/x.json", "plots\\deep\\x.json", Path("plots", "deep", "x.json")])
def test_a_name_may_have_subdirectories(saver: Saver, name: str | Path) -> None:
    assert saver.json(name, 1) == saver.directory / "plots" / "deep" / "x.json"


# Writing.


class HalfWritten:
    """A figure that fails while it is written."""

    def savefig(self, path: Path, **options: Any) -> None:
        path.write_text("half")
        raise RuntimeError("no more ink")


def test_a_file_is_whole_or_not_there(saver: Saver) -> None:
    with pytest.raises(RuntimeError, match="ink"):
        saver.figure("x.png", HalfWritten())
    assert list(saver.directory.iterdir()) == []
    assert saver.saved == []


def test_what_was_there_stays_until_the_new_one_is_whole(saver: Saver) -> None:
    saver.json("x.json", "old")
    with pytest.raises(RuntimeError, match="ink"):
        saver.figure("x.json", HalfWritten())
    assert [path.name for path in saver.directory.iterdir()] == ["x.json"]
    with (saver.directory / "x.json").open() as reader:
        saver.json("x.json", "new")
        assert json.load(reader) == "old", "who reads the old file goes on reading it"


def test_a_name_written_twice_is_listed_once(saver: Saver) -> None:
    saver.json("x.json", [1, 2, 3])
    saver.csv("y.csv", [{"a": 1}])
    path = saver.json("x.json", 1)
    assert saver.saved == [
        {"path": "tests/test_x/test_a/y.csv", "test": NODEID, "kind": "csv", "bytes": 4},
        {"path": "tests/test_x/test_a/x.json", "test": NODEID, "kind": "json", "bytes": path.stat().st_size},
    ]


# CSV.

TABLE = pd.DataFrame({"id": ["a", "b"], "time": [0.5, 1.5]})


@pytest.mark.parametrize(
    "rows",
    [
        TABLE,
        [{"id": "a", "time": 0.5}, {"id": "b", "time": 1.5}],
        ({"id": name, "time": time} for name, time in [("a", 0.5), ("b", 1.5)]),
        {"id": ["a", "b"], "time": np.array([0.5, 1.5])},
    ],
    ids=["frame", "rows", "generator", "columns"],
)
def test_rows_become_a_csv_and_a_data_frame(saver: Saver, rows: Any) -> None:
    table = saver.csv("results.csv", rows)
    pd.testing.assert_frame_equal(table, TABLE)
    assert (saver.directory / "results.csv").read_text() == "id,time\na,0.5\nb,1.5\n"


def test_to_csv_takes_its_options(saver: Saver) -> None:
    saver.csv("results.tsv", TABLE, sep="\t", index=True)
    assert (saver.directory / "results.tsv").read_text() == "\tid\ttime\n0\ta\t0.5\n1\tb\t1.5\n"
    saver.csv("results.csv.gz", TABLE)
    assert gzip.decompress((saver.directory / "results.csv.gz").read_bytes()).startswith(b"id,time")


def test_a_key_that_a_row_lacks_is_empty(saver: Saver) -> None:
    saver.csv("results.csv", [{"id": "a"}, {"id": "b", "error": "oom"}])
    assert (saver.directory / "results.csv").read_text() == "id,error\na,\nb,oom\n"


@pytest.mark.parametrize(
    ("rows", "options", "content"),
    [
        ([], {}, "\n"),
        ([], {"columns": ["id"]}, "id\n"),
        ({"id": []}, {}, "id\n"),
        (TABLE[:0], {}, "id,time\n"),
    ],
)
def test_no_rows_give_a_file_with_the_columns_that_are_known(
    saver: Saver, rows: Any, options: dict[str, Any], content: str
) -> None:
    assert len(saver.csv("results.csv", rows, **options)) == 0
    assert (saver.directory / "results.csv").read_text() == content


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([{"id": 1}, 2], r"rows\[1\] is of type int, not dict"),
        ("abc", r"rows\[0\] is of type str"),
        (None, "not iterable"),
        (pd.Series([1.0]), r"(?s)rows\[0\] is of type float.*to_frame"),
        ({"a": [1, 2], "b": [1]}, r"differ in length: {'a': 2, 'b': 1}"),
        ({"a": [1, 2], "b": np.zeros(3)}, "same length"),
        ({"a": 1}, "scalar"),
        ({"gpt2": {"accuracy": 0.5}}, "'gpt2' is a dict, and its keys would be lost"),
    ],
)
def test_what_is_no_table_is_an_error(saver: Saver, rows: Any, what: str) -> None:
    with pytest.raises(ValueError, match=what) as caught:
        saver.csv("results.csv", rows)
    message = str(caught.value)
    assert message.startswith("the rows are not a table: ")
    assert f"where: {NODEID}, {saver.directory / 'results.csv'}" in message
    assert "what to do: pass a list of dicts" in message
    assert list(saver.directory.iterdir()) == []


def test_an_error_is_shown_at_the_line_of_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_x="""def test_a(save_json): save_json("x.json", [1, {2}])""")
    result = run(pytester, failed=1)
    assert_lines(
        result.stdout.lines,
        [">*save_json(*", "E *set can't be written as JSON", "E *data[1]", "* what to do:*", "", "test_x.py:1:*"],
    )
    result.stdout.no_fnmatch_line("*_plain*")


def test_a_csv_is_not_appended_to(saver: Saver) -> None:
    with pytest.raises(ValueError, match="written whole"):
        saver.csv("results.csv", TABLE, mode="a")


# Figures.


@pytest.mark.usefixtures("no_figures")
def test_the_current_figure_is_saved_and_closed(saver: Saver) -> None:
    plt.subplots(figsize=(3, 2))
    plt.plot([1, 2, 3])
    path = saver.figure("plots/line.png")
    assert path == saver.directory / "plots/line.png"
    assert plt.get_fignums() == []


@pytest.mark.usefixtures("no_figures")
def test_a_picture_has_the_size_of_its_figure_unless_matplotlib_or_the_call_says_otherwise(saver: Saver) -> None:
    def size(**options: Any) -> tuple[int, int]:
        plt.subplots(figsize=(3, 2))
        plt.xlabel("x\n" * 9)
        height, width, _ = matplotlib.image.imread(saver.figure("line.png", **options)).shape
        return width, height

    assert size() == (900, 600)
    assert size(dpi=100) == (300, 200)
    assert size(dpi="figure") == (3 * matplotlib.rcParams["figure.dpi"], 2 * matplotlib.rcParams["figure.dpi"])
    with matplotlib.rc_context({"savefig.bbox": "tight"}):
        assert size(dpi=100)[1] > 250, "nine lines of label make the picture taller than 2 inches of 100 dots"
    assert size(dpi=100, bbox_inches="tight")[1] > 250
    plt.figure(facecolor="red")
    path = saver.figure("clear.data", transparent=True, format="png", metadata={"Title": "clear"})
    assert matplotlib.image.imread(path, format="png")[0, 0, 3] == 0


@pytest.mark.usefixtures("no_figures")
def test_a_given_figure_is_saved_as_often_as_it_is_given(saver: Saver) -> None:
    other = plt.figure()
    figure, axes = plt.subplots()
    axes.plot([1, 2, 3])
    assert saver.figure("line.png", figure).read_bytes().startswith(b"\x89PNG")
    assert saver.figure("line.pdf", figure).read_bytes().startswith(b"%PDF")
    assert saver.figure("line.SVG", axes.figure).read_text().startswith("<?xml")
    assert plt.get_fignums() == [other.number]


@pytest.mark.usefixtures("no_figures")
def test_pyplot_itself_stands_for_its_current_figure(saver: Saver) -> None:
    plt.plot([1, 2, 3])
    saver.figure("line.png", plt)
    assert plt.get_fignums() == []
    with pytest.raises(TypeError, match="no figure is open"):
        saver.figure("line.png", plt)


@pytest.mark.usefixtures("no_figures")
def test_a_grid_is_saved_through_its_own_savefig(saver: Saver) -> None:
    figure = plt.figure()
    grid = SimpleNamespace(figure=figure, savefig=figure.savefig)  # as seaborn's
    assert saver.figure("grid.png", grid).exists()
    assert plt.get_fignums() == []


@pytest.mark.usefixtures("no_figures")
def test_what_is_no_figure_is_an_error(saver: Saver) -> None:
    with pytest.raises(TypeError, match=r"(?s)no figure is open.*where: .*line.png.*what to do: plot first"):
        saver.figure("line.png")
    _, axes = plt.subplots(2)
    for value in (axes, axes[0], "figure"):
        with pytest.raises(TypeError, match=rf"(?s){type(value).__name__} is not a figure.*what to do: .*ax\.figure"):
            saver.figure("line.png", value)
    assert list(saver.directory.iterdir()) == []


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("name", ["line", "line.xyz", "line."])
def test_an_unknown_format_is_an_error_that_lists_the_known(saver: Saver, name: str) -> None:
    with pytest.raises(ValueError, match=r"(?s)is not a known image format.*what to do: .*\.pdf, .*\.png"):
        saver.figure(name, plt.figure())


@pytest.mark.usefixtures("no_figures")
def test_a_figure_left_open_is_not_the_next_tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_x="""
import matplotlib.pyplot as plt
import pytest

@pytest.fixture(scope="module", autouse=True)
def shared():
    figure = plt.figure()
    yield
    assert plt.get_fignums() == [figure.number]
    plt.close(figure)

def test_a(save_figure):
    plt.figure()
    assert False, "before it could save"

def test_b():
    assert len(plt.get_fignums()) == 1
"""
    )
    run(pytester, "-p", "no:randomly", failed=1, passed=1)


# JSON.


def test_data_becomes_json_that_people_can_read(saver: Saver) -> None:
    path = saver.json("x.json", {"model": "größer", "accuracy": np.float32(0.5), "ids": np.arange(2)})
    assert path.read_bytes().decode() == (
        '{\n  "model": "größer",\n  "accuracy": 0.5,\n  "ids": [\n    0,\n    1\n  ]\n}\n'
    )


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (np.array([[1, 2], [3, 4]], dtype=">i2"), [[1, 2], [3, 4]]),
        (np.array(1.5), 1.5),
        (np.zeros((0, 3)), []),
        ([np.int8(1), np.bool_(True), np.str_("x"), np.longdouble(1.5)], [1, True, "x", 1.5]),
        (np.array([1, "x", None], dtype=object), [1, "x", None]),
        (np.ma.array([1, 2], mask=[False, True]), [1, None]),
        ((1, (2, 3)), [1, [2, 3]]),
        ({1: "int", None: "none", True and "b": 0, 0.5: "float", np.int64(3): "np"}, None),
        ([math.nan, math.inf, -math.inf], [None, "Infinity", "-Infinity"]),
        (np.array([np.nan, np.inf], dtype="f2"), [None, "Infinity"]),
        ("half a \ud800 pair", "half a \ud800 pair"),
        (10**30, 10**30),
    ],
    ids=repr,
)
def test_data_comes_back_from_any_json_reader(saver: Saver, data: Any, read: Any) -> None:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    content = json.loads(saver.json("x.json", data).read_bytes(), parse_constant=refuse)
    assert content == (read if read is not None else {"1": "int", "null": "none", "b": 0, "0.5": "float", "3": "np"})


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(data=json_data)
def test_json_data_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    directory = tmp_path_factory.getbasetemp()
    assert json.loads(Saver(directory, directory, NODEID, []).json("x.json", data).read_bytes()) == data


@pytest.mark.parametrize(
    ("data", "where", "what"),
    [
        ({"answers": [1, {"logits": {1, 2}}]}, 'data["answers"][1]["logits"]', "builtins.set"),
        ([b"x"], "data[0]", "builtins.bytes"),
        (1j, "data", "builtins.complex"),
        (np.array([1j]), "data", "numpy complex128"),
        ([np.datetime64("2024-01-01", "ns")], "data[0]", "numpy datetime64[ns]"),
        (np.zeros(2, dtype=[("a", int)]), "data", "numpy [('a', '<i8')]"),
        (TABLE, "data", "DataFrame"),
        ({"a": {(1, 2): 3}}, 'data["a"]', "(1, 2)"),
    ],
)
def test_what_has_no_json_form_is_an_error_with_its_path(saver: Saver, data: Any, where: str, what: str) -> None:
    with pytest.raises(TypeError) as caught:
        saver.json("x.json", data)
    first, second, third = str(caught.value).splitlines()
    assert what in first
    assert first.endswith((" can't be written as JSON", " can't be a key in JSON"))
    assert second == f"  where: {NODEID}, {saver.directory / 'x.json'}, {where}"
    assert third.startswith("  what to do: ")
    assert list(saver.directory.iterdir()) == []


def test_two_keys_may_not_become_one(saver: Saver) -> None:
    with pytest.raises(ValueError, match="two keys become '1' in JSON"):
        saver.json("x.json", {1: "a", "1": "b"})


def test_data_that_contains_itself_is_an_error(saver: Saver) -> None:
    data: list[Any] = []
    data.append(data)
    with pytest.raises(ValueError, match="contains itself"):
        saver.json("x.json", data)


# The index.

SUITE = """
import numpy as np
import pytest

def test_all(save_csv, save_figure, save_json, output_dir):
    import matplotlib.pyplot as plt
    table = save_csv("b.csv", [{"x": 1}])
    save_figure("plots/a.png", table.plot().figure)
    save_json("gone.json", 1).unlink()
    (output_dir / "link.csv").symlink_to("b.csv")
    np.save(output_dir / "c.npy", np.arange(3))

@pytest.mark.parametrize("n", range(4))
def test_each(n, save_json):
    save_json("n.json", n)
    assert n != 2

def test_none(output_dir):
    pass
"""
LISTED = [
    ("test_x/test_all/b.csv", "test_x.py::test_all", "csv"),
    ("test_x/test_all/c.npy", "test_x.py::test_all", "file"),
    ("test_x/test_all/plots/a.png", "test_x.py::test_all", "figure"),
    *((f"test_x/test_each[{n}]/n.json", f"test_x.py::test_each[{n}]", "json") for n in range(4)),
]


def test_the_index_lists_what_the_run_wrote(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_x=SUITE)
    run(pytester, passed=5, failed=1)
    listed = index(pytester)
    assert [(entry["path"], entry["test"], entry["kind"]) for entry in listed] == LISTED
    for entry in listed:
        assert (pytester.path / "modal_output" / entry["path"]).stat().st_size == entry["bytes"]

    run(pytester, "-k", "test_each", passed=3, failed=1)
    assert [entry["path"] for entry in index(pytester)] == [path for path, _, _ in LISTED[3:]]


def test_workers_list_what_they_wrote_in_the_same_index(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    pytester.makepyfile(test_x=SUITE)
    pytester.runpytest_subprocess("-n", "2").assert_outcomes(passed=5, failed=1)
    assert [(entry["path"], entry["test"], entry["kind"]) for entry in index(pytester)] == LISTED


def test_a_test_that_ran_again_is_listed_as_it_ran_last(saver: Saver) -> None:
    # given a test that wrote two files, then ran again and wrote one of them
    saver.json("first.json", 1)
    saver.json("both.json", 1)
    first = list(saver.saved)
    (saver.directory / "first.json").unlink()
    saver.json("both.json", "longer")
    # when both runs have been reported
    path = write_index(saver.root, first + saver.saved[-1:])
    # then the index lists what is there
    assert path == saver.root / "artifacts.json"
    assert json.loads(path.read_text()) == {
        "schema": 1,
        "artifacts": [{"path": "tests/test_x/test_a/both.json", "test": NODEID, "kind": "json", "bytes": 9}],
    }


def test_a_run_that_wrote_nothing_leaves_the_index(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_x=SUITE)
    run(pytester, "-k", "test_all", passed=1)
    run(pytester, "-k", "test_none", passed=1)
    assert [entry["path"] for entry in index(pytester)] == [path for path, _, _ in LISTED[:3]]


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, pytest_modal.local.output_dir, pytest_modal.local.saver\n"
        "print(sorted({'pandas', 'numpy', 'matplotlib', 'torch', 'modal'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.strip() == b"[]"


@pytest.mark.parametrize("name", ["a/", "plots/a.csv/", "a\\"])
def test_a_directory_is_not_the_name_of_a_file(saver: Saver, name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a file in output_dir"):
        saver.csv(name, TABLE)
    assert list(saver.directory.rglob("*")) == []


def test_fixtures_are_short_in_tracebacks(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_x="""
        def test_a(save_csv, save_figure, save_json, accuracy_gate, modal_session):
            assert save_csv.__doc__.startswith("Write a table as CSV")
            assert 0
        """
    )
    result = run(pytester, failed=1)
    assert_lines(
        result.outlines,
        [
            "save_csv = <save_csv into modal_output/test_x/test_a>",
            "save_figure = <save_figure into modal_output/test_x/test_a>",
            "save_json = <save_json into modal_output/test_x/test_a>",
            "accuracy_gate = <accuracy_gate of test_x.py::test_a>",
            "modal_session = <modal_session: local, 0 calls>",
        ],
    )


# What is in the output directory besides what tests wrote.


WRITES = """
    def test_a(save_json): save_json("a.json", 1)
    def test_b(save_json, output_dir):
        save_json("b.json", 1)
        (output_dir / "empty").mkdir()
"""


def files_below(root: Path) -> list[str]:
    """Return the files of a directory without the records of runs and what is made from them."""
    files = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_symlink() or not path.is_dir())
    made = ("run.json", "summary.md", "report.html")
    return sorted(path for path in files if path not in made and not path.startswith("runs/"))


def test_the_output_directory_is_ignored_by_git(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_x=WRITES)
    run(pytester, passed=2)
    root = pytester.path / "modal_output"
    assert (root / ".gitignore").read_text() == "# Made by pytest-modal\n*\n"
    (root / ".gitignore").unlink()
    run(pytester, passed=2)
    assert not (root / ".gitignore").exists(), "whoever deletes it wants to commit the files"


def test_a_directory_that_was_there_before_is_not_ignored(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_x=WRITES)
    (pytester.path / "results").mkdir()
    (pytester.path / "results/notes.txt").write_text("mine")
    run(pytester, "--modal-output-dir=results", passed=2)
    assert files_below(pytester.path / "results") == [
        "artifacts.json",
        "notes.txt",
        "test_x/test_a/a.json",
        "test_x/test_b/b.json",
    ]


@pytest.fixture
def with_leftovers(pytester: pytest.Pytester) -> Path:
    """The output directory after a run of a suite that had more tests; a link in it leads out of it."""
    root = pytester.path / "modal_output"
    pytester.makepyfile(test_x=WRITES, test_old="def test_old(save_json): save_json('old.json', 1)")
    run(pytester, passed=3)
    (pytester.path / "test_old.py").unlink()
    (pytester.path / "elsewhere").mkdir()
    (pytester.path / "elsewhere/precious.txt").write_text("kept")
    (root / "link").symlink_to(pytester.path / "elsewhere")
    (root / "test_x/test_a/link.txt").symlink_to(pytester.path / "elsewhere/precious.txt")
    return root


ALL = [
    ".gitignore",
    "artifacts.json",
    "link",
    "test_old/test_old/old.json",
    "test_x/test_a/a.json",
    "test_x/test_b/b.json",
]


def test_what_no_test_wrote_stays_until_it_is_to_be_cleaned(pytester: pytest.Pytester, with_leftovers: Path) -> None:
    run(pytester, passed=2)
    assert files_below(with_leftovers) == ALL
    result = run(pytester, "--modal-clean", passed=2)
    assert_lines(
        result.outlines,
        ["modal: deleted 2 files in modal_output that no test wrote: link, test_old/test_old/old.json"],
    )
    assert files_below(with_leftovers) == [
        ".gitignore",
        "artifacts.json",
        "test_x/test_a/a.json",
        "test_x/test_b/b.json",
    ]
    assert not (with_leftovers / "test_old").exists()
    assert (pytester.path / "elsewhere/precious.txt").read_text() == "kept"


@pytest.mark.parametrize(
    ("arguments", "outcomes"),
    [
        (["-k", "test_a"], {"passed": 1, "deselected": 1}),
        (["test_x.py::test_a"], {"passed": 1}),
        (["--deselect", "test_x.py::test_b"], {"passed": 1, "deselected": 1}),
    ],
)
def test_a_part_of_the_tests_cleans_nothing(
    pytester: pytest.Pytester, with_leftovers: Path, arguments: list[str], outcomes: dict[str, int]
) -> None:
    result = run(pytester, "--modal-clean", *arguments, **outcomes)
    assert_lines(
        result.outlines,
        ["modal: nothing was deleted by --modal-clean: it needs a run of all tests in which none fails"],
    )
    assert set(ALL) - set(files_below(with_leftovers)) == set()


def test_a_run_with_a_failure_cleans_nothing(pytester: pytest.Pytester, with_leftovers: Path) -> None:
    pytester.makepyfile(test_z="def test_z(): assert 0")
    run(pytester, "--modal-clean", passed=2, failed=1)
    assert files_below(with_leftovers) == ALL


@pytest.mark.parametrize("option", ["--collect-only", "--setup-plan", "--modal-plan", "--modal-mode=skip"])
def test_a_run_without_tests_cleans_nothing(pytester: pytest.Pytester, with_leftovers: Path, option: str) -> None:
    pytester.runpytest("--modal-clean", option)
    assert set(ALL) - set(files_below(with_leftovers)) == set()


def test_only_what_pytest_modal_made_is_cleaned(pytester: pytest.Pytester, with_leftovers: Path) -> None:
    mine = pytester.path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    pytester.makepyfile(test_x="def test_a(): pass")
    result = run(pytester, "--modal-clean", "--modal-output-dir=mine", passed=1)
    assert_lines(result.outlines, ["*: the output directory was not made by pytest-modal", "  where: mine"])
    result = run(pytester, "--modal-clean", f"--modal-output-dir={pytester.path.parent}", passed=1)
    assert_lines(result.outlines, ["*: the output directory contains the project"])
    (pytester.path / "linked").symlink_to(with_leftovers)
    result = run(pytester, "--modal-clean", "--modal-output-dir=linked", passed=1)
    assert_lines(result.outlines, ["*: the output directory is a symbolic link"])
    assert (mine / "notes.txt").exists()
    assert set(ALL) - set(files_below(with_leftovers)) == set()


def test_workers_of_xdist_clean_once_for_all(pytester: pytest.Pytester, with_leftovers: Path) -> None:
    run(pytester, "--modal-clean", "-n", "2", passed=2)
    assert files_below(with_leftovers) == [
        ".gitignore",
        "artifacts.json",
        "test_x/test_a/a.json",
        "test_x/test_b/b.json",
    ]
