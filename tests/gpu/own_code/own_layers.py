"""Layers and a kernel of the project, beside the tests that use them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None
else:

    @triton.jit
    def add_one(source, target, count, BLOCK: tl.constexpr):  # noqa: N803 - a kernel can name no other type
        offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        inside = offsets < count
        tl.store(target + offsets, tl.load(source + offsets, mask=inside) + 1, mask=inside)


SCALE = 0.5
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # asked where the function runs


def scaled(x: Any) -> Any:
    """Return the activations, scaled."""
    return F.gelu(x) * SCALE


class Block(torch.nn.Module):
    """A layer of the project."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(64, 64)

    def forward(self, x: Any) -> Any:
        """Apply it."""
        return scaled(self.linear(x))


def incremented(x: Any) -> Any:
    """Add one by the kernel."""
    result = torch.empty_like(x)
    add_one[(triton.cdiv(x.numel(), 128),)](x, result, x.numel(), BLOCK=128)
    return result
