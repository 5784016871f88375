"""What the machine decides: its environment, its device, settings of packages."""

from __future__ import annotations

from constructs.construct import Construct, Raises, Returns

# A container has no such variable: who asks for it gets nothing, or an error.
WAYS_TO_NOTHING = ["alias", "constant", "default", "environ", "getenv", "helper", "helper_getenv", "os_environ"]
WAYS_TO_AN_ERROR = ["copy", "dict", "instance"]

CONSTRUCTS = [
    Construct(
        "environment variables",
        {
            "main.py": """
                import os
                from os import environ
                from dataclasses import dataclass, field

                TOKEN = os.environ.get("MY_LOCAL_SECRET")
                ALL = dict(os.environ)
                HEADERS = {"Authorization": f"Bearer {TOKEN}"}

                def made(t):
                    return {"k": t}

                MADE = made(TOKEN)

                @dataclass
                class Settings:
                    token: str = field(default_factory=lambda: os.environ.get("MY_LOCAL_SECRET"))

                SETTINGS = Settings()

                def f():
                    return environ.get("MY_LOCAL_SECRET")

                def f2():
                    return [TOKEN, "MY_LOCAL_SECRET" in ALL, HEADERS, MADE, SETTINGS.token]

                def f3(t=os.environ.get("MY_LOCAL_SECRET")):
                    return t
                """,
        },
        functions=("main:f", "main:f2", "main:f3"),
        expected={
            "main:f": Returns("None"),
            "main:f2": Returns("[None, False, {'Authorization': 'Bearer None'}, {'k': None}, None]"),
            "main:f3": Returns("None"),
        },
        env={"MY_LOCAL_SECRET": "hunter2"},
    ),
    Construct(
        "the device",
        {
            "main.py": """
                import torch, shutil

                def infer_device():
                    return "cuda" if torch.cuda.is_available() else "cpu"

                device = "cuda" if torch.cuda.is_available() else "cpu"
                D2 = infer_device()
                WHICH = shutil.which("nvidia-smi")
                MAJOR = torch.__version__.split(".")[0]
                N = torch.cuda.device_count()
                BOTH = (device, N)

                def f():
                    return [device, D2, WHICH, N, BOTH]

                def g():
                    import sys

                    return sorted(k for k in ("device", "D2", "WHICH", "N") if k in vars(sys.modules[__name__]))
                """,
        },
        needs=("torch",),
    ),
    Construct(
        "settings made at import",
        {
            "conftest.py": """
                import torch

                torch.set_default_dtype(torch.float64)
                """,
            "main.py": """
                import torch, random, os
                from util import set_seed

                torch.use_deterministic_algorithms(True)
                torch.backends.cudnn.benchmark = True
                os.environ["CONSTRUCTS_SETTING"] = "1"
                set_seed(3)

                def f():
                    return [
                        str(torch.get_default_dtype()),
                        torch.are_deterministic_algorithms_enabled(),
                        torch.backends.cudnn.benchmark,
                        os.environ.get("CONSTRUCTS_SETTING"),
                        torch.initial_seed(),
                        random.random() < 2,
                    ]
                """,
            "util.py": """
                import random, torch

                def set_seed(n):
                    random.seed(n)
                    torch.manual_seed(n)
                """,
        },
        imported_before=("conftest",),
        needs=("torch",),
    ),
    Construct(
        "eleven ways to a secret",
        {
            "main.py": """
                import os, functools
                from os import environ, getenv
                from os import environ as env
                from dataclasses import dataclass, field
                from helpers import token_by_helper, token_by_getenv

                TOKEN = os.environ.get("MY_LOCAL_SECRET")
                ALL = dict(os.environ)
                COPY = os.environ.copy()

                @dataclass
                class Settings:
                    token: str = field(default_factory=lambda: os.environ["MY_LOCAL_SECRET"])

                SETTINGS = Settings()

                def f_environ():
                    return bool(environ.get("MY_LOCAL_SECRET"))

                def f_alias():
                    return bool(env.get("MY_LOCAL_SECRET"))

                def f_getenv():
                    return bool(getenv("MY_LOCAL_SECRET"))

                def f_helper():
                    return bool(token_by_helper())

                def f_helper_getenv():
                    return bool(token_by_getenv())

                def f_os_environ():
                    return bool(os.environ.get("MY_LOCAL_SECRET"))

                def f_constant():
                    return bool(TOKEN)

                def f_dict():
                    return bool(ALL["MY_LOCAL_SECRET"])

                def f_copy():
                    return bool(COPY["MY_LOCAL_SECRET"])

                def f_default(token=os.environ.get("MY_LOCAL_SECRET")):
                    return bool(token)

                def f_instance():
                    return bool(SETTINGS.token)
                """,
            "helpers.py": """
                from os import environ, getenv

                def token_by_helper():
                    return environ.get("MY_LOCAL_SECRET")

                def token_by_getenv():
                    return getenv("MY_LOCAL_SECRET")
                """,
        },
        functions=("main:f_*",),
        env={"MY_LOCAL_SECRET": "hunter2-do-not-ship"},
        expected={
            **{f"main:f_{way}": Returns("False") for way in WAYS_TO_NOTHING},
            **{f"main:f_{way}": Raises("KeyError: 'MY_LOCAL_SECRET'") for way in WAYS_TO_AN_ERROR},
        },
    ),
    Construct(
        "constants that ask another machine",
        {
            "main.py": """
                import os
                import shutil
                from helpers import accelerator

                DEVICE = os.environ.get("ACCELERATOR", "cpu")
                BY_HELPER = accelerator()
                SHELL = shutil.which("sh")
                NAMED = {"device": DEVICE, "shell": SHELL}

                def f():
                    return [DEVICE, BY_HELPER, SHELL, NAMED]
                """,
            "helpers.py": """
                import os

                def accelerator():
                    return os.environ.get("ACCELERATOR", "cpu")
                """,
        },
        expected={"main:f": Returns("['cuda', 'cuda', None, {'device': 'cuda', 'shell': None}]")},
        env_there={"ACCELERATOR": "cuda", "PATH": "/nowhere"},
    ),
    Construct(
        "environment variables that a file sets",
        {
            "main.py": """
                import os

                os.environ["CONSTRUCTS_SET"] = "1"
                os.environ.setdefault("CONSTRUCTS_DEFAULT", "2")
                os.environ.update({"CONSTRUCTS_UPDATED": "3"}, CONSTRUCTS_NAMED="4")

                def f():
                    return [os.environ.get(f"CONSTRUCTS_{name}") for name in ("SET", "DEFAULT", "UPDATED", "NAMED")]
                """,
        },
    ),
]
