"""Prices: which GPU is paid for, and how much."""

from __future__ import annotations

import pytest

from pytest_modal.batch.cost import Cost, Used
from pytest_modal.batch.environment import Environment
from pytest_modal.declare.gpus import GPUS
from pytest_modal.declare.prices import CORE_SECOND, GIB_SECOND, GPU_SECOND, Prices, billed, kind_of, read_prices

LEAST = 0.125 * CORE_SECOND + 0.125 * GIB_SECOND  # what Modal bills at least besides


@pytest.mark.parametrize(
    ("declared", "given", "paid"),
    [
        ("T4", "Tesla T4", "T4"),
        ("t4", "", "T4"),
        (None, "", ""),
        ("L4:2", "NVIDIA L4", "L4:2"),
        ("A10G", "NVIDIA A10G", "A10"),
        ("A100", "NVIDIA A100-SXM4-40GB", "A100-40GB"),
        # Modal may give a better one at the same price.
        ("A100", "NVIDIA A100-SXM4-80GB", "A100-40GB"),
        ("A100-80GB", "NVIDIA A100 80GB PCIe", "A100-80GB"),
        ("H100:4", "NVIDIA H200", "H100:4"),
        ("H100!", "NVIDIA H100 80GB HBM3", "H100"),
        ("B200+", "NVIDIA B300 SXM6 AC", "B200"),
        ("B300:2", "NVIDIA B300 SXM6 AC", "B300:2"),
        ("RTX-PRO-6000", "NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX-PRO-6000"),
        # Of several, the one that was given.
        (("H100", "A100:2"), "NVIDIA A100-SXM4-40GB", "A100-40GB:2"),
        (("H100", "L40S"), "NVIDIA L40S", "L40S"),
        (("H200", "H100"), "NVIDIA H200", "H200"),
        (("H100", "L40S"), "", "H100"),
        ("any", "NVIDIA L4", "L4"),
        # What nobody knows yet.
        ("R100!", "NVIDIA R100", "R100"),
    ],
)
def test_the_gpu_that_is_paid_for(declared: str | tuple[str, ...] | None, given: str, paid: str) -> None:
    assert billed(Environment(gpu=declared), given) == paid


def test_each_gpu_of_modal_has_a_price() -> None:
    known = {billed(Environment(gpu=name)) for name in GPUS} - {"ANY"}
    assert known == set(GPU_SECOND)
    assert all(kind_of(f"NVIDIA {name.replace('-', ' ')}") for name in GPU_SECOND)


@pytest.mark.parametrize(
    ("environment", "dollars"),
    [
        (Environment(gpu="T4"), GPU_SECOND["T4"] + LEAST),
        (Environment(gpu=None), LEAST),
        (Environment(gpu="H100:8"), 8 * GPU_SECOND["H100"] + LEAST),
        (Environment(gpu=None, cpu=4, memory=2048), 4 * CORE_SECOND + 2 * GIB_SECOND),
        (Environment(gpu=None, cpu=(2, 8), memory=(1024, 9999)), 2 * CORE_SECOND + GIB_SECOND),
        (Environment(gpu="T4", region="us"), 1.5 * (GPU_SECOND["T4"] + LEAST)),
        (Environment(gpu="T4", region="us-east"), 1.75 * (GPU_SECOND["T4"] + LEAST)),
        (Environment(gpu="T4", region=("us-east", "eu")), 1.5 * (GPU_SECOND["T4"] + LEAST)),
        (Environment(gpu=None, modal=(("nonpreemptible", True),)), 3 * LEAST),
    ],
)
def test_a_second_of_a_container(environment: Environment, dollars: float) -> None:
    assert Prices().of(environment)[1] == pytest.approx(dollars)


def test_a_project_knows_its_own_prices() -> None:
    own = read_prices(["h100 = $3.60/h", "A100 = .0005 / s", "R100! = 7.2/h", "CPU = 0/h", "MEMORY = 0/h"])
    prices = Prices(own)
    assert prices.of(Environment(gpu="H100")) == ("H100", pytest.approx(0.001))
    assert prices.of(Environment(gpu="A100-40GB:2")) == ("A100-40GB:2", pytest.approx(0.001))
    assert prices.of(Environment(gpu="R100!")) == ("R100", pytest.approx(0.002))
    assert prices.of(Environment(gpu="T4")) == ("T4", pytest.approx(GPU_SECOND["T4"]))
    assert Prices().of(Environment(gpu="R100!")) == ("R100", None)


def test_what_has_no_price_is_not_left_out_silently() -> None:
    known, new = Used("ta-1", "H100", "H100:2", 62.4, 0.137), Used("ta-2", "R100", "R100", 1234.5, None)
    none = "(no price is known, see modal_prices)"
    assert str(Cost((known,), "")) == "about $0.14: 2 x H100 1 min 2 s"
    assert str(Cost((known, new), "")) == f"at least $0.14: 2 x H100 1 min 2 s, R100 20 min 34 s {none}"
    assert str(Cost((new,), "", ("",))) == f"unknown: R100 20 min 34 s {none}, CPU unknown"
    assert str(Cost((Used("ta-1", "", "", 3.0, 0.00001),), "")) == "about $0.0000: CPU 3.0 s"
