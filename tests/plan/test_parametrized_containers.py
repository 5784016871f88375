"""Any parametrization feeds container fixtures: each value is loaded once, each test gets the result of its own."""

from __future__ import annotations

import textwrap

import pytest
from literal_lines import assert_lines, assert_lines_in_any_order

FIXTURES = """
    import pytest
    import pytest_modal

    LENGTHS = {"tiny": 4, "small": 5, "large": 5}

    @pytest_modal.fixture(scope="container")
    def model(size): return size

    @pytest_modal.fixture
    def length(model): return len(model)
"""


def suite(tests: str) -> str:
    """Return a suite of tests with these fixtures."""
    return textwrap.dedent(FIXTURES) + textwrap.dedent(tests)


WAYS = {
    "of a test": """
        @pytest.mark.parametrize("size", ["tiny", "small"])
        def test_it(length, size): assert length == len(size)
    """,
    "of a class": """
        @pytest.mark.parametrize("size", ["tiny", "small"])
        class TestIt:
            def test_it(self, length, size): assert length == len(size)
    """,
    "of a module": """
        pytestmark = pytest.mark.parametrize("size", ["tiny", "small"])
        def test_it(length, size): assert length == len(size)
    """,
    "for the class": """
        @pytest.mark.parametrize("size", ["tiny", "small"], scope="class")
        def test_it(length, size): assert length == len(size)
    """,
    "for the module": """
        @pytest.mark.parametrize("size", ["tiny", "small"], scope="module")
        def test_it(length, size): assert length == len(size)
    """,
    "for the session": """
        @pytest.mark.parametrize("size", ["tiny", "small"], scope="session")
        def test_it(length, size): assert length == len(size)
    """,
    "several names": """
        @pytest.mark.parametrize("size, expected", [("tiny", 4), ("small", 5)])
        def test_it(length, expected): assert length == expected
    """,
    "by a hook": """
        def pytest_generate_tests(metafunc):
            if "size" in metafunc.fixturenames:
                metafunc.parametrize("size", ["tiny", "small"])
        def test_it(length, size): assert length == len(size)
    """,
    "through a local fixture": """
        @pytest.fixture(scope="session")
        def size(request): return request.param
        @pytest.mark.parametrize("size", ["tiny", "small"], indirect=True)
        def test_it(length, size): assert length == len(size)
    """,
    "without the test's knowing": """
        @pytest.mark.parametrize("size", ["tiny", "small"])
        @pytest.mark.usefixtures("length")
        def test_it(request): assert request.getfixturevalue("length") == LENGTHS[request.node.callspec.params["size"]]
    """,
    "of a marker's function": """
        def double(model): return 2 * len(model)

        @pytest.mark.parametrize("size", ["tiny", "small"])
        @pytest.mark.modal_gpu(function=double)
        def test_it(modal_result, size): assert modal_result == 2 * len(size)
    """,
}


@pytest.mark.parametrize("way", WAYS)
def test_any_parametrization_feeds_a_container_fixture(pytester: pytest.Pytester, way: str) -> None:
    pytester.makepyfile(suite(WAYS[way]))
    result = pytester.runpytest("-p", "no:asyncio", "-W", "error")
    result.assert_outcomes(passed=2)
    assert_lines_in_any_order(result.stdout.lines, ["loaded model[tiny]: 1 time, *", "loaded model[small]: 1 time, *"])


def test_a_value_is_loaded_once_however_many_tests_and_parametrizations_have_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        suite("""
        @pytest_modal.fixture(scope="container")
        def seeded(model, seed): return [model, seed]

        @pytest_modal.fixture
        def logits(seeded, temperature): return [*seeded, temperature]

        @pytest.mark.parametrize("temperature", [0.0, 0.5])
        @pytest.mark.parametrize("seed", [0, 1])
        @pytest.mark.parametrize("size", ["tiny", "small"])
        def test_axes(logits, size, seed, temperature): assert logits == [size, seed, temperature]

        @pytest.mark.parametrize("size", [["not", "hashable"], {"a": 1}, "tiny"])
        def test_again(length, size): assert length == len(size)
        """)
    )
    plan = pytester.runpytest("--modal-plan", "-p", "no:randomly")
    assert [line.split("  (")[0] for line in plan.stdout.lines if line.startswith(("  load", "  call"))] == [
        "  load model[tiny]",
        "  load seeded[tiny-0]",
        "  load seeded[tiny-1]",
        "  load model[small]",
        "  load seeded[small-0]",
        "  load seeded[small-1]",
        "  load model[size0]",
        "  load model[size1]",
        "  call logits[tiny-0-0.0]",
        "  call logits[tiny-0-0.5]",
        "  call length[tiny]",
        "  call logits[tiny-1-0.0]",
        "  call logits[tiny-1-0.5]",
        "  call logits[small-0-0.0]",
        "  call logits[small-0-0.5]",
        "  call logits[small-1-0.0]",
        "  call logits[small-1-0.5]",
        "  call length[size0]",
        "  call length[size1]",
    ]
    result = pytester.runpytest()
    result.assert_outcomes(passed=11)
    assert_lines_in_any_order(
        result.stdout.lines,
        [f"loaded {name}: 1 time, *" for name in ("model[tiny]", "model[small]", "seeded[tiny-0]", "seeded[small-1]")],
    )


