"""An edit that could change a result changes the key, and is named; any other edit doesn't."""

from __future__ import annotations

import importlib
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_modal.code import syntax
from pytest_modal.code.keys import changed, declared_parts
from pytest_modal.code.shipping import Shipper, ShippingError
from pytest_modal.code.units import ModuleUnits


class Project:
    """A project on disk whose files can be edited, and are imported afresh each time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._edits = 0

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        self._edits += 1
        os.utime(path, (self._edits, self._edits))

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        self.write(name, text.replace(old, new))

    def load(self, module: str) -> Any:
        self.forget()
        importlib.invalidate_caches()
        return importlib.import_module(module)

    def forget(self) -> None:
        for name, loaded in list(sys.modules.items()):
            if str(getattr(loaded, "__file__", None)).startswith(str(self.root)):
                del sys.modules[name]

    def parts(self, name: str = "answers", module: str = "test_math", packages: tuple[str, ...] = ()) -> dict[str, str]:
        found = getattr(self.load(module), name)
        return dict(Shipper(self.root, travels=False).ship(found, name, packages).parts)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.syspath_prepend(str(tmp_path))
    project = Project(tmp_path)
    yield project
    project.forget()


HELPERS = '''
"""Helpers."""
import math
from limits import CEILING

LONGEST = 7
UNUSED = 1


def clip(x, top=CEILING):
    """Clip."""
    return min(x, top)


def root(x):
    # the square root
    return math.sqrt(x)


class Scorer:
    """Counts."""

    def __init__(self, weight=2):
        self.weight = weight

    def score(self, x):
        return self.weight * root(x)


def never_called():
    return UNUSED
'''

TESTS = '''
import functools
from helpers import LONGEST, Scorer, clip as limit

SHOTS = [1, 2, 3]
TABLE = {"double": lambda x: 2 * x, "triple": lambda x: 3 * x}
SCORER = Scorer()
other = 5


def traced(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


@traced
def answers(n=3, *, scale=0.5):
    """What the model says."""
    other = [limit(x) for x in SHOTS[:n]]
    return {"sum": sum(other) * scale + SCORER.score(TABLE["double"](LONGEST)), "text": f"{n:>3} of {len(SHOTS)}"}


def test_answers():
    assert answers() == {}
'''


@pytest.fixture
def maths(project: Project) -> Project:
    project.write("limits.py", "CEILING = 10\n")
    project.write("helpers.py", HELPERS)
    project.write("test_math.py", TESTS)
    return project


def test_the_parts_of_a_function_are_named(maths: Project) -> None:
    assert list(maths.parts()) == [
        "class helpers.Scorer",
        "constant helpers.LONGEST",
        "constant limits.CEILING",
        "constant test_math.SCORER",
        "constant test_math.SHOTS",
        "constant test_math.TABLE",
        "function answers",
        "helper helpers.clip",
        "helper helpers.root",
        "helper test_math.traced",
        "import helpers.CEILING",
        "import helpers.math",
        "import test_math.LONGEST",
        "import test_math.Scorer",
        "import test_math.functools",
        "import test_math.limit",
        "order of the statements of test_math",
    ]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("test_math.py", "sum(other) * scale", "sum(other) / scale", ["function answers changed"]),
        (
            "test_math.py",
            "other = [limit(x)",
            "rest = [limit(x)",
            ["constant test_math.other is new", "function answers changed"],
        ),
        ("test_math.py", ":>3", ":>4", ["function answers changed"]),
        ("test_math.py", "n=3", "n=2", ["function answers changed"]),
        ("test_math.py", "scale=0.5", "scale=0.25", ["function answers changed"]),
        ("test_math.py", "[1, 2, 3]", "[1, 2, 4]", ["constant test_math.SHOTS changed"]),
        ("test_math.py", "[1, 2, 3]", "(1, 2, 3)", ["constant test_math.SHOTS changed"]),
        ("test_math.py", "SCORER = Scorer()", "SCORER = Scorer(3)", ["constant test_math.SCORER changed"]),
        ("test_math.py", "lambda x: 2 * x", "lambda x: 4 * x", ["constant test_math.TABLE changed"]),
        ("test_math.py", "return function(*args", "return 1 + function(*args", ["helper test_math.traced changed"]),
        (
            "test_math.py",
            "clip as limit",
            "root as limit",
            [
                "constant limits.CEILING is gone",
                "helper helpers.clip is gone",
                "import helpers.CEILING is gone",
                "import test_math.limit changed",
            ],
        ),
        (
            "test_math.py",
            "@traced\n",
            "",
            ["function answers changed", "helper test_math.traced is gone", "import test_math.functools is gone"],
        ),
        ("helpers.py", "math.sqrt(x)", "math.cbrt(x)", ["helper helpers.root changed"]),
        ("helpers.py", "import math", "import cmath as math", ["import helpers.math changed"]),
        ("helpers.py", "LONGEST = 7", "LONGEST = 8", ["constant helpers.LONGEST changed"]),
        ("helpers.py", "self.weight * ", "self.weight + ", ["class helpers.Scorer changed"]),
        ("helpers.py", "min(x, top)", "max(x, top)", ["helper helpers.clip changed"]),
        ("limits.py", "10", "11", ["constant limits.CEILING changed"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_edit_that_counts_is_named(maths: Project, file: str, old: str, new: str, said: list[str]) -> None:
    before = maths.parts()
    text = (maths.root / file).read_text()
    at = text.index(old)  # the first of several
    maths.write(file, text[:at] + new + text[at + len(old) :])
    assert changed(before, maths.parts()) == said


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("test_math.py", '"""What the model says."""', '"""What another model\n    says."""\n    # really'),
        ("test_math.py", "sum(other) * scale", "(sum(other,)\n        * scale)"),
        ("test_math.py", '{"sum": sum', "{'sum': sum"),
        ("test_math.py", "SHOTS = [1, 2, 3]", "SHOTS = [\n    1,\n    2,  # two\n    3,\n]  # noqa"),
        ("test_math.py", "import functools", "# moved down\n\n\nimport functools"),
        ("test_math.py", "assert answers() == {}", "assert answers()['sum'] > 3"),
        ("test_math.py", "other = 5", "other = 6"),
        ("test_math.py", "    return inner", "    return inner  # pragma: no cover"),
        ("test_math.py", "def answers(n=3, *, scale=0.5):", "def answers(\n    n=3,\n    *,\n    scale=0.5,\n):"),
        ("test_math.py", "0.5", "5e-1"),
        ("helpers.py", "UNUSED = 1", "UNUSED = 2"),
        ("helpers.py", "return UNUSED", "return -UNUSED"),
        ("helpers.py", '    """Counts."""\n\n', ""),
        ("helpers.py", "    # the square root\n", ""),
        ("helpers.py", "import math\n", "import math\nimport json\n"),
        ("helpers.py", "import math\n", "import json, math\n"),
        ("limits.py", "CEILING = 10", "import sys\nCEILING = 10  # sys.maxsize"),
    ],
    ids=lambda value: value,
)
def test_an_edit_that_does_not_count_changes_nothing(maths: Project, file: str, old: str, new: str) -> None:
    before = maths.parts()
    maths.edit(file, old, new)
    assert changed(before, maths.parts()) == []


def test_what_our_decorators_declare_is_no_part_of_the_code(project: Project) -> None:
    def suite(decorator: str) -> None:
        project.write(
            "test_math.py",
            f"""
            import modal, pytest, pytest_modal
            from pytest_modal import fixture as remote
            IMAGE = modal.Image.debian_slim()
            kept = []
            def keep(function):
                kept.append(function)
                return function
            {decorator}
            @keep
            def f(): return 1
            answers = kept[0]
            """,
        )

    suite('@pytest_modal.fixture(gpu="T4", image=IMAGE, env={"SHOTS": "5"})')
    first = project.parts()
    assert [part for part in first if "image" in part or "env" in part] == [
        "env of f",
        "image of f",
        "image test_math.IMAGE",
    ]
    suite('@pytest_modal.fixture(gpu="H100", scope="session", image=IMAGE, env={"SHOTS": "5"})')
    assert changed(first, project.parts()) == []
    suite('@remote(gpu="H100", image=IMAGE, env={"SHOTS": "6"})')
    assert changed(first, project.parts()) == ["env of f changed"]
    suite("@pytest.fixture")
    assert changed(first, project.parts()) == [
        "env of f is gone",
        "image of f is gone",
        "image test_math.IMAGE is gone",
    ]
    suite("@pytest.fixture\n            @keep")
    assert "function f changed" in changed(first, project.parts())


def test_what_the_marker_of_a_test_declares_counts_by_its_source(project: Project) -> None:
    project.write(
        "test_math.py",
        """
        import pytest
        def generate(): return 1
        ENV = {"SHOTS": "5"}
        @pytest.mark.modal_gpu(function=generate, gpu="T4", env=ENV)
        @pytest.mark.parametrize("x", [1])
        def test_generate(modal_result, x): assert modal_result
        """,
    )
    test = project.load("test_math").test_generate
    before = declared_parts(test, project.root)
    assert list(before) == ["env of test_generate", "env test_math.ENV"]
    project.edit("test_math.py", '"5"', '"6"')
    test = project.load("test_math").test_generate
    assert changed(before, declared_parts(test, project.root)) == ["env test_math.ENV changed"]


def test_installed_packages_do_not_count_even_when_they_are_missing(project: Project) -> None:
    suite = """
        try:
            import torch_of_this_test as torch
            from torch_of_this_test import nn, PI
        except ImportError:
            torch = nn = PI = None

        def answers():
            return torch.ones(PI) if torch else nn
        """
    project.write("test_math.py", suite)
    without = project.parts()
    project.write("lib/site-packages/torch_of_this_test.py", "nn, PI = object(), 3\ndef ones(n): return n\n")
    sys.path.insert(0, str(project.root / "lib/site-packages"))
    try:
        assert project.load("test_math").answers() == 3
        assert changed(without, project.parts()) == []
    finally:
        sys.path.remove(str(project.root / "lib/site-packages"))


def test_a_value_from_the_environment_is_never_digested(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(
        "test_math.py",
        """
        import os
        from os import getenv
        TOKEN = os.environ["TOKEN_OF_THIS_TEST"]
        def answers(again=getenv("TOKEN_OF_THIS_TEST")): return TOKEN, again
        """,
    )
    monkeypatch.setenv("TOKEN_OF_THIS_TEST", "one")
    first = project.parts()
    monkeypatch.setenv("TOKEN_OF_THIS_TEST", "two")
    assert changed(first, project.parts()) == []
    project.edit("test_math.py", 'TOKEN = os.environ["TOKEN_OF_THIS_TEST"]', 'TOKEN = os.environ.get("HF_TOKEN")')
    assert changed(first, project.parts()) == ["constant test_math.TOKEN changed"]


def test_the_place_of_the_project_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []
    for place in ("here", "there/deeper"):
        project = Project(tmp_path / place)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(project.root))
            project.write(
                "test_math.py",
                """
                import os
                from pathlib import Path
                HERE = os.path.dirname(os.path.abspath(__file__))
                MODEL = Path(__file__).parent / "model"
                def answers(): return HERE, MODEL, __name__
                """,
            )
            keys.append(project.parts())
            project.forget()
    assert keys[0] == keys[1]


def test_local_packages_count_whole_by_file(project: Project) -> None:
    project.write("mylib/__init__.py", "from mylib.maths import double\n")
    project.write("mylib/maths.py", "def double(x):\n    return 2 * x\n")
    project.write("single.py", "ONE = 1\n")
    project.write("test_math.py", "from mylib import double\ndef answers(): return double(2)\n")
    first = project.parts(packages=("mylib", "single"))
    assert list(first) == [
        "function answers",
        "import test_math.double",
        "local package mylib/__init__.py",
        "local package mylib/maths.py",
        "local package single.py",
    ]
    project.edit("mylib/maths.py", "return", "# twice\n    return")
    assert changed(first, project.parts(packages=("mylib", "single"))) == []
    project.edit("mylib/maths.py", "2 * x", "x + x")
    assert changed(first, project.parts(packages=("mylib", "single"))) == ["local package mylib/maths.py changed"]


REACHED = """
    import dataclasses, enum, functools, re
    from collections import namedtuple
    from pieces import *
    import pieces

    Point = namedtuple("Point", "x y")
    PATTERN = re.compile("a+")
    double = lambda x: 2 * x
    REGISTRY = {}

    def register(function):
        REGISTRY[function.__name__] = function
        return function

    @register
    def exact(x): return x

    class Mode(enum.Enum):
        FAST = 1

    class Base:
        def base(self): return 10

    @dataclasses.dataclass
    class Config(Base):
        layers: int = 3
        def size(self): return self.layers * 2

    CONFIGS = [Config(1)]

    @functools.lru_cache
    def cached(x): return x - 1

    def add(n, x): return n + x
    add_one = functools.partial(add, 1)

    def scaled_by(n):
        def scaled(x): return n * x
        return scaled
    by_three = scaled_by(3)

    def counter():
        total = 0
        def count(by=pieces_step()):
            nonlocal total
            total += by
            return total
        return count
    count = counter()

    def first(x): return second(x) if x else 0
    def second(x): return first(x - 1)

    def answers(mode=Mode.FAST):
        return [Point, PATTERN, double, REGISTRY, CONFIGS, cached, add_one, by_three, count, first, FROM_STAR, pieces]
    """


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"x y"', '"x y z"', "constant test_math.Point changed"),
        ('"a+"', '"b+"', "constant test_math.PATTERN changed"),
        ("2 * x", "3 * x", "constant test_math.double changed"),
        ("def exact(x): return x", "def exact(x): return -x", "helper test_math.exact changed"),
        ("FAST = 1", "FAST = 2", "class test_math.Mode changed"),
        ("return 10", "return 11", "class test_math.Base changed"),
        ("self.layers * 2", "self.layers * 3", "class test_math.Config changed"),
        ("Config(1)", "Config(2)", "constant test_math.CONFIGS changed"),
        ("cached(x): return x - 1", "cached(x): return x - 2", "helper test_math.cached changed"),
        ("n + x", "n - x", "helper test_math.add changed"),
        ("(add, 1)", "(add, 2)", "constant test_math.add_one changed"),
        ("scaled_by(3)", "scaled_by(4)", "constant test_math.by_three changed"),
        ("n * x", "n / x", "helper test_math.scaled_by changed"),
        ("total += by", "total -= by", "helper test_math.counter changed"),
        ("first(x - 1)", "first(x - 2)", "helper test_math.second changed"),
        ("mode=Mode.FAST", "mode=Mode(1)", "function answers changed"),
    ],
    ids=lambda value: value,
)  # fmt: skip
def test_whatever_a_name_leads_to_counts(project: Project, old: str, new: str, said: str) -> None:
    project.write("pieces.py", "import re\nFROM_STAR = re.compile('x')\ndef pieces_step(): return 1\n")
    project.write("test_math.py", REACHED)
    before = project.parts()
    assert before == project.parts()
    project.edit("test_math.py", old, new)
    assert said in changed(before, project.parts())


def test_what_a_star_import_or_a_local_module_brings_counts(project: Project) -> None:
    project.write("pieces.py", "import re\nFROM_STAR = re.compile('x')\ndef pieces_step(): return 1\n")
    project.write("test_math.py", REACHED)
    before = project.parts()
    project.edit("pieces.py", "'x'", "'y'")
    assert changed(before, project.parts()) == ["constant pieces.FROM_STAR changed"]
    project.edit("pieces.py", "return 1", "return 2")
    assert "helper pieces.pieces_step changed" in changed(before, project.parts())


def test_a_name_that_means_another_thing_counts(project: Project) -> None:
    """Even if all the things are reached in both cases."""
    project.write("pieces.py", "def one(): return 1\ndef two(): return 2\n")
    project.write(
        "test_math.py",
        """
        from pieces import one as first, two as last
        def add(x): return lambda y: x() + y()
        both = add(first)
        def answers(): return first() - last(), both(last)
        """,
    )
    before = project.parts()
    project.edit("test_math.py", "one as first, two as last", "two as first, one as last")
    assert changed(before, project.parts()) == ["import test_math.first changed", "import test_math.last changed"]
    project.edit("test_math.py", "two as first, one as last", "one as first, two as last")
    assert changed(before, project.parts()) == []
    project.edit("test_math.py", "add(first)", "add(last)")
    assert changed(before, project.parts()) == ["constant test_math.both changed"]


def test_a_module_of_the_name_of_one_of_pythons_is_local(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    project.write("colorsys.py", "def mix(x): return x\n")
    project.write("test_math.py", "from colorsys import mix\ndef answers(): return mix(1)\n")
    assert list(project.parts()) == ["function answers", "helper colorsys.mix", "import test_math.mix"]


def test_lambdas_of_one_line_are_told_apart_when_one_is_sent(project: Project) -> None:
    def parts(number: int) -> dict[str, str]:
        function = project.load("test_math").pick(number)
        return dict(Shipper(project.root).ship(function, "f", ()).parts)

    project.write("test_math.py", "LIMIT = 3\ndef pick(n): return [lambda x: x + 1, lambda x: x + LIMIT][n]\n")
    before = parts(0)
    assert list(before) == ["helper test_math.<lambda>", "value <lambda>"]
    project.edit("test_math.py", "x + LIMIT", "x - LIMIT")
    assert changed(before, parts(0)) == []
    assert list(parts(1)) == ["constant test_math.LIMIT", *before]
    project.edit("test_math.py", "x + 1", "x + 4")
    assert changed(before, parts(0)) == ["helper test_math.<lambda> changed", "value <lambda> changed"]


def test_a_statement_counts_whole(project: Project) -> None:
    """It runs whole in the container, also for the sake of one of the names that it binds."""
    project.write("test_math.py", "f, g = (lambda x: x + 1), (lambda x: x + 2)\ndef answers(): return f(1)\n")
    before = project.parts()
    assert list(before) == ["constant test_math.f, g", "function answers"]
    project.edit("test_math.py", "x + 2", "x + 3")
    assert changed(before, project.parts()) == ["constant test_math.f, g changed"]


def test_imports_of_functions_through_other_modules_and_packages(project: Project) -> None:
    project.write("pkg/__init__.py", "from .inner import deep\n")
    project.write("pkg/inner.py", "from . import consts\nfrom .consts import K\ndef deep(x): return x * K\n")
    project.write("pkg/consts.py", "K = 2\n")
    project.write("test_math.py", "from pkg import deep\ndef answers(): return deep(1)\n")
    before = project.parts()
    assert list(before) == [
        "constant pkg.consts.K",
        "function answers",
        "helper pkg.inner.deep",
        "import pkg.deep",
        "import pkg.inner.K",
        "import test_math.deep",
    ]
    project.edit("pkg/consts.py", "2", "3")
    assert changed(before, project.parts()) == ["constant pkg.consts.K changed"]


def test_a_file_that_changed_since_it_was_imported_is_an_error(maths: Project) -> None:
    loaded = maths.load("test_math")
    maths.edit("test_math.py", "import functools", "# later\n\nimport functools")
    with pytest.raises(ShippingError) as refused:
        Shipper(maths.root).ship(loaded.answers, "answers", ())
    assert str(refused.value).splitlines() == [
        "traced was not found in its source file",
        f"  where: {maths.root / 'test_math.py'}:10",
        "  what to do: run pytest again: the file changed while it ran",
    ]
    (maths.root / "test_math.py").unlink()
    with pytest.raises(ShippingError, match=r"can't be read: FileNotFoundError(?s:.*)where: (?s:.*)what to do: "):
        Shipper(maths.root).ship(loaded.answers, "answers", ())


def test_what_pytest_makes_of_asserts_changes_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import importlib.util, pathlib
        from pytest_modal.code.shipping import Shipper

        LIMIT = 3

        def helper(x):
            assert x < LIMIT, "too large"
            return x

        def answers(x=1):
            assert helper(x) == 1
            return [lambda: helper(2)]

        def test_it():
            here = pathlib.Path(__file__)
            spec = importlib.util.spec_from_file_location(__name__, here)
            plain = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(plain)
            assert "@pytest_ar" in answers.__code__.co_names and "@pytest_ar" not in plain.answers.__code__.co_names
            rewritten = Shipper(here.parent).ship(answers, "answers", ())
            assert rewritten.key == Shipper(here.parent).ship(plain.answers, "answers", ()).key
            assert list(rewritten.parts) == ["constant test_it.LIMIT", "function answers", "helper test_it.helper"]
        """
    )
    pytester.runpytest_inprocess("-p", "no:randomly").assert_outcomes(passed=1)


