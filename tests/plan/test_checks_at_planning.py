"""The rules on what is about to be sent: errors at the tests concerned, warnings before the batch."""

from __future__ import annotations

import pytest

PLAIN = ("-p", "no:randomly", "-p", "no:xdist")


def test_four_mistakes_are_all_shown_and_nothing_runs(pytester: pytest.Pytester) -> None:
    (pytester.path / "data").mkdir()
    (pytester.path / "data" / "problems.txt").write_text("1 + 1 =")
    pytester.makepyfile(
        test_it="""
        import pytest
        import pytest_modal

        @pytest_modal.fixture
        def table():
            import pathlib
            pathlib.Path("{proof}", "ran.txt").write_text("ran")
            open("results.csv", "w").write("a,b")
            return 1

        @pytest.fixture(scope="session")
        def path(): return "data/problems.txt"

        @pytest_modal.fixture
        def count(path):
            return len(open(path).read())

        @pytest_modal.fixture(packages=["torch"])
        def mean():
            import pandas
            return float(pandas.Series([1, 2]).mean())

        def figure(output_dir):
            return str(output_dir)

        @pytest.mark.parametrize("output_dir", ["out"])
        @pytest.mark.modal_gpu(function=figure)
        def test_figure(modal_result): pass

        def test_table(table): pass
        def test_count(count): pass
        def test_mean(mean): pass
        """.replace("{proof}", pytester.path.as_posix())
    )
    result = pytester.runpytest(*PLAIN)
    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines_random(
        [
            "PM101 open writes a file in the GPU function table: it is lost with the container",
            "  where: test_it.py:8:5, for test_it.py::test_table",
            "  what to do: return the data and write the file where the result arrives;*# modal: allow PM101",
            "PM102 count is sent path='data/problems.txt', which is a file or directory here: *",
            "  where: test_it.py:15:11, for test_it.py::test_count",
            "PM106 mean imports pandas, which its image lacks: *",
            "  where: test_it.py:20:12, for test_it.py::test_mean",
            "PM102 the GPU function figure takes output_dir, a directory of another machine: *",
            "  where: test_it.py:23:12, for test_it.py::test_figure*",
        ]
    )
    assert not (pytester.path / "ran.txt").exists()
    result.stdout.no_fnmatch_line("*calls done*")


def test_local_code_travels_however_it_is_imported(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(helpers="def solve(x): return x + 1\n\ndef double(x): return 2 * x\n")
    pytester.makepyfile(
        test_it="""
        import helpers
        import pytest_modal

        @pytest_modal.fixture
        def solved():
            from helpers import double
            return double(helpers.solve(1))

        def test_solved(solved): assert solved == 4
        """
    )
    pytester.syspathinsert()
    result = pytester.runpytest(*PLAIN)
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*PM105*")


def test_the_others_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture
        def bad():
            open("x.csv", "w").close()
            return 1

        @pytest_modal.fixture
        def good(): return 2

        @pytest_modal.fixture
        def upon(bad): return bad + 1

        def test_bad(bad): pass
        def test_upon(upon): pass
        def test_both(bad, good): pass
        def test_good(good): assert good == 2
        """
    )
    result = pytester.runpytest(*PLAIN)
    result.assert_outcomes(passed=1, errors=3)
    result.stdout.fnmatch_lines(["1 call in 1 environment and 1 container: 1 ok; *"])


def test_a_helper_in_another_file_and_a_container_fixture(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest_modal

        @pytest_modal.fixture(scope="container")
        def model():
            import json
            with open("model.json", "w") as f:
                json.dump({}, f)
            return len
        """
    )
    pytester.makepyfile(
        writing="""
        import numpy as np

        def keep(values):
            np.save("values.npy", np.array(values))
        """
    )
    pytester.makepyfile(
        test_it="""
        import pytest_modal
        from writing import keep

        @pytest_modal.fixture
        def lengths(model):
            return [model("abc")]

        @pytest_modal.fixture
        def kept():
            keep([1])
            return 1

        def test_lengths(lengths): pass
        def test_kept(kept): pass
        """
    )
    pytester.syspathinsert()
    result = pytester.runpytest(*PLAIN)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        [
            "PM101 open writes a file in the GPU function model: *",
            "  where: conftest.py:6:10, for test_it.py::test_lengths",
            "PM101 np.save writes a file in the GPU function kept: *",
            "  where: writing.py:4:5, for test_it.py::test_kept",
        ]
    )


