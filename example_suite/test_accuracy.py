"""How often the model is right: by operation, digits and carries; pilot and full set from one model load."""

from __future__ import annotations

from typing import Any

import pytest
from figures import figure, legend_below, series, wilson
from inference import answer_all

import pytest_modal

PILOT = 16


@pytest_modal.fixture
def pilot(model: Any, problems: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A few problems, one at a time: what batching must not change."""
    return answer_all(model, problems[:: len(problems) // PILOT], batch=1)


@pytest.fixture
def graded(answers: list[dict[str, Any]]) -> Any:
    """The answers as a table, with a verdict each."""
    import pandas as pd

    table = pd.DataFrame(answers)
    return table.assign(is_correct=table.output == table.correct)


def strata(graded: Any, *by: str) -> Any:
    """Return number, accuracy and 95% interval of each stratum."""
    table = graded.groupby(list(by)).is_correct.agg(n="size", right="sum", accuracy="mean").reset_index()
    intervals = [wilson(right, n) for right, n in zip(table.right, table.n, strict=True)]
    return table.assign(low=[low for low, _ in intervals], high=[high for _, high in intervals])


@pytest.mark.modal_gpu
class TestAccuracy:
    @pytest.mark.parametrize(
        ("operation", "digits", "least", "most"),
        [
            ("addition", 1, 0.9, 1.0),
            ("addition", 2, 0.8, 1.0),
            ("addition", 4, 0.0, 0.1),
            ("subtraction", 1, 0.9, 1.0),
            ("subtraction", 2, 0.8, 1.0),
            ("subtraction", 4, 0.0, 0.1),
        ],
    )
    def test_of_a_stratum(self, graded: Any, operation: str, digits: int, least: float, most: float) -> None:
        """Short numbers are learnt; a length that training has not seen is not."""
        chosen = graded[(graded.operation == operation) & (graded.digits == digits)]
        assert least <= chosen.is_correct.mean() <= most

    def test_table_and_figure(self, graded: Any, save_csv: Any, save_figure: Any) -> None:
        save_csv("results.csv", graded)
        by_digits = save_csv("accuracy_by_digits.csv", strata(graded, "operation", "digits"))
        trained = graded[graded.digits == 3]
        by_carries = save_csv("accuracy_by_carries.csv", strata(trained, "operation", "carries"))
        with figure(columns=2, sharey=True) as (drawn, axes):
            for axis, table, x in ((axes[0], by_digits, "digits"), (axes[1], by_carries, "carries")):
                for shift, (operation, rows) in zip((-0.08, 0.08), table.groupby("operation"), strict=True):
                    percent = 100 * rows[["accuracy", "low", "high"]]
                    series(axis, rows[x], percent.accuracy, percent.low, percent.high, operation, shift)
                axis.set_xticks(sorted(table[x].unique()))
            axes[0].axvspan(3.5, 4.5, color="0.9", zorder=0)
            axes[0].text(4, 70, "length not\nseen in\ntraining", ha="center", va="center", fontsize=8)
            axes[0].set(
                xlabel="digits of each operand",
                ylabel="exact-match accuracy (%)",
                title="Accuracy by length",
                ylim=(-6, 106),
                xlim=(0.5, 4.5),
            )
            axes[1].set(xlabel="carries or borrows", title="Three digits, by carries", xlim=(-0.5, 3.5))
            legend_below(drawn, axes[0], "95% intervals (Wilson)", columns=2)
            save_figure("accuracy.png", drawn)
        by_operation = by_digits.set_index(["operation", "digits"]).accuracy
        for operation in ("addition", "subtraction"):
            assert by_operation[operation, 4] < by_operation[operation, 3] <= by_operation[operation, 1]

    def test_batching_changes_no_answer(self, answers: Any, pilot: Any) -> None:
        outputs = {row["id"]: row["output"] for row in answers}
        assert len(pilot) >= PILOT
        assert {row["id"]: row["output"] for row in pilot} == {row["id"]: outputs[row["id"]] for row in pilot}

    def test_is_as_good_as_before(self, graded: Any, accuracy_gate: Any) -> None:
        """The gate: right or wrong, an item a problem, of the lengths that training has shown."""
        accuracy_gate("arithmetic", graded[graded.digits <= 3], correct="is_correct")
