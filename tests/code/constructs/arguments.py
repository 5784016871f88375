"""Objects of every kind bound to a function."""

from __future__ import annotations

from constructs.construct import Construct

CONSTRUCTS = [
    Construct(
        "arguments that are code, data and neither",
        {
            "main.py": """
                import dataclasses, enum, functools, pathlib
                import torch
                import torch.nn.functional as F

                class Backend(enum.Enum):
                    triton = "triton"

                class Mode(str, enum.Enum):
                    fast = "fast"

                @dataclasses.dataclass
                class Config:
                    hidden: int = 4

                def kind(x):
                    return (
                        f"{type(x).__module__}.{type(x).__qualname__}",
                        repr(x)[:20],
                        x is Backend.triton,
                        x is Config,
                    )

                CASES = [
                    Config(),
                    torch.ones(2),
                    Mode.fast,
                    Backend.triton,
                    torch.float32,
                    torch.device("cpu"),
                    {1, 2},
                    (1, 2),
                    range(3),
                    lambda: 1,
                    functools.partial(int, base=2),
                    Config,
                    pathlib.PurePosixPath("a"),
                    slice(1),
                    frozenset([1]),
                    torch.Size([1, 2]),
                    F.relu,
                    torch.nn.GELU,
                    torch.nn.GELU(),
                    "x".upper,
                    {"config": Config(), "mode": Mode.fast},
                    None,
                ]
                for i, x in enumerate(CASES):
                    globals()[f"call{i:02}"] = functools.partial(kind, x)
                """,
        },
        functions=("main:call*",),
        needs=("torch",),
    ),
]