MEAN = """
import pandas{comment}

def mean(values):
    return float(pandas.Series(values).mean())

def unused():
    import seaborn
    open("x.csv", "w").write(seaborn)
"""
USES_MEAN = """
import pytest_modal
from means import mean

@pytest_modal.fixture(packages=["numpy", "torch"])
def answer(): return mean([1, 2])

def test_it(answer): pass
"""


def test_a_missing_package_is_found_where_a_local_file_imports_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(means=MEAN.format(comment=""), test_it=USES_MEAN)
    pytester.syspathinsert()
    result = pytester.runpytest(*PLAIN, "--modal-plan")
    result.stdout.fnmatch_lines(
        [
            "  PM106 answer imports pandas, which its image lacks: *",
            "    where: means.py:1:8, for test_it.py::test_it",
            "    what to do: write packages=*pandas*",
        ]
    )
    result.stdout.no_fnmatch_line("*seaborn*")
    result.stdout.no_fnmatch_line("*PM101*")


def test_a_comment_at_the_import_allows_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(means=MEAN.format(comment="  # modal: allow PM106"), test_it=USES_MEAN)
    pytester.syspathinsert()
    result = pytester.runpytest(*PLAIN, "--modal-plan")
    result.stdout.no_fnmatch_line("*PM106*")


def test_functions_that_are_reached_through_modules_and_names_are_seen(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        deep="""
        def keep(text):
            open("x.csv", "w").write(text)
        """,
        helpers="""
        import deep

        class Keeper:
            def keep(self, text): deep.keep(text)

        class OnlyNamed:
            def keep(self, text): open("x.csv", "w").write(text)

        TABLE = {"keep": Keeper}
        """,
        test_it="""
        import helpers
        import pytest_modal

        @pytest_modal.fixture
        def kept():
            return save("text", None)

        def save(text, other: "helpers.OnlyNamed"):
            return helpers.TABLE["keep"]().keep(text)

        def test_it(kept): pass
        """,
    )
    pytester.syspathinsert()
    result = pytester.runpytest(*PLAIN)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "PM101 open writes a file in the GPU function kept: it is lost with the container",
            "  where: deep.py:2:5, for test_it.py::test_it",
        ]
    )
    result.stdout.no_fnmatch_line("*helpers.py:7*")


def test_warnings_are_lines_before_the_batch(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import json
        import pytest
        import pytest_modal

        TABLE = json.loads(json.dumps(["a" * 100] * 5000))

        class Model:
            @classmethod
            def from_pretrained(cls, name): return cls()

        @pytest_modal.fixture
        def answers(problem):
            model = Model.from_pretrained("gpt2")
            return [problem, type(model).__name__, len(TABLE)]

        @pytest.mark.parametrize("problem", ["a", "b"])
        def test_it(answers, problem): assert answers[0] == problem
        """
    )
    result = pytester.runpytest(*PLAIN, "-pno:asyncio", "-Werror")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "modal: warning: test_*.py:5:1: PM109 TABLE is data of ?.? MiB and travels with each function that *",
            "modal: warning: test_*.py:13:13: PM108 answers loads gpt2, as 2 calls of this run do: *scope=*container*",
            "modal: local mock mode, on this machine: 2 calls *",
        ]
    )
    assert result.stdout.str().count("PM108") == 1


def test_the_ini_decides(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import json
        import pytest_modal

        BIG = json.loads(json.dumps("x" * 1_000_000))

        @pytest_modal.fixture
        def writes():
            open("x.csv", "w").close()
            return 1

        @pytest_modal.fixture(packages=["numpy", "matplotlib"])
        def unused():
            import numpy
            return float(numpy.zeros(1).sum())

        @pytest_modal.fixture
        def large(): return len(BIG)

        def test_writes(writes): pass
        def test_unused(unused): pass
        def test_large(large): pass
        """
    )
    pytester.makeini("[pytest]\nmodal_rules =\n  PM101 = warning\n  pm107=off\n  PM109 = error\n")
    result = pytester.runpytest(*PLAIN)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "modal: warning: *: PM101 *",
            "PM109 BIG is data of 1.0 MiB and travels with each function that uses it",
        ]
    )
    result.stdout.no_fnmatch_line("*PM107*")


