"""Two versions of a small module have two keys if their function gives two results."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from pytest_modal.code.keys import changed
from pytest_modal.code.shipping import Shipper, ShippingError

Parts = dict[str, str]


class Case(NamedTuple):
    """A module, in which one text is replaced by another; it has a function ``f``, or makes one by ``make()``."""

    name: str
    text: str
    old: str
    new: str


CASES = [
    Case(
        "the order in which functions register",
        """
        R = []
        def register(g):
            R.append(g())
            return g
        @register
        def one(): return 1
        @register
        def two(): return 2
        def f(): return R
        """,
        "@register\ndef one(): return 1\n@register\ndef two(): return 2\n",
        "@register\ndef two(): return 2\n@register\ndef one(): return 1\n",
    ),
    Case(
        "the order of constants",
        """
        N = 2
        M = N
        N = 3
        def f(): return M, N
        """,
        "M = N\nN = 3\n",
        "N = 3\nM = N\n",
    ),
    Case(
        "the order of statements that change constants",
        """
        B = [2]
        A = list(B)
        B += [3]
        def f(): return A, B
        """,
        "A = list(B)\nB += [3]\n",
        "B += [3]\nA = list(B)\n",
    ),
    Case(
        "annotations as text",
        """
        import json
        def g(x: int): pass
        def f(): return str(g.__annotations__)
        """,
        "import json\n",
        "from __future__ import annotations\n",
    ),
    Case("the module's docstring", "'''one'''\ndef f(): return __doc__\n", "one", "two"),
    Case("an alias", "A = []\nB = A\nB.append(1)\ndef f(): return A\n", "(1)", "(2)"),
    Case("an argument", "A = []\ndef g(x): x.append(1)\ng(A)\ndef f(): return A\n", "(1)", "(2)"),
    Case("a method of a class that is set", "class C: x = 1\nC.x = 2\ndef f(): return C.x\n", "= 2", "= 3"),
    Case("a class that is set by setattr", "class C: x = 1\nsetattr(C, 'x', 2)\ndef f(): return C.x\n", ", 2", ", 3"),
    Case("a branch", "A = 1\nif A: B = 1\nelse: B = 2\ndef f(): return B\n", "A = 1", "A = 0"),
    Case("a deleted name", "A = 1\nB = A\ndel A\ndef f(): return 'A' in globals()\n", "del A\n", ""),
    Case("a walrus", "if (n := 3): pass\ndef f(): return n\n", "3", "4"),
    Case("a fallback", "try:\n    import nowhere as q\nexcept ImportError:\n    q = 1\ndef f(): return q\n", "1", "2"),
    Case("a metaclass", "class M(type): x = 1\nclass C(metaclass=M): pass\ndef f(): return C.x\n", "1", "2"),
    Case(
        "subclasses",
        "class B: pass\nclass C(B): v = 1\ndef f(): return [each.v for each in B.__subclasses__()]\n",
        "= 1",
        "= 2",
    ),
    Case(
        "code in a string",
        "exec('def g(): return 1')\ndef f(): return g()\n",
        "1'",
        "2'",
    ),
    Case(
        "an item of globals()",
        "globals()['N'] = 1\ndef f(): return N\n",
        "1",
        "2",
    ),
    Case(
        "an attribute of its own module",
        "import sys\nN = 0\nsetattr(sys.modules[__name__], 'N', 1)\ndef f(): return N\n",
        "1",
        "2",
    ),
    Case("a default of a nested function", "def make():\n    def g(x=1): return x\n    return g\n", "1", "2"),
    Case(
        "a computed default of a nested function",
        "def make(n=1):\n    def g(*, x=n): return x\n    return g\n",
        "n=1",
        "n=2",
    ),
    Case("a cell of a nested function", "def make():\n    n = 1\n    def g(): return n\n    return g\n", "1", "2"),
    Case(
        "an attribute of a nested function",
        "def make(n=1):\n    def g(): return g.k\n    g.k = n\n    return g\n",
        "n=1",
        "n=2",
    ),
    Case(
        "an attribute of a class in a function",
        "def make():\n    class K: v = 1\n    def g(): return K.v\n    return g\n",
        "= 1",
        "= 2",
    ),
    Case(
        "a method of a class in a function",
        "def make():\n    class K:\n        def v(self): return 1\n    def g(): return K().v()\n    return g\n",
        "1",
        "2",
    ),
    Case(
        "which lambda a closure calls",
        """
        def make():
            one, two = (lambda: 1), (lambda: 2)
            both = [one, two]
            return lambda: both[0]()
        """,
        "[one, two]",
        "[two, one]",
    ),
    Case(
        "a nested function from a string",
        "def make():\n    names = {}\n    exec('def g(): return 1', names)\n    return names['g']\n",
        "1'",
        "2'",
    ),
    Case(
        "a decorated function",
        """
        import functools
        def adding(n):
            def around(function):
                @functools.wraps(function)
                def inner(): return function() + n
                return inner
            return around
        def base(): return 1
        def make(): return adding(2)(base)
        """,
        "(2)",
        "(3)",
    ),
    Case(
        "a partial",
        "import functools\ndef g(x): return x\ndef make(): return functools.partial(g, 1)\n",
        "1",
        "2",
    ),
    Case(
        "an instance",
        "class K:\n    def __init__(self, x): self.x = x\n    def __call__(self): return self.x\n"
        "def make(): return K(1)\n",
        "1",
        "2",
    ),
]  # fmt: skip
READERS = {
    "a constant": "T = READ\ndef f(): return T\n",
    "a set": "T = set(READ)\ndef f(): return T\n",
    "a loop": "T = []\nfor line in READ: T.append(line)\ndef f(): return T\n",
    "an attribute of an object": "class C: pass\nc = C()\nc.x = READ\ndef f(): return c.x\n",
    "an item": "T = {}\nT['x'] = READ\ndef f(): return T\n",
}
REFUSED = {
    "a default": "def f(x=READ): return x\n",
    "a default of a helper": "def g(*, x=READ): return x\ndef f(): return g()\n",
    "an attribute of a class": "class C: T = READ\ndef f(): return C.T\n",
}


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], tuple[object, Parts]]]:
    """Import a text as a module, and return what its function gives and its parts."""
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "module_with_a_key"

    def load(text: str) -> tuple[object, Parts]:
        (tmp_path / f"{name}.py").write_text(text)
        sys.modules.pop(name, None)
        importlib.invalidate_caches()
        module: ModuleType = importlib.import_module(name)
        function = module.make() if hasattr(module, "make") else module.f
        return function(), dict(Shipper(tmp_path, travels=False).ship(function, "f", ()).parts)

    yield load
    sys.modules.pop(name, None)


@pytest.mark.parametrize(("text", "old", "new"), [pytest.param(*each[1:], id=each.name) for each in CASES])
def test_two_results_have_two_keys(load: Callable[[str], tuple[object, Parts]], text: str, old: str, new: str) -> None:
    text = textwrap.dedent(text).lstrip("\n")
    assert text.count(old) == 1
    (result, parts), (other, other_parts) = load(text), load(text.replace(old, new))
    assert result != other
    assert changed(parts, other_parts) != []


@pytest.mark.parametrize("text", [pytest.param(each.text, id=each.name) for each in CASES])
def test_one_text_has_one_key(load: Callable[[str], tuple[object, Parts]], text: str) -> None:
    text = textwrap.dedent(text).lstrip("\n")
    assert changed(load(text)[1], load("\n# a comment\n" + text)[1]) == []


@pytest.mark.parametrize("text", READERS.values(), ids=READERS)
def test_what_is_read_from_a_file_counts(
    load: Callable[[str], tuple[object, Parts]], tmp_path: Path, text: str
) -> None:
    text = "import pathlib\n" + text.replace("READ", "(pathlib.Path(__file__).parent / 'rows').read_text()")
    (tmp_path / "rows").write_text("one")
    result, parts = load(text)
    (tmp_path / "rows").write_text("two")
    other, other_parts = load(text)
    assert result != other
    assert changed(parts, other_parts) != []


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_a_definition_that_reads_a_file_is_refused(
    load: Callable[[str], tuple[object, Parts]], tmp_path: Path, text: str
) -> None:
    (tmp_path / "rows").write_text("one")
    text = "import pathlib\n" + text.replace("READ", "(pathlib.Path(__file__).parent / 'rows').read_text()")
    with pytest.raises(ShippingError) as refused:
        load(text)
    what, where, remedy = str(refused.value).splitlines()
    assert what.endswith(", whose definition reads a file of this machine")
    assert where == "  where: module_with_a_key.py:2"
    assert remedy.startswith("  what to do: read the file in a statement of its own")
