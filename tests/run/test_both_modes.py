"""What passes on this machine passes on Modal, with equal data: one list of suites, run in both places.

Each suite writes what it got with ``save_json``; both runs must write the same bytes.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

import pytest
from loopback_modal import LoopbackModal
from suite_run import files_of_tests


@dataclass(frozen=True)
class Scenario:
    """A suite, and what becomes of its tests."""

    source: str
    outcomes: dict[str, int]
    files: dict[str, str] = field(default_factory=dict)


SCENARIOS = {
    "data": Scenario(
        """
        import math
        import numpy as np
        import pytest, pytest_modal

        VALUES = {
            "none": None, "bool": True, "int": 1 << 80, "float": 0.1, "nan": math.nan, "inf": -math.inf,
            "complex": 1 + 2j, "str": "größer \\udc80 \\x00", "bytes": bytes(range(256)), "list": [1, [2.5, "x"], []],
            "tuple": (1, (2,)), "dict": {1: "a", "b": {None: 2}}, "rows": [{"id": n, "x": n / 7} for n in range(50)],
            "array": np.arange(12, dtype=">i4").reshape(3, 4)[:, ::2], "empty": np.zeros((0, 3), np.float16),
            "scalar": np.float32(1.5), "dates": np.array(["2024-01-01", "NaT"], "M8[ns]"),
            "text": np.array(["a", "bc"]),
            "records": np.array([(1, 2.0)], dtype=[("a", "i2"), ("b", "f8")]), "zero-d": np.array(3),
        }

        def same(value): return value

        def show(value):
            if isinstance(value, np.ndarray | np.generic):
                return [type(value).__name__, str(np.asarray(value).dtype), np.asarray(value).tobytes().hex()]
            return repr(value)

        @pytest.mark.parametrize(("name", "value"), VALUES.items(), ids=VALUES)
        @pytest.mark.modal_gpu(function=same)
        def test_round_trip(modal_result, value, name, save_json):
            assert show(modal_result) == show(value) and type(modal_result) is type(value)
            save_json("value.json", show(modal_result))
        """,
        {"passed": 20},
    ),
    "tensors": Scenario(
        """
        import dataclasses, pytest_modal

        @dataclasses.dataclass
        class Scores:
            loss: float
            logits: object

        @pytest_modal.fixture
        def scores():
            import torch
            torch.manual_seed(0)
            x = torch.arange(6.0).reshape(2, 3)
            return Scores(x.mean().item(), {"half": x.to(torch.bfloat16) / 3, "int": x.to(torch.int8), "t": x.T})

        def test_it(scores, save_json):
            assert scores["logits"]["half"].dtype == "float32"
            save_json("scores.json", {"loss": scores["loss"], **scores["logits"]})
        """,
        {"passed": 1},
    ),
    "fixtures": Scenario(
        """
        import pytest, pytest_modal
        from helpers import Doubler, LIMIT, shout

        @pytest.fixture(scope="module")
        def words(): return ["a", "b"]

        @pytest_modal.fixture(scope="container", params=["x", "y"])
        def model(request):
            alive = [request.param]
            yield alive
            alive.clear()

        @pytest_modal.fixture(params=[1, 2], ids=["one", "two"])
        def answers(model, request, words):
            assert len(words) == LIMIT, "assert needs no pytest there"
            return [shout(model[0] * Doubler().twice(request.param)), *words]

        @pytest_modal.fixture
        def joined(answers): return "-".join(answers)

        @pytest.fixture
        def local(joined): return joined.lower()

        class TestIt:
            @pytest.mark.parametrize("times", [1, 3])
            def test_joined(self, local, answers, times, save_json):
                save_json("it.json", {"times": times, "local": local, "answers": answers})

        @pytest.mark.usefixtures("joined")
        def test_used(): pass
        """,
        {"passed": 12},
        {
            "helpers": """
            LIMIT = 2

            class Doubler:
                factor = 2
                def twice(self, x): return self.factor * x

            def shout(text): return text.upper() + mark()
            def mark(): return "!"
            """
        },
    ),
    "one function": Scenario(
        """
        import pytest

        def generate(prompts, model_name, temperature=0.5):
            return [f"{model_name}({prompt}, {temperature})" for prompt in prompts]

        @pytest.fixture(scope="session")
        def prompts(): return ["hello", "you"]

        @pytest.mark.parametrize("model_name", ["gpt2", "distilgpt2"])
        @pytest.mark.modal_gpu(function=generate, gpu="T4", env={"X": "1"})
        def test_generate(modal_result, save_json): save_json("all.json", modal_result)

        @pytest.mark.modal_gpu(function=generate, args={"prompts": ["x"], "model_name": "m", "temperature": 1.0})
        def test_args(modal_result, save_json): save_json("all.json", modal_result)
        """,
        {"passed": 3},
    ),
    "shards": Scenario(
        """
        import pytest, pytest_modal

        @pytest.fixture(scope="session")
        def rows(): return [{"n": n} for n in range(11)]

        @pytest_modal.fixture(shard="rows", max_containers=3)
        def squares(rows): return [row["n"] ** 2 for row in rows]

        @pytest_modal.fixture
        def total(squares): return sum(squares)

        def test_it(squares, total, save_json):
            assert total == sum(squares)
            save_json("squares.json", squares)
        """,
        {"passed": 1},
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_both_modes_give_the_same(pytester: pytest.Pytester, modal_server: LoopbackModal, name: str) -> None:
    scenario = SCENARIOS[name]
    files = {stem: textwrap.dedent(source) for stem, source in scenario.files.items()}
    pytester.makepyfile(test_it=textwrap.dedent(scenario.source), **files)
    results = {}
    for mode in ("local", "modal"):
        arguments = (f"--modal-mode={mode}", f"--modal-output-dir={mode}", "-p", "no:randomly")
        result = pytester.runpytest_subprocess(*arguments, timeout=90)
        result.assert_outcomes(**scenario.outcomes)
        results[mode] = files_of_tests(pytester.path / mode)
    assert results["local"] == results["modal"]
    assert len(modal_server.facts()["apps"]) == 1