def test_a_function_of_a_package_is_known_by_its_name(project: Project) -> None:
    def parts(function: Callable[..., object]) -> Mapping[str, str]:
        return Shipper(project.root).ship(function, "f", ()).parts

    assert list(parts(textwrap.dedent)) == ["function dedent", "value dedent"]
    assert parts(textwrap.dedent) != parts(textwrap.indent)


# One line a construct that minor versions of Python parse, print or tokenize in their own ways.
ACROSS_VERSIONS = r'''
@decorated(1, *[2], **{"k": 3})
async def f(a, /, b: int = 1, *c, d="é\ud800", **e) -> None:
    """Docstring."""
    x = f"a{a!r:>{b}}" "b" f"{a=}{b:}" rf"\d{c}" + b"\x00\xff".decode() + '"' + f"{'nested'}"
    y = [i async for i in g(-1, 0xFF, 1_000, 1e400, 2j, 0.1, True, None, ..., 10**30) if (z := i)]
    match x:
        case {"k": [1, *rest], **more} if not rest:
            del y[1:2, ::3], x.attr
        case P(q=None) | False as w:
            return await y
    with a as b, c:
        pass
    try:
        raise E from None
    except* (A, B) as error:
        global G
    else:
        assert a < b <= c is not d not in e, lambda q, *r, s=1: (yield)
    return (a if b else c) @ d // e, ~a, not b, {**a, "x": {1, *b}}, {k: v for k, v in a}


class C(Base, metaclass=M):
    field: list[int] = 1
    other: str
'''


