"""RMS norm that keeps one number a row for its gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

EPS = 1e-6


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + EPS)
        ctx.save_for_backward(x, weight, scale)
        return (x.float() * scale * weight.float()).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight, scale = ctx.saved_tensors
        normed, upstream = x.float() * scale, gradient.float()
        weighted = upstream * weight.float()
        dx = scale * (weighted - normed * (weighted * normed).mean(-1, keepdim=True))
        dweight = (upstream * normed).flatten(0, -2).sum(0)
        return dx.to(x.dtype), dweight.to(weight.dtype)


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """Divide rows by their root mean square, and scale the columns."""
    return _RMSNorm.apply(x, weight)
