"""Kernels of a library against what they replace: outputs and gradients, over shapes and dtypes, within tolerances.

Both sides run on the GPU on the same inputs, and their results come back as arrays: how near is near enough is decided
here, and can be decided again without a GPU (``--modal-resume``). The library in ``src/`` travels as source; a function
that needs its data files says ``local_packages=``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tinykernels import linear_cross_entropy, rms_norm, swiglu
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # asked where the functions run
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
SHAPES = [(1, 8), (4, 64), (3, 5, 57)]


def plain_rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """What ``rms_norm`` replaces."""
    return F.rms_norm(x.float(), weight.shape, weight.float(), eps=1e-6).to(x.dtype)


def plain_swiglu(gate: Tensor, value: Tensor) -> Tensor:
    """What ``swiglu`` replaces."""
    return (F.silu(gate.float()) * value.float()).to(gate.dtype)


def wrong_rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """A mistake that no output shows: the gradient takes the scale of a row for a constant."""
    scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6).detach()
    return (x.float() * scale * weight.float()).to(x.dtype)


def drawn(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw an input that wants a gradient."""
    return torch.randn(*shape, device=DEVICE).to(dtype).requires_grad_()


def results(kernel: Callable[..., Tensor], *inputs: Tensor) -> dict[str, Any]:
    """Return the output of a kernel, and the gradient of each input under the same upstream gradient."""
    mine = [each.detach().clone().requires_grad_(each.requires_grad) for each in inputs]
    output = kernel(*mine)
    output.backward(torch.linspace(-1, 1, output.numel(), device=DEVICE).reshape(output.shape).to(output.dtype))
    return {"output": output} | {f"gradient {n}": each.grad for n, each in enumerate(mine) if each.requires_grad}


def compare(
    kernel: Callable[..., Tensor], plain: Callable[..., Tensor], shape: tuple[int, ...], dtype: torch.dtype
) -> list[dict[str, Any]]:
    """Run both on a GPU: an activation, and either a second one or the weight of its columns."""
    torch.manual_seed(0)
    second = shape if plain is plain_swiglu else shape[-1:]
    inputs = [drawn(*shape, dtype=dtype), drawn(*second, dtype=dtype)]
    return [results(kernel, *inputs), results(plain, *inputs)]


def compare_loss(rows: int, columns: int) -> list[dict[str, Any]]:
    """Run both losses on a GPU."""
    torch.manual_seed(0)
    inputs = [drawn(rows, 16), drawn(columns, 16), torch.randint(columns, (rows,), device=DEVICE)]

    def plain(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(x @ weight.T, targets)

    return [results(linear_cross_entropy, *inputs), results(plain, *inputs)]


def errors(compared: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return how far apart the two sides are."""
    ours, plain = compared
    return [{"what": name, "largest": np.abs(ours[name] - plain[name]).max()} for name in plain]


def assert_close(compared: list[dict[str, Any]], tolerance: float) -> None:
    """Compare all that two sides returned."""
    ours, plain = compared
    assert ours.keys() == plain.keys()
    for name, expected in plain.items():
        np.testing.assert_allclose(ours[name], expected, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("kernel", "plain"), [(rms_norm, plain_rms_norm), (swiglu, plain_swiglu)])
@pytest.mark.modal_gpu(function=compare, gpu="T4", timeout=300)
def test_kernel(modal_result: Any, dtype: torch.dtype, save_csv: Any) -> None:
    save_csv("errors.csv", errors(modal_result))
    assert_close(modal_result, TOLERANCE[dtype])


@pytest.mark.parametrize(("rows", "columns"), [(5, 40), (70, 40), (33, 1000)])
@pytest.mark.modal_gpu(function=compare_loss, gpu="T4", timeout=300, local_packages=["tinykernels"])
def test_loss_is_the_same_in_chunks(modal_result: Any, save_csv: Any) -> None:
    save_csv("errors.csv", errors(modal_result))
    assert_close(modal_result, 1e-5)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.modal_gpu(
    function=compare, args={"kernel": wrong_rms_norm, "plain": plain_rms_norm, "shape": (4, 64)}, timeout=300
)
def test_a_wrong_gradient_is_noticed(modal_result: Any, dtype: torch.dtype) -> None:
    with pytest.raises(AssertionError, match="gradient 0"):
        assert_close(modal_result, TOLERANCE[dtype])
