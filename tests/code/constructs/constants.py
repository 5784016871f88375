"""Constants: by value where they are data that was read or drawn here, else made again there."""

from __future__ import annotations

from constructs.construct import Construct, Raises

CONSTRUCTS = [
    Construct(
        "files read at import",
        {
            "main.py": """
                import json, os
                from pathlib import Path

                HERE = Path(__file__).parent
                PROMPT = (HERE / "prompt.txt").read_text()
                with open(os.path.join(os.path.dirname(__file__), "rows.json")) as fh:
                    ROWS = json.load(fh)

                def load(p):
                    return json.loads((HERE / p).read_text())

                MORE = load("rows.json")

                def f():
                    return [PROMPT.format(x=1), ROWS, MORE]
                """,
            "prompt.txt": "hello {x}",
            "rows.json": '[1, {"a": null}]',
        },
    ),
    Construct(
        "a file read in a body",
        {
            "main.py": """
                from pathlib import Path
                import os

                HERE = Path(__file__).parent
                CFG = HERE / "x.json"
                CFG_S = os.path.join(os.path.dirname(__file__), "x.json")

                def f():
                    return CFG.read_text()

                def f2():
                    return open(CFG_S).read()
                """,
            "x.json": "1",
        },
        functions=("main:f", "main:f2"),
        expected={
            "main:f": Raises("FileNotFoundError: [Errno 2] No such file or directory: '/shipped/x.json'"),
            "main:f2": Raises("FileNotFoundError: [Errno 2] No such file or directory: '/shipped/x.json'"),
        },
    ),
    Construct(
        "arrays and generators",
        {
            "main.py": """
                import numpy as np, io

                ARR = np.arange(4.0).reshape(2, 2)
                RAND = np.random.default_rng(0).random(3)
                RNG = np.random.default_rng(1)
                BIG = list(range(100000))
                DT = np.dtype("f4")

                def f():
                    return [ARR, RAND, len(BIG), str(DT), float(ARR.sum())]

                def f2():
                    return RNG.random() < 1
                """,
        },
        functions=("main:f", "main:f2"),
    ),
    Construct(
        "an array that is saved and loaded",
        {
            "main.py": """
                import numpy as np, os

                p = os.path.join(os.path.dirname(__file__), "a.npy")
                np.save(p, np.arange(3))
                DATA = np.load(p)

                def f():
                    return DATA
                """,
        },
    ),
    Construct(
        "frames",
        {
            "main.py": """
                import pandas as pd, os

                DF = pd.read_csv(os.path.join(os.path.dirname(__file__), "a.csv"))
                INLINE = pd.DataFrame({"a": [1]})

                def f():
                    return int(DF["a"].sum())

                def f2():
                    return int(INLINE["a"].sum())
                """,
            "a.csv": "a\n1\n2\n",
        },
        functions=("main:f", "main:f2"),
    ),
    Construct(
        "instances made from a file",
        {
            "main.py": """
                import dataclasses, json, os

                @dataclasses.dataclass
                class Prompt:
                    text: str
                    tags: tuple = ()

                def load(p):
                    with open(os.path.join(os.path.dirname(__file__), p)) as fh:
                        return [Prompt(**r) for r in json.load(fh)]

                PROMPTS = load("p.json")

                def f():
                    return [repr(PROMPTS), type(PROMPTS[0]) is Prompt]
                """,
            "p.json": '[{"text": "a"}]',
        },
    ),
    Construct(
        "sets",
        {
            "main.py": """
                from pathlib import Path

                STOP = {"a", "b"}
                FROZEN = frozenset(STOP)
                WORDS = set((Path(__file__).parent / "w.txt").read_text().split())
                NESTED = {"k": {1, 2}, "w": sorted(WORDS)}

                def f():
                    return [sorted(STOP), sorted(FROZEN), sorted(WORDS), NESTED["w"]]
                """,
            "w.txt": "x y",
        },
    ),
    Construct(
        "what is another in every run",
        {
            "main.py": """
                import time, random, uuid

                STARTED = time.time()
                RUN = uuid.uuid4().hex
                PICK = random.random()

                def f():
                    return [STARTED, RUN, PICK]
                """,
        },
    ),
    Construct(
        "paths and state of a file of container fixtures",
        {
            "main.py": """
                import json
                import os
                from pathlib import Path

                import pytest
                import pytest_modal

                np = pytest.importorskip("numpy")

                HERE = Path(__file__).parent
                CFG = HERE / "cfg.json"
                CFG_S = os.path.join(os.path.dirname(__file__), "cfg.json")
                COUNT = {"n": 0}
                LOADS = []
                _model = None

                def load():
                    global _model
                    if _model is None:
                        LOADS.append("loaded")
                        _model = object()
                    return _model

                @pytest_modal.fixture
                def c_path():
                    return json.loads(CFG.read_text())

                @pytest_modal.fixture
                def c_str():
                    with open(CFG_S) as f:
                        return json.load(f)

                @pytest_modal.fixture
                def c_here():
                    return json.load(open(HERE / "cfg.json"))

                @pytest_modal.fixture
                def c_file():
                    return json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "cfg.json")))

                @pytest_modal.fixture
                def l1():
                    return [load() is load(), len(LOADS)]

                @pytest_modal.fixture
                def l2():
                    return [load() is load(), len(LOADS)]

                @pytest_modal.fixture
                def n1():
                    COUNT["n"] += 1
                    return COUNT["n"]

                @pytest_modal.fixture
                def n2():
                    COUNT["n"] += 1
                    return COUNT["n"]

                @pytest_modal.fixture(packages=["numpy"])
                def useskip():
                    return np.arange(3)

                @pytest_modal.fixture
                def optional():
                    try:
                        import flash_attn

                        has = True
                    except ImportError:
                        has = False
                    return has

                def test_counts(n1, n2):
                    assert sorted([n1, n2]) == [1, 2]
                """,
            "cfg.json": "1",
        },
        functions=("main:c_*", "main:l?", "main:n?", "main:useskip", "main:optional"),
        optional={"main:optional": {"flash_attn"}},
        expected={
            f"main:c_{way}": Raises("FileNotFoundError: [Errno 2] No such file or directory: '/shipped/cfg.json'")
            for way in ("path", "str", "here", "file")
        },
    ),
    Construct(
        "constants that are one object",
        {
            "main.py": """
                import json
                from pathlib import Path
                from helpers import DEFAULTS

                ROWS = json.loads((Path(__file__).parent / "rows.json").read_text())
                ALIAS = ROWS
                LISTED = []
                SAME = LISTED
                LISTED.append(1)
                MERGED = {**DEFAULTS, "b": 2}
                MERGED["c"] = MERGED

                def f():
                    return [SAME is LISTED, SAME, ALIAS is ROWS, MERGED["c"] is MERGED, sorted(MERGED)]

                def f2():
                    ROWS.append(2)
                    return ALIAS
                """,
            "helpers.py": """
                DEFAULTS = {"a": 1}
                """,
            "rows.json": "[1]",
        },
        functions=("main:f", "main:f2"),
    ),
    Construct(
        "seeds that are set at import",
        {
            "main.py": """
                import random
                import numpy as np

                random.seed(1)
                np.random.seed(2)

                def f():
                    return [random.random(), np.random.rand(2)]
                """,
        },
    ),
]