@pytest.mark.parametrize("line", ["PM999 = off", "PM101 = quiet", "PM101"])
def test_a_rule_or_level_that_does_not_exist_is_a_usage_error(pytester: pytest.Pytester, line: str) -> None:
    pytester.makepyfile("def test_it(): pass")
    pytester.makeini(f"[pytest]\nmodal_rules =\n  {line}\n")
    result = pytester.runpytest(*PLAIN)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: modal_rules = '{line}' is not valid", "  where: tox.ini", "  what to do: write RULE = LEVEL: *"]
    )


def test_a_comment_allows_it(pytester: pytest.Pytester) -> None:
    (pytester.path / "problems.txt").write_text("x")
    pytester.makepyfile(
        """
        import pytest
        import pytest_modal

        @pytest.fixture(scope="session")
        def path(request): return str(request.config.rootpath / "problems.txt")

        @pytest_modal.fixture
        def count(path):  # modal: allow PM102
            with open("x.csv", "w") as f:  # modal: allow PM101
                f.write("x")
            return len(path)

        def test_it(count): assert count
        """
    )
    pytester.runpytest(*PLAIN).assert_outcomes(passed=1)


def test_volumes_and_data_that_look_like_paths_are_fine(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        import pytest_modal

        PROMPTS = ["What is 3/4?", "yes/no", "/", "/usr/bin/python", "openai-community/gpt2", "a\\0/b", "x/" * 3000]

        @pytest.fixture(scope="session")
        def problems(): return {"prompts": PROMPTS, "nested": [[{"deep": "/no/such/file"}]]}

        @pytest_modal.fixture(volumes={"/vol": "name"})
        def count(problems):
            if not problems:
                with open("/vol/results.csv", "w") as f:
                    f.write("x")
            return len(problems["prompts"])

        def test_it(count): assert count == 7
        """
    )
    result = pytester.runpytest(*PLAIN)
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*PM1*")


def test_the_plan_shows_what_was_found(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture
        def bad():
            open("x.csv", "w").close()
            return 1

        def test_bad(bad): pass
        """
    )
    result = pytester.runpytest(*PLAIN, "--modal-plan")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*PM101 open writes a file in the GPU function bad*"])


def test_what_the_file_does_besides_is_not_the_business_of_its_tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        modal="""
        class App:
            def __init__(self, name): pass
            def run(self): raise SystemExit("not called")
        """
    )
    pytester.makepyfile(
        test_it="""
        import modal
        import pytest_modal

        app = modal.App("other")

        def two_sessions():
            with app.run():
                pass
            with app.run():
                pass

        @pytest_modal.fixture
        def one(): return 1

        def test_one(one): assert one == 1
        """
    )
    pytester.syspathinsert()
    result = pytester.runpytest_subprocess(*PLAIN)
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*PM104*")


def test_a_value_that_was_decided_here_although_the_container_may_differ(pytester: pytest.Pytester) -> None:
    (pytester.path / "settings.json").write_text('{"cpu": {"batch": 1}, "cuda": {"batch": 8}}')
    pytester.makepyfile(
        machine="""
        import json
        import os

        def kind():
            return "cuda" if os.environ.get("USE_CUDA") else "cpu"

        SETTINGS = json.load(open("settings.json"))
        BATCH = json.load(open("settings.json"))[kind()]["batch"]
        KIND = kind()
        """,
        test_it="""
        import machine
        import pytest_modal

        @pytest_modal.fixture
        def answer(): return [machine.SETTINGS, machine.BATCH, machine.KIND]

        def test_it(answer): assert answer[1:] == [1, "cpu"]
        """,
    )
    pytester.syspathinsert()
    result = pytester.runpytest(*PLAIN)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "modal: warning: machine.py:8:1: PM109 BATCH asks about the machine or its environment and reads files: "
            "its value was decided on this machine and travels as it is; ask in the function's body, *"
        ]
    )
    assert result.stdout.str().count("PM109") == 1


