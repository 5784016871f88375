"""What PyTorch and its compilers read of a program: its source, its globals, its annotations."""

from __future__ import annotations

from constructs.construct import Construct

CONSTRUCTS = [
    Construct(
        "torch.compile across files",
        {
            "main.py": """
                import torch
                import torch.nn.functional as F
                from layers import Block, scaled

                class Net(torch.nn.Module):
                    def __init__(self):
                        super().__init__()
                        self.block = Block()

                    def forward(self, x):
                        return F.softmax(self.block(x), -1)

                def f():
                    return torch.compile(lambda x: scaled(x) + 1, backend="eager", fullgraph=True)(torch.ones(3))

                def f2():
                    return torch.compile(Net(), backend="eager")(torch.ones(2, 4))
                """,
            "layers.py": """
                import torch
                import torch.nn.functional as F

                SCALE = 0.5

                def scaled(x):
                    return F.gelu(x) * SCALE

                class Block(torch.nn.Module):
                    def forward(self, x):
                        return F.relu(x)
                """,
        },
        functions=("main:f", "main:f2"),
        needs=("torch",),
    ),
    Construct(
        "torch.jit.script and inspect.getsource",
        {
            "main.py": """
                import inspect, torch
                from typing import List

                class Gate(torch.nn.Module):
                    def forward(self, x):
                        if x.sum() > 0:
                            return x
                        return -x

                def helper(x):
                    return x + 1  # a comment that stays

                def scripted_list(xs: List[int]) -> int:
                    return len(xs)

                def f():
                    return [
                        torch.jit.script(Gate())(torch.ones(2)),
                        inspect.getsource(helper),
                        inspect.getsource(Gate),
                        torch.jit.script(scripted_list)([1, 2]),
                    ]
                """,
        },
        needs=("torch",),
    ),
    Construct(
        "custom operators and their fakes",
        {
            "main.py": """
                import torch

                @torch.library.custom_op("constructs::twice", mutates_args=())
                def twice(x: torch.Tensor) -> torch.Tensor:
                    return x * 2

                @twice.register_fake
                def _(x):
                    return torch.empty_like(x)

                @torch.library.custom_op("constructs::thrice", mutates_args=())
                def thrice(x: torch.Tensor) -> torch.Tensor:
                    return x * 3

                @torch.library.register_fake("constructs::thrice")
                def fake_thrice(x):
                    return torch.empty_like(x)

                def f():
                    return torch.compile(lambda x: twice(thrice(x)), backend="eager", fullgraph=True)(torch.ones(2))
                """,
        },
        needs=("torch",),
    ),
    Construct(
        "tensors, layers and compiled functions at the top of a module",
        {
            "main.py": """
                import torch

                torch.manual_seed(7)
                W = torch.randn(2)
                layer = torch.nn.Linear(2, 1)
                DTYPES = {"fp16": torch.float16}

                @torch.no_grad()
                def run(x):
                    return layer(x)

                @torch.jit.script
                def scripted(x):
                    return x + 1

                compiled = torch.compile(lambda x: x * W, backend="eager")

                def f():
                    return [
                        W.tolist(),
                        run(torch.ones(2)).tolist(),
                        scripted(torch.ones(1)).tolist(),
                        str(DTYPES["fp16"]),
                        compiled(torch.ones(2)).tolist(),
                    ]
                """,
        },
        needs=("torch",),
    ),
    Construct(
        "torch.jit.script in a partial",
        {
            "main.py": """
                import torch

                def helper(x):
                    return x * 2 + 1

                def scripted(n):
                    import inspect

                    f = torch.jit.script(helper)
                    return [f(torch.ones(n)).sum().item(), len(inspect.getsource(helper))]

                import functools

                scripted_later = functools.partial(scripted, 3)
                """,
        },
        functions=("main:scripted_later",),
        needs=("torch",),
    ),
    Construct(
        "triton kernels",
        {
            "main.py": """
                import inspect
                import triton, triton.language as tl

                @triton.jit
                def kernel(x_ptr, n, BLOCK: tl.constexpr):
                    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
                    tl.store(x_ptr + offsets, 1, mask=offsets < n)

                def bare(x_ptr, n, BLOCK: tl.constexpr):
                    pass

                def f():
                    return [[p.is_constexpr for p in kernel.params], inspect.getsource(kernel.fn), kernel.src]

                def f2():
                    return [p.is_constexpr for p in triton.jit(bare).params]
                """,
        },
        functions=("main:f", "main:f2"),
        needs=("triton",),
    ),
]
