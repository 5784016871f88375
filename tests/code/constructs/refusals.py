"""What can't travel is refused at planning, by its name and its place."""

from __future__ import annotations

from constructs.construct import Construct, Refused

CONSTRUCTS = [
    Construct(
        "an open file",
        {
            "main.py": """
                import os

                OUT = open(os.path.join(os.path.dirname(__file__), "x.txt"))

                def f():
                    return OUT.name[-5:]
                """,
            "x.txt": "",
        },
        expected={"main:f": Refused(("OUT", "main.py:3"))},
    ),
    Construct(
        "a fixture used as a value",
        {
            "main.py": """
                import pytest

                @pytest.fixture
                def fix():
                    return 1

                def f():
                    return fix
                """,
        },
        expected={"main:f": Refused(("fix", "main.py:"))},
    ),
    Construct(
        "pytest in a body",
        {
            "main.py": """
                import pytest

                def f():
                    with pytest.raises(ValueError):
                        int("x")
                """,
        },
        expected={"main:f": Refused(("pytest.raises",))},
    ),
]