def test_a_download_at_the_top_of_a_file_runs_in_each_container(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        transformers="""
        def pipeline(task): return len
        """,
        models="""
        from transformers import pipeline

        CLASSIFY = pipeline("sentiment-analysis")
        """,
        test_it="""
        import pytest_modal
        from models import CLASSIFY

        @pytest_modal.fixture
        def answer(): return CLASSIFY("text")

        def test_it(answer): assert answer == 4
        """,
    )
    pytester.syspathinsert()
    # In a process of its own: here the real library may have been imported.
    result = pytester.runpytest_subprocess(*PLAIN)
    result.stdout.fnmatch_lines(
        [
            "modal: warning: models.py:3:1: PM109 pipeline is called at the top of the file: it runs again in each "
            'container, outside of a container fixture; load it in a @pytest_modal.fixture(scope="container") *'
        ]
    )


CONFTEST = """
import pytest
import random
from seeds import seed_everything

@pytest.fixture(autouse=True)
def seeded():
    seed_everything(){comment}
"""
SEEDS = "import random\n\ndef seed_everything():\n    random.seed(0)\n"
DRAWS = """
import random
import pytest_modal

@pytest_modal.fixture{declared}
def draw(): return random.random()

@pytest_modal.fixture
def one(): return 1

def test_draw(draw): pass
def test_one(one): pass
"""


@pytest.mark.parametrize(
    ("comment", "declared", "warned"),
    [("", "", 1), ("  # modal: allow PM109", "", 0), ("", "(seed=0)", 0)],
    ids=["warned", "allowed", "seeded"],
)
def test_an_autouse_fixture_seeds_this_machine_only(
    pytester: pytest.Pytester, comment: str, declared: str, warned: int
) -> None:
    pytester.makeconftest(CONFTEST.format(comment=comment))
    pytester.makepyfile(seeds=SEEDS, test_it=DRAWS.format(declared=declared))
    pytester.syspathinsert()
    result = pytester.runpytest(*PLAIN)
    result.assert_outcomes(passed=2)
    assert result.stdout.str().count("PM109") == warned
    if warned:
        result.stdout.fnmatch_lines(
            [
                "modal: warning: conftest.py:7:5: PM109 the autouse fixture seeded sets random.seed on this machine, "
                "not in the container where the GPU functions run; write seed= on the remote fixture, *"
            ]
        )


def test_fixtures_of_other_files_and_remote_ones_are_not_meant(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_other="""
        import pytest
        import random

        @pytest.fixture(autouse=True)
        def seeded(): random.seed(0)

        def test_it(): pass
        """,
        test_it="""
        import random
        import pytest_modal

        @pytest_modal.fixture(autouse=True)
        def seeded():
            random.seed(0)
            return random.random()

        def test_it(seeded): assert seeded
        """,
    )
    result = pytester.runpytest(*PLAIN)
    result.stdout.no_fnmatch_line("*PM109*")


def test_state_that_calls_share_is_seen_in_the_helpers_of_other_files(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        counting="""
        CALLS = 0

        def count():
            global CALLS
            CALLS += 1
            return CALLS

        def unused():
            global CALLS
            CALLS += 2
        """,
        test_it="""
        import counting
        import pytest_modal

        @pytest_modal.fixture
        def first(): return counting.count()

        @pytest_modal.fixture
        def second(): return counting.count()

        def test_it(first, second): assert first + second == 3
        """,
    )
    pytester.syspathinsert()
    result = pytester.runpytest(*PLAIN)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "modal: warning: counting.py:5:5: PM111 count changes CALLS, which its module keeps: the next call in the "
            "same process finds what this one has left, *; count in a local variable and return it, *"
        ]
    )
    assert result.stdout.str().count("PM111") == 1


