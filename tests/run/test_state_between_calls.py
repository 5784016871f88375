"""What one call leaves in its process does not reach the next: a result is the same in every selection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal

FUNCTIONS = """
def train():
    import os, random, sys
    os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"
    del os.environ["KEPT"]
    os.mkdir("checkpoints")
    os.chdir("checkpoints")
    random.seed(7)
    import numpy, torch
    numpy.random.seed(7)
    numpy.seterr(all="raise")
    torch.manual_seed(7)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_default_device("meta")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.benchmark = True
    torch.set_num_threads(torch.get_num_threads() + 1)

def evaluate(n):
    import os
    seen = {"cwd": os.path.basename(os.getcwd()), "mixed": os.environ.get("ACCELERATE_MIXED_PRECISION")}
    seen["kept"] = os.environ["KEPT"]
    import numpy, torch
    seventh = torch.Generator().manual_seed(7)
    return {
        **seen,
        "numpy": numpy.geterr(),
        "dtype": str(torch.get_default_dtype()),
        "grad": torch.is_grad_enabled(),
        "device": str(torch.ones(1).device),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "benchmark": torch.backends.cudnn.benchmark,
        "threads": torch.get_num_threads(),
        "repeats the training": torch.rand(1).item() == torch.rand(1, generator=seventh).item(),
    }

def draw():
    import random
    import numpy, torch
    return [random.random(), float(numpy.random.rand()), float(torch.rand(1))]
"""


def written(directory: Path) -> dict[str, Any]:
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(directory.glob("test_it/*/*.json"))}


def test_evaluations_are_the_same_with_and_without_a_training_that_ran_before(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        functions=FUNCTIONS,
        test_it="""
        import pytest
        from functions import evaluate, train

        pytestmark = pytest.mark.modal_gpu(env={"KEPT": "1"})

        @pytest.mark.modal_gpu(function=train)
        def test_a_training(modal_result): assert modal_result is None

        @pytest.mark.parametrize("n", range(2))
        @pytest.mark.modal_gpu(function=evaluate)
        def test_evaluation(modal_result, n, save_json):
            save_json("seen.json", modal_result)
            assert modal_result["mixed"] is None and modal_result["kept"] == "1"
            assert modal_result["cwd"] == "work" and modal_result["device"] == "cpu"
            assert modal_result["dtype"] == "torch.float32" and modal_result["grad"]
        """,
    )
    # The training is first in both orders: its function stands above the evaluation.
    whole = pytester.runpytest_subprocess("-p", "no:randomly", "--modal-output-dir=whole")
    whole.assert_outcomes(passed=3)
    part = pytester.runpytest_subprocess("-p", "no:randomly", "--modal-output-dir=part", "-k", "evaluation and 1")
    part.assert_outcomes(passed=1)
    seen, alone = written(pytester.path / "whole"), written(pytester.path / "part")
    (only,) = alone
    assert seen[only] == alone[only]
    first, second = seen.values()
    assert first == second


def test_what_a_container_fixture_sets_holds_for_its_users_and_for_nobody_else(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        import pytest_modal

        @pytest_modal.fixture(scope="container")
        def half():
            import os, random, torch
            os.environ["MODEL"] = "half"
            random.seed(3)
            torch.set_default_dtype(torch.float16)
            with torch.no_grad():
                yield torch.ones(1)
                assert os.environ["MODEL"] == "half" and torch.get_default_dtype() == torch.float16

        @pytest_modal.fixture(scope="container")
        def large(half):
            import os
            assert os.environ.pop("MODEL") == "half"
            os.environ["SIZE"] = "large"
            return half

        def state():
            import os, random, torch
            names = [os.environ.get("MODEL"), os.environ.get("SIZE"), str(torch.get_default_dtype())]
            return [*names, torch.is_grad_enabled(), random.random()]

        @pytest_modal.fixture(params=[1, 2])
        def of_half(half, request): return state()

        @pytest_modal.fixture(params=[1, 2])
        def of_large(large, request): return state()

        @pytest_modal.fixture(params=[1, 2])
        def of_none(request): return state()

        DRAWN = __import__("random").Random(3).random()

        def test_half(of_half): assert of_half == ["half", None, "torch.float16", False, DRAWN]
        def test_large(of_large): assert of_large == [None, "large", "torch.float16", False, DRAWN]
        def test_none(of_none): assert of_none[:4] == [None, None, "torch.float32", True]
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(passed=6)


SEEDED = """
    import pytest
    import pytest_modal
    from functions import draw

    @pytest_modal.fixture(scope="container")
    def model(): return draw()

    @pytest_modal.fixture(params=[1, 2])
    def both(model, request): return [model, draw()]

    @pytest_modal.fixture
    def other(): return draw()

    @pytest_modal.fixture(seed=5)
    def five(): return draw()

    def test_other(other, save_json): save_json("drawn.json", other)
    def test_both(both, other, save_json):
        assert both == [other, other]
        save_json("drawn.json", both)
    def test_five(five, other, save_json):
        assert not set(five) & set(other)
        save_json("drawn.json", five)
    """


@pytest.mark.parametrize("mode", ["local", "modal"])
def test_a_seed_is_set_before_each_call_and_each_container_fixture(
    pytester: pytest.Pytester, modal_server: LoopbackModal, mode: str
) -> None:
    pytester.makeini("[pytest]\nmodal_seed = 0\n")
    pytester.makepyfile(functions=FUNCTIONS, test_it=SEEDED)
    arguments = ("-p", "no:randomly", f"--modal-mode={mode}")
    result = pytester.runpytest_subprocess(*arguments, "--modal-output-dir=whole", timeout=90)
    result.assert_outcomes(passed=4)
    assert_lines(result.outlines, ["seed: 0 (3 calls), 5 (1 call)", "4 calls in 1 environment and 1 container: 4 ok*"])
    part = pytester.runpytest_subprocess(*arguments, "--modal-output-dir=part", "-k", "other", timeout=90)
    part.assert_outcomes(passed=1)
    assert_lines(part.outlines, ["seed: 0"])
    seen = written(pytester.path / "whole")
    assert written(pytester.path / "part").items() <= seen.items()


def test_without_a_seed_random_numbers_are_fresh_in_each_call(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        functions=FUNCTIONS,
        test_it="""
        import pytest
        from functions import draw

        SEEN = []

        def again(n): return draw()

        @pytest.mark.parametrize("n", range(3))
        @pytest.mark.modal_gpu(function=again)
        def test_it(modal_result):
            assert not {*SEEN} & {*modal_result}
            SEEN.extend(modal_result)
        """,
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(passed=3)
    assert not [line for line in result.outlines if line.startswith("seed:")]


@pytest.mark.parametrize("seed", ["-1", "x", "4294967296"])
def test_a_seed_in_the_ini_that_is_not_one_is_refused(pytester: pytest.Pytester, seed: str) -> None:
    pytester.makeini(f"[pytest]\nmodal_seed = {seed}\n")
    result = pytester.runpytest()
    assert_lines(
        result.errlines,
        [
            f"ERROR: modal_seed = '{seed}' is not valid",
            "  where: tox.ini",
            "  what to do: set it to a whole number from 0 to 4294967295",
        ],
    )
