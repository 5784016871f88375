"""The page on costs has the prices that costs are computed with."""

from __future__ import annotations

from pathlib import Path

from pytest_modal.declare.prices import (
    AS_OF,
    BROAD_REGION,
    CORE_SECOND,
    CPU,
    GIB_SECOND,
    GPU_SECOND,
    MEMORY,
    NARROW_REGION,
    NONPREEMPTIBLE,
    Prices,
    read_prices,
)

PAGE = (Path(__file__).parents[2] / "docs" / "costs.md").read_text()


def test_the_table_has_all_prices_and_no_other() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ") and " | 0." in line]
    seconds = {name.partition(",")[0]: float(second) for name, second, _ in rows}
    assert seconds == {**GPU_SECOND, CPU: CORE_SECOND, MEMORY: GIB_SECOND}
    assert [hour for _, _, hour in rows] == [f"{float(second) * 3600:.2f}" for _, second, _ in rows]


def test_the_date_and_the_multipliers_are_those_of_the_prices() -> None:
    assert f"Modal's list prices of {AS_OF}" in PAGE
    assert PAGE.count(Prices().source) == PAGE.count("list prices of")
    text = " ".join(PAGE.split())
    assert f"by {BROAD_REGION} (a broad one, such as `us`) or {NARROW_REGION} (`us-east`)" in text
    assert f'`modal={{"nonpreemptible": True}}` by {NONPREEMPTIBLE:.0f}' in text


def test_the_lines_for_the_ini_are_valid() -> None:
    block = PAGE.rpartition("modal_prices =\n")[2].partition("```")[0]
    assert read_prices(block.splitlines()) != ()