def test_a_package_that_only_the_local_part_uses_is_unused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(helpers="import numpy\n\ndef zeros(n):\n    return numpy.zeros(n)\n")
    pytester.makepyfile(
        test_it="""
        import matplotlib
        import pytest_modal
        from helpers import zeros

        @pytest_modal.fixture(packages=["numpy", "matplotlib"])
        def answer(): return float(zeros(2).sum())

        def test_it(answer): assert answer == 0 and matplotlib
        """
    )
    pytester.syspathinsert()
    result = pytester.runpytest(*PLAIN)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["modal: warning: test_it.py:5:42: PM107 *matplotlib*"])
    assert result.stdout.str().count("PM107") == 1


READERS = {
    "beside its own file": ("json.loads((Path(__file__).parent / 'rows.json').read_text())", "answer", "files beside"),
    "a constant": ("json.loads(ROWS.read_text())", "answer", "ROWS, which"),
    "a directory": ("json.loads((HERE / 'rows.json').read_text())", "answer", "HERE, which"),
    "text": ("json.load(open(TEXT))", "answer", "TEXT, which"),
    "a helper of another file": ("helpers.rows()", "rows", "BESIDE, which"),
}


@pytest.mark.parametrize("reader", READERS)
def test_code_that_reads_files_of_this_machine_is_found_before_anything_is_sent(
    pytester: pytest.Pytester, reader: str
) -> None:
    body, who, what = READERS[reader]
    (pytester.path / "rows.json").write_text("[1]")
    pytester.makepyfile(
        helpers="""
        import json
        from pathlib import Path
        BESIDE = Path(__file__).with_name("rows.json")
        def rows(): return json.loads(BESIDE.read_text())
        """,
        test_it=f"""
        import json, os
        from pathlib import Path
        import helpers
        import pytest_modal

        HERE = Path(__file__).parent
        ROWS = HERE / "rows.json"
        TEXT = os.path.join(os.path.dirname(__file__), "rows.json")

        @pytest_modal.fixture
        def answer(): return {body}

        def test_answer(answer): pass
        """,
    )
    result = pytester.runpytest(*PLAIN)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            f"PM102 {who} reads {what}*: the container of answer has none of your files",
            "  what to do: read the file at the top of the module, so that its content travels, or in a local *",
        ]
    )


def test_a_file_that_is_read_at_the_top_and_a_path_that_is_not_read_are_fine(pytester: pytest.Pytester) -> None:
    (pytester.path / "rows.json").write_text("[1]")
    pytester.makepyfile(
        """
        import json
        from pathlib import Path
        import pytest_modal

        HERE = Path(__file__).parent
        ROWS = json.loads((HERE / "rows.json").read_text())

        @pytest_modal.fixture
        def answer(): return [ROWS, HERE.name]

        def test_answer(answer): assert answer[0] == [1]
        """
    )
    pytester.runpytest(*PLAIN).assert_outcomes(passed=1)


def test_what_was_replaced_on_this_machine_is_warned_of_and_what_the_files_replace_is_not(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(
        """
        import helpers
        def pytest_configure():
            helpers.normalise = lambda text: "patched"
            helpers.LIMIT = 5
        """
    )
    pytester.makepyfile(
        helpers="LIMIT = 3\nSIZE = 1\ndef normalise(text): return text\ndef other(text): return text\n",
        test_it="""
        import helpers
        import pytest_modal

        def mine(text): return "mine"

        helpers.other = mine
        helpers.SIZE = 2

        @pytest_modal.fixture
        def answer(): return helpers.normalise("x"), helpers.LIMIT, helpers.other("x"), helpers.SIZE

        def test_answer(answer): assert answer == ("x", 3, "mine", 2)
        """,
    )
    result = pytester.runpytest(*PLAIN)
    result.assert_outcomes(passed=1)
    warned = [line for line in result.outlines if "PM109" in line]
    assert [line.partition(" was replaced")[0] for line in warned] == [
        "modal: warning: helpers.py:1:1: PM109 helpers.LIMIT",
        "modal: warning: helpers.py:3:1: PM109 helpers.normalise",
    ]
