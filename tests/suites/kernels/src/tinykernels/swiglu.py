"""SwiGLU that computes its activation again in the backward pass, instead of keeping it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, value: Tensor) -> Tensor:
        ctx.save_for_backward(gate, value)
        return (gate.float() * gate.float().sigmoid() * value.float()).to(gate.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        gate, value = (each.float() for each in ctx.saved_tensors)
        sigmoid = gate.sigmoid()
        silu = gate * sigmoid
        dgate = gradient.float() * value * (sigmoid + silu * (1 - sigmoid))
        return dgate.to(gradient.dtype), (gradient.float() * silu).to(gradient.dtype)


def swiglu(gate: Tensor, value: Tensor) -> Tensor:
    """Return ``silu(gate) * value``."""
    return _SwiGLU.apply(gate, value)
