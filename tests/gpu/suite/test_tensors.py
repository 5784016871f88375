"""Tensors of a GPU as data: equal, bit for bit, to copies that were made on the GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pytest_modal

DTYPES = {
    "bfloat16": "float32",
    "float16": "float16",
    "float8": "float32",
    "float32": "float32",
    "float64": "float64",
    "int8": "int8",
    "int64": "int64",
    "bool": "bool",
    "complex": "complex64",
    "conjugate": "complex64",
    "transposed": "float32",
    "transposed bfloat16": "float32",
    "strided": "float32",
    "expanded": "float32",
    "channels last": "float16",
    "parameter": "float32",
    "scalar": "float32",
    "empty": "float32",
}


@pytest_modal.fixture(scope="module", timeout=120)
def tensors() -> Any:
    """By name: a tensor on the GPU, and a contiguous copy that was made there in a type that numpy has."""
    import torch

    def random(*shape: int) -> Any:
        return torch.randn(*shape, device="cuda", generator=torch.Generator("cuda").manual_seed(0))

    # Of the short types, every pattern of bits.
    patterns = (torch.arange(1 << 16, device="cuda") - (1 << 15)).to(torch.int16)
    octets = torch.arange(256, device="cuda").to(torch.uint8)
    short = {
        "bfloat16": patterns.view(torch.bfloat16),
        "float16": patterns.view(torch.float16),
        "float8": octets.view(torch.float8_e4m3fn),
        "int8": octets.view(torch.int8),
        "bool": patterns % 3 == 0,
        "transposed bfloat16": patterns.view(torch.bfloat16).reshape(256, 256).T,
        "channels last": random(2, 3, 5, 7).half().to(memory_format=torch.channels_last),
    }
    others = {
        "float32": random(1000),
        "float64": random(1000).double() / 3,
        "int64": patterns.long() << 40,
        "complex": torch.complex(random(100), random(100)),
        "conjugate": torch.complex(random(100), random(100)).conj(),
        "transposed": random(30, 50).T,
        "strided": random(30, 50)[::2, 1::3],
        "expanded": random(1, 50).expand(4, 50),
        "parameter": torch.nn.Parameter(random(10)),
        "scalar": random(1)[0],
        "empty": random(0, 3),
    }
    copies = {name: tensor.float() for name, tensor in short.items()}
    copies |= {name: tensor.detach().clone().resolve_conj() for name, tensor in others.items()}
    assert all(tensor.is_cuda for tensor in copies.values())
    return {name: (tensor, copies[name].contiguous()) for name, tensor in {**short, **others}.items()}


@pytest.mark.parametrize("name", DTYPES)
def test_a_tensor_comes_back_as_it_was_on_the_gpu(tensors: Any, name: str) -> None:
    value, copy = tensors[name]
    assert str(value.dtype) == DTYPES[name]
    assert value.shape == copy.shape
    with np.errstate(invalid="ignore"):  # signalling NaN
        value = value.astype(copy.dtype)
    # Which NaN a conversion makes is up to the processor.
    missing = np.isnan(value)
    assert np.array_equal(missing, np.isnan(copy))
    assert value[~missing].tobytes() == copy[~missing].tobytes()
