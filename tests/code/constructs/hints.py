"""Annotations: evaluated where they are, and never the reason of a failure."""

from __future__ import annotations

from constructs.construct import Construct

CONSTRUCTS = [
    Construct(
        "an import for type checkers",
        {
            "main.py": """
                from __future__ import annotations
                from typing import TYPE_CHECKING

                if TYPE_CHECKING:
                    from not_there_at_all import Thing

                def helper(x: Thing) -> Thing:
                    return x

                def f():
                    return helper(1)
                """,
        },
    ),
    Construct(
        "imports that only annotations use",
        {
            "main.py": """
                import pandas as pd
                from decimal import Decimal as D

                def helper(x: pd.DataFrame | None, y: "D") -> list[pd.Series]:
                    return 1

                def f():
                    return helper(1, 2)
                """,
        },
    ),
    Construct(
        "annotations as objects, and the source that carries them",
        {
            "main.py": """
                import ast, functools, inspect, textwrap, typing
                from typing import List
                import torch, pydantic

                def tool(city: str, n: int = 1) -> str:
                    '''Look up.

                    Args:
                        city: The city.
                        n: How many.
                    '''
                    return city

                class Tools:
                    def tool(self, city: str) -> str:
                        return city

                    @staticmethod
                    def stat(x: int) -> int:
                        return x

                def op(x: torch.Tensor) -> torch.Tensor:
                    return x * 2

                def scripted_list(xs: List[int]) -> int:
                    return len(xs)

                class M(pydantic.BaseModel):
                    a: int

                    @pydantic.field_validator("a")
                    @classmethod
                    def check(cls, v: int) -> int:
                        return v

                def a_hints():
                    return sorted(typing.get_type_hints(tool))

                def a_signature():
                    return str(inspect.signature(tool))

                def a_method():
                    return sorted(typing.get_type_hints(Tools.tool))

                def a_static():
                    return sorted(typing.get_type_hints(Tools.stat))

                def a_schema():
                    from transformers.utils import get_json_schema

                    return get_json_schema(tool)["function"]["name"]

                def a_custom_op():
                    f = torch.library.custom_op("bugs::op", mutates_args=())(op)
                    return f(torch.ones(1))

                def a_script_list():
                    return torch.jit.script(scripted_list)([1, 2])

                def a_validate_call():
                    return pydantic.validate_call(tool)("x", n="3")

                def a_singledispatch():
                    f = functools.singledispatch(lambda x: "o")
                    f.register(Tools.stat)
                    return f(1)

                def a_typeadapter():
                    return (
                        pydantic.TypeAdapter(tool).validate_python({"city": "x"})
                        if False
                        else str(inspect.get_annotations(tool))
                    )

                def a_nested():
                    def inner(x: int) -> int:
                        return x

                    return sorted(typing.get_type_hints(inner))

                def a_class_vars():
                    return sorted(typing.get_type_hints(M))

                def a_fields():
                    return str(M.model_fields["a"].annotation)

                def b_source():
                    return inspect.getsource(tool)[:8]

                def b_source_class():
                    return inspect.getsource(M)[:7]

                def b_jit_fn():
                    return torch.jit.script(op)(torch.ones(1))

                def b_ast():
                    return len(ast.parse(textwrap.dedent(inspect.getsource(b_ast))).body)

                def b_file():
                    return inspect.getsourcefile(tool) is not None

                def b_own_source_in_traceback():
                    import traceback

                    try:
                        1 / 0
                    except ZeroDivisionError:
                        return "1 / 0" in traceback.format_exc()
                """,
        },
        functions=("main:a_*", "main:b_*"),
        needs=("pydantic", "torch", "transformers"),
    ),
    Construct(
        "annotations of a package that only this machine has",
        {
            "main.py": """
                import only_here
                from only_here import Model as M

                def helper(x: only_here.Tensor | None, y: list[M], z: M.Config = 0) -> dict[str, only_here.deep.Kind]:
                    return x + 1

                class Wrapper:
                    def call(self, x: M | None) -> "M":
                        return x

                def f():
                    return [helper(1, []), Wrapper().call(2)]
                """,
        },
        packages_here={
            "only_here/__init__.py": """
                from only_here import deep

                class Tensor:
                    pass

                class Model:
                    class Config:
                        pass
                """,
            "only_here/deep.py": """
                class Kind:
                    pass
                """,
        },
        optional={"main:f": {"only_here"}},
    ),
]
