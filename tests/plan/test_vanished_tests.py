"""A test that its marker has swallowed is a collection error; one that was filtered out is not."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

import pytest
from literal_lines import assert_lines

BODY = """
import pytest

def generate(prompts=()):
    return prompts

class Prompts:
    def __init__(self, test): pass

gpu = pytest.mark.modal_gpu
"""


@pytest.mark.parametrize(
    ("decoration", "shown", "marker"),
    [
        ("@pytest.mark.modal_gpu(generate)", "generate", "pytest.mark.modal_gpu"),
        ("@gpu(generate)", "generate", "gpu"),
        ("@pytest.mark.modal_gpu(Prompts)", "Prompts", "pytest.mark.modal_gpu"),
        ("@pytest.mark.modal_gpu(body.run)", "body.run", "pytest.mark.modal_gpu"),
        ("@pytest.mark.usefixtures('tmp_path')\n@pytest.mark.modal_gpu(run)", "run", "pytest.mark.modal_gpu"),
    ],
)
def test_a_decoration_that_marks_the_function_itself_is_a_collection_error(
    pytester: pytest.Pytester, decoration: str, shown: str, marker: str
) -> None:
    pytester.makepyfile(body="def run(test): return None")
    pytester.makepyfile(test_it=f"import body\nfrom body import run\n{BODY}\n{decoration}\ndef test_generate(): pass")
    pytester.syspathinsert()
    result = pytester.runpytest("-W", "default")
    result.assert_outcomes(errors=1)
    written = (pytester.path / "test_it.py").read_text().splitlines()
    line = next(number for number, text in enumerate(written, 1) if text.endswith(f"({shown})"))
    assert_lines(
        result.outlines,
        [
            f"test_generate is not a test: `@{marker}({shown})` marks {shown} itself, and then calls it with "
            "test_generate",
            f"  where: test_it.py:{line}",
            f"  what to do: write @{marker}(function={shown})",
        ],
        consecutive=True,
    )


TESTS = """
import pytest
import pytest_modal

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnknownMarkWarning")

def body(n=1):
    '''A function that runs on the GPU.

    >>> body()
    1
    '''
    return n

@pytest_modal.fixture
def answers(): return 1

@pytest.mark.modal_gpu
def test_answers(answers): assert answers == 1

@pytest.mark.modal_gpu(function=body)
def test_function(modal_result): assert modal_result == 1

@pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.modal_gpu(gpu="L4"))])
@pytest.mark.modal_gpu(function=body)
def test_numbers(n, modal_result): assert modal_result == n

@pytest.mark.modal_gpu
def check_more(answers): assert answers == 1

@pytest.mark.modal_gpu
def test_not_one(answers): assert answers == 1
test_not_one.__test__ = False

def test_plain(): pass

@pytest.mark.modal_gpu
class TestGroup:
    def test_inside(self, answers): assert answers == 1
    def check_inside(self, answers): assert answers == 1

@pytest.mark.modal_gpu
class TestNot:
    __test__ = False
    def test_inside(self, answers): assert answers == 1

@pytest.mark.modal_gpu
class CheckGroup:
    def test_inside(self, answers): assert answers == 1
"""
# What plugins filter with: each of its hooks drops tests of one name.
FILTERS = """
import pytest

def pytest_addoption(parser):
    parser.addoption("--drop", choices=["items", "made", "collected"])

def pytest_collection_modifyitems(config, items):
    if config.getoption("--drop") == "items":
        items[:] = [item for item in items if "function" not in item.name]

@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector, name):
    return [] if collector.config.getoption("--drop") == "made" and "function" in name else None

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector):
    report = yield
    if collector.config.getoption("--drop") == "collected":
        report.result[:] = [each for each in report.result if "function" not in each.name]
    return report
"""
SELECTIONS = {
    "last failed": ["--lf"],
    "stepwise": ["--sw"],
    "keyword": ["-k", "answers or Group or 1"],
    "marker": ["-m", "modal_gpu and not slow"],
    "deselect": ["--deselect", "test_one.py::test_function"],
    "ignore": ["--ignore", "test_two.py"],
    "file": ["test_two.py"],
    "class": ["test_two.py::TestGroup"],
    "functions": ["-o", "python_functions=check_*"],
    "classes": ["-o", "python_classes=Check*"],
    "doctests": ["--doctest-modules"],
    "plugin: items": ["--drop=items"],
    "plugin: making": ["--drop=made"],
    "plugin: collecting": ["--drop=collected"],
}
PAIRS = [each for number in (1, 2) for each in itertools.combinations(SELECTIONS, number)]
LAST_FAILED = ["test_one.py::test_function", "test_two.py::TestGroup::test_inside"]


@pytest.mark.parametrize("first", SELECTIONS)
def test_what_is_filtered_out_is_not_a_vanished_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Each option alone, and with each that follows it: the same tests are selected as without the plugin."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest(FILTERS)
    pytester.makepyfile(test_one=TESTS, test_two=TESTS)
    for names in (pair for pair in PAIRS if pair[0] == first):
        arguments = [argument for name in names for argument in SELECTIONS[name]]
        with_it, without = (_selected(pytester, [*arguments, *more]) for more in (["-p", "pytest_modal.plugin"], []))
        assert with_it == without, arguments


def _selected(pytester: pytest.Pytester, arguments: Sequence[str]) -> tuple[list[str], int]:
    cache = pytester.path / ".pytest_cache" / "v" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "lastfailed").write_text(json.dumps(dict.fromkeys(LAST_FAILED, True)))
    (cache / "stepwise").write_text(json.dumps(LAST_FAILED[0]))
    run = pytester.inline_run("--collect-only", "-q", "--rootdir", str(pytester.path), *arguments)
    collected = run.getcalls("pytest_collection_finish")
    return [item.nodeid for call in collected for item in call.session.items], int(run.ret)


@pytest.mark.parametrize("option", ["--lf", "--ff", "--nf", "--sw"])
def test_after_a_failure_in_one_of_two_files_the_options_of_the_cache_run(
    pytester: pytest.Pytester, option: str
) -> None:
    source = "def body(): return 1\n@pytest.mark.modal_gpu(function=body)\n"
    pytester.makepyfile(
        test_one=f"import pytest\n{source}def test_good(modal_result): assert modal_result == 1\n"
        "@pytest.mark.modal_gpu(function=body)\ndef test_bad(modal_result): assert modal_result == 2",
        test_two=f"import pytest\n{source}def test_good(modal_result): assert modal_result == 1",
    )
    pytester.runpytest("-p", "no:randomly").assert_outcomes(passed=2, failed=1)
    outcomes = pytester.runpytest("-p", "no:randomly", option).parseoutcomes()
    assert outcomes["failed"] == 1
    assert "errors" not in outcomes