def test_fingerprints_are_the_same_in_every_version_of_python(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(ACROSS_VERSIONS)
    source = syntax.read_syntax(tmp_path / "a.py")
    assert syntax.fingerprint(source.tree) == "c900798dc4858bc490bf35c1a35f54bf"
    function, kind = ModuleUnits(source.tree, lambda decorator: False).units
    assert function.uses == {"A", "B", "E", "P", "decorated", "g", "int"}
    assert kind.uses - {"__name__", "__annotations__"} == {"Base", "M", "int", "list", "str"}


def test_methods_that_python_makes_are_no_parts(project: Project) -> None:
    project.write(
        "test_math.py",
        """
        import dataclasses, typing
        class Pair(typing.NamedTuple):
            x: int
            y: int
        @dataclasses.dataclass(order=True)
        class Row:
            x: int
        def answers(): return Pair(1, 2), Row(1)
        """,
    )
    assert list(project.parts()) == [
        "class test_math.Pair",
        "class test_math.Row",
        "function answers",
        "import test_math.dataclasses",
        "import test_math.typing",
    ]


def test_long_sums_and_deep_elses_are_not_too_deep(project: Project) -> None:
    branches = "".join(f"    elif x == {n}: return {n}\n" for n in range(80))
    project.write("test_math.py", f"def answers(x):\n    if x: return {' + '.join(['x'] * 900)}\n{branches}")
    before = project.parts()
    project.edit("test_math.py", "x == 79", "x == 99")
    assert changed(before, project.parts()) == ["function answers changed"]


def test_what_changed_is_said_in_words() -> None:
    before = {"constant m.X": "1", "function answers": "2", "helper m.f": "3"}
    after = {"constant m.X": "1", "function replies": "2", "helper m.f": "4"}
    assert changed(before, before) == []
    assert changed(before, after) == ["function answers is gone", "function replies is new", "helper m.f changed"]
