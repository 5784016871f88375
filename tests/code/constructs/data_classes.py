"""Dataclasses: what is required stays required, whoever asks."""

from __future__ import annotations

from constructs.construct import Construct

CONSTRUCTS = [
    Construct(
        "a dataclass and its subclass",
        {
            "main.py": """
                import copy, dataclasses, functools, inspect, json, pickle, typing
                from dataclasses import dataclass, field

                @dataclass
                class Args:
                    model: str
                    steps: int = 10
                    tags: list[str] = field(default_factory=list)

                @dataclass
                class Child(Args):
                    extra: int = 1

                def f_parse():
                    from transformers import HfArgumentParser

                    (a,) = HfArgumentParser(Args).parse_args_into_dataclasses(args=["--model", "gpt2"])
                    return a

                def f_parse_missing():
                    '''--model is required: without it the parser must stop.'''
                    from transformers import HfArgumentParser

                    try:
                        (a,) = HfArgumentParser(Args).parse_args_into_dataclasses(args=[])
                    except SystemExit:
                        return "stopped"
                    return {"went on with": repr(a.model)}

                def f_required():
                    return [
                        f.name
                        for f in dataclasses.fields(Args)
                        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
                    ]

                def f_subclass():
                    @dataclass
                    class Local(Args):
                        more: int = 2

                    return [
                        inspect.signature(Local).parameters["model"].default is inspect.Parameter.empty,
                        Local("x").steps,
                    ]

                def f_subclass_repr():
                    @dataclass
                    class Local(Args):
                        more: int = 2

                    return repr(Local())

                def f_replace():
                    return dataclasses.replace(Args("a"), steps=3)

                def f_asdict():
                    return dataclasses.asdict(Child("a"))

                def f_deepcopy():
                    return copy.deepcopy(Args("a"))

                def f_eq():
                    return Args("a") == Args("a")

                def f_make():
                    T = dataclasses.make_dataclass("T", [("z", int, 5)], bases=(Args,))
                    return T("m").z

                def f_pickle():
                    return len(pickle.dumps(Args("a"))) > 0

                def f_jsonify():
                    return json.dumps(dataclasses.asdict(Args("a")))

                def f_hints():
                    return sorted(typing.get_type_hints(Args))

                def f_sentinel_param():
                    return inspect.Parameter.empty is inspect.signature(Args).parameters["model"].default
                """,
        },
        functions=("main:f_*",),
        needs=("transformers",),
    ),
]