def test_what_is_shared_in_a_wider_scope_is_the_value_of_each_test_all_the_same(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        suite("""
        @pytest_modal.fixture(scope="session")
        def for_all(model): return [model]

        @pytest_modal.fixture(scope="module")
        def after(for_all): return [*for_all, "after"]

        @pytest.fixture(scope="session")
        def table(for_all): return {"size": for_all[0]}

        @pytest.mark.parametrize("size", ["tiny", "small", "tiny"], ids=["first", "second", "third"])
        def test_one(for_all, after, table, size):
            assert (for_all, after, table) == ([size], [size, "after"], {"size": size})

        @pytest.mark.parametrize("size", ["small"])
        def test_two(table, size): assert table == {"size": size}
        """)
    )
    result = pytester.runpytest("-p", "no:asyncio", "-W", "error")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["modal: *: 4 calls for 4 tests, 1 environment"])


MODULES = {
    "conftest": """
        import pytest_modal

        @pytest_modal.fixture(scope="container")
        def model(weights): return sum(weights)

        @pytest_modal.fixture(scope="session")
        def total(model): return model
    """,
    "test_one": """
        import pytest

        @pytest.fixture(scope="module")
        def weights(): return [1, 2]

        def test_it(total): assert total == 3
    """,
    "test_two": """
        import pytest

        @pytest.fixture(scope="class")
        def weights(): return [3, 4]

        def test_it(total): assert total == 7
    """,
}


def test_a_container_fixture_takes_what_its_test_sees_under_a_name(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(**MODULES)
    pytester.runpytest().assert_outcomes(passed=2)


def test_what_a_container_fixture_was_sent_must_still_hold(pytester: pytest.Pytester) -> None:
    changing = MODULES["test_two"].replace("return [3, 4]", "COUNT.append(1); return [len(COUNT)]")
    pytester.makepyfile(
        **MODULES | {"test_two": changing.replace("import pytest\n", "import pytest\n        COUNT = []\n")}
    )
    result = pytester.runpytest()
    result.assert_outcomes(passed=1, errors=1)
    assert_lines(
        result.stdout.lines,
        ["the local fixture 'weights' has changed since the batch was sent: the result of model *"],
    )


def test_setup_plan_shows_what_pytest_sets_up(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(suite(WAYS["of a test"]))
    result = pytester.runpytest("--setup-plan", "-p", "no:asyncio")
    assert result.ret == 0
    assert_lines(
        result.stdout.lines,
        ["SETUP    S model", "*SETUP    F length (fixtures used: model)", "*SETUP    F size['tiny']"],
    )


IDS = """
    import enum
    import pytest
    import pytest_modal

    class Precision(enum.Enum):
        HALF = 16

    @pytest_modal.fixture
    def shown(value): return 1

    @pytest.mark.parametrize("value", [{values}])
    def test_shown(shown): pass
"""


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ("'tiny', 1, 0.5, None, True", ["tiny", "1", "0.5", "None", "True"]),
        ("'gpt2-xl', 'Qwen/Qwen2-0.5B', '1', '\\u00e9'", ["gpt2-xl", "Qwen/Qwen2-0.5B", "1", "\\xe9"]),
        ("[1, 2], {'lr': 0.1}, (2, 8)", ["value0", "value1", "value2"]),
        ("pytest.param({'lr': 0.1}, id='fast'), pytest.param(3, id='three')", ["fast", "three"]),
        ("'x' * 60", ["xxxxxxxxxxxxxxxxxxxxxxxxxxxx...42f2d973"]),
    ],
    ids=["plain values", "names of models", "values without a text", "ids of their own", "a long text"],
)
def test_parameters_are_called_as_in_the_ids_of_tests(
    pytester: pytest.Pytester, values: str, labels: list[str]
) -> None:
    pytester.makepyfile(IDS.format(values=values))
    plan = pytester.runpytest("--modal-plan")
    called = [line.partition("  call ")[2].split("  (")[0] for line in plan.stdout.lines if line.startswith("  call")]
    assert called == [f"shown[{label}]" for label in labels]


def test_a_call_is_called_the_same_whatever_runs_it_or_in_which_order(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        suite("""
        def scored(model, metric, n): return n

        @pytest.mark.parametrize("size, metric", [pytest.param("tiny", "f1", id="quick"), ("small", "f1")])
        @pytest.mark.modal_gpu(function=scored, args={"n": 3})
        def test_scored(modal_result): pass

        @pytest.mark.parametrize("size, expected", [pytest.param("tiny", 4, id="t"), pytest.param("large", 5, id="l")])
        def test_length(length, expected): assert length == expected
        """)
    )

    def called(*arguments: str) -> list[str]:
        lines = pytester.runpytest("--modal-plan", *arguments).stdout.lines
        return [line.split("  (")[0].removeprefix("  call ") for line in lines if line.startswith("  call ")]

    everything = ["scored[quick-3]", "length[tiny]", "scored[small-f1-3]", "length[large]"]
    assert called() == everything
    for seed in "123":
        assert called(f"--randomly-seed={seed}") == everything
    assert called("-k", "test_length") == ["length[tiny]", "length[large]"]
    assert called("-k", "scored") == ["scored[quick-3]", "scored[small-f1-3]"]
