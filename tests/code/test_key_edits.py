"""Which edits of a project change a function's content key: those that can change what it does."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pytest_modal.batch.calls import ShippedFunction
from pytest_modal.code.shipping import Shipper

PROJECT = {
    "main.py": """
        import json
        import os
        from pathlib import Path

        import settings
        from helpers import REGISTRY, scale

        import torch_of_key_edits as torch

        DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
        TOKEN = os.environ.get("TOKEN_OF_KEY_EDITS")
        ROWS = json.loads((Path(__file__).parent / "rows.json").read_text())
        LIMIT = 3
        CACHE = {}

        class Model:
            size = LIMIT

            def run(self):
                return scale(self.size)

        def f(x: int = 1):
            # a comment
            return Model().run(), ROWS, DEVICE, TOKEN, REGISTRY["double"](1), CACHE

        def unrelated():
            return 1
        """,
    "helpers.py": """
        REGISTRY = {}

        def register(function):
            REGISTRY[function.__name__] = function
            return function

        @register
        def double(x):
            return 2 * x

        FACTOR = 2

        def scale(x):
            return x * FACTOR

        def other():
            return 5
        """,
    "settings.py": """
        import torch_of_key_edits as torch

        torch.manual_seed(1)
        """,
    "rows.json": "[1]",
    "test_more.py": """
        import helpers

        @helpers.register
        def negated(x):
            return -x

        helpers.FACTOR += 0
        """,
}
# The real one can't be imported twice, which suites that run in this process would make necessary.
TORCH = """
    class cuda:
        is_available = staticmethod(lambda: False)

    def manual_seed(seed):
        return seed
    """
Edit = tuple[str, str, str]  # a file, what stands there, what stands there afterwards
Keyed = Callable[..., ShippedFunction]

IRRELEVANT: dict[str, Edit] = {
    "a comment, lines that moved": ("main.py", "# a comment", "# another\n\n"),
    "a docstring": ("main.py", "# a comment", "'''Run.'''"),
    "another function of the file": ("main.py", "return 1\n", "return 2\n"),
    "another function of a helper's file": ("helpers.py", "return 5", "return 6"),
}
RELEVANT: dict[str, Edit] = {
    "its body": ("main.py", "Model().run(), ", "Model().run() + 1, "),
    "a helper": ("helpers.py", "x * FACTOR", "x + FACTOR"),
    "a helper's constant": ("helpers.py", "FACTOR = 2", "FACTOR = 4"),
    "a constant behind a class attribute": ("main.py", "LIMIT = 3", "LIMIT = 9"),
    "a registered function": ("helpers.py", "2 * x", "3 * x"),
    "one more registered function": ("helpers.py", "FACTOR = 2", "@register\ndef more(x):\n    return x\n\nFACTOR = 2"),
    "a file that is read at import": ("rows.json", "[1]", "[2]"),
    "the seed that an imported module sets": ("settings.py", "manual_seed(1)", "manual_seed(2)"),
    "the rule of the device": ("main.py", '"cuda" if', '"xpu" if'),
    "a default": ("main.py", "x: int = 1", "x: int = 2"),
    "an annotation": ("main.py", "x: int = 1", "x: float = 1"),
}


@pytest.fixture
def keyed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Keyed:
    """Write the project, import it, and plan its function."""
    packages = tmp_path_factory.mktemp("environment") / "site-packages"
    packages.mkdir()
    (packages / "torch_of_key_edits.py").write_text(textwrap.dedent(TORCH))
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.delitem(sys.modules, "torch_of_key_edits", raising=False)
    modules = [name.removesuffix(".py") for name in PROJECT if name.endswith(".py")]

    def keyed(
        edit: Edit | None = None, imported_first: tuple[str, ...] = (), *, called: bool = False
    ) -> ShippedFunction:
        root = tmp_path_factory.mktemp("project")
        for name, text in _edited(edit).items():
            (root / name).write_text(text)
        with monkeypatch.context() as context:
            context.syspath_prepend(str(root))
            for name in modules:
                context.delitem(sys.modules, name, raising=False)
            for name in imported_first:
                importlib.import_module(name)
            main = importlib.import_module("main")
            assert Path(str(main.__file__)).parent == root
            if called:
                main.f()[-1]["called"] = True
            shipped = Shipper(root).ship(main.f, "f", ())
            for name in modules:
                sys.modules.pop(name, None)
        return shipped

    return keyed


def _edited(edit: Edit | None) -> Mapping[str, str]:
    texts = {name: textwrap.dedent(text).lstrip("\n") for name, text in PROJECT.items()}
    if edit:
        name, old, new = edit
        assert texts[name].count(old) == 1, f"{old!r} stands {texts[name].count(old)} times in {name}"
        texts[name] = texts[name].replace(old, new)
    return texts


def test_the_same_project_elsewhere_has_the_same_key(keyed: Keyed) -> None:
    one, other = keyed(), keyed()
    assert dict(one.parts) == dict(other.parts)
    assert one.key == other.key


@pytest.mark.parametrize("what", IRRELEVANT)
def test_what_a_function_does_not_see_leaves_its_key(keyed: Keyed, what: str) -> None:
    before, after = keyed(), keyed(IRRELEVANT[what])
    assert dict(before.parts) == dict(after.parts)
    assert before.key == after.key


@pytest.mark.parametrize("what", RELEVANT)
def test_what_can_change_a_result_changes_the_key(keyed: Keyed, what: str) -> None:
    before, after = keyed(), keyed(RELEVANT[what])
    assert dict(before.parts) != dict(after.parts)
    assert before.key != after.key


@pytest.mark.parametrize(
    "imported_first", [("test_more",), ("helpers",), ("settings", "helpers"), ("test_more", "settings")]
)
def test_what_else_was_selected_leaves_the_key(keyed: Keyed, imported_first: tuple[str, ...]) -> None:
    """Another test file has registered something, or modules came in another order."""
    alone, after_others = keyed(), keyed(imported_first=imported_first)
    assert dict(alone.parts) == dict(after_others.parts)
    assert alone.key == after_others.key


def test_another_value_of_an_environment_variable_leaves_the_key(keyed: Keyed, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keyed()
    monkeypatch.setenv("TOKEN_OF_KEY_EDITS", "another")
    after = keyed()
    assert dict(before.parts) == dict(after.parts)
    assert before.key == after.key


def test_a_call_before_planning_leaves_the_key(keyed: Keyed) -> None:
    """It has filled a cache."""
    before, after = keyed(), keyed(called=True)
    assert dict(before.parts) == dict(after.parts)
    assert before.key == after.key
