"""Content keys of functions: which parts of the project's code a result depends on, each with its own digest.

The parts are what a function reaches: statements, closures, constants that travel by value. Comments, docstrings,
formatting, line numbers and Python's minor version don't count; nor do installed packages, which are recorded and
shown instead.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pytest_modal.batch.digest import digest_of
from pytest_modal.code.bindings import Modules, is_ours, is_package_without_file
from pytest_modal.code.constants import Reference
from pytest_modal.code.content import digest_of_content
from pytest_modal.code.local_code import CodeKeyError, LocalCode, read
from pytest_modal.code.local_packages import all_files
from pytest_modal.code.metadata import parts_of_metadata
from pytest_modal.code.needed import Travelling
from pytest_modal.code.pickling import NESTED
from pytest_modal.code.reach import Reach
from pytest_modal.code.syntax import FunctionSyntax, fingerprint
from pytest_modal.code.units import Unit
from pytest_modal.wording import three_parts

# Keywords of our decorator whose values have no content to compare: their source is compared instead.
_BY_SOURCE = ("env", "image", "volumes")
_PLAIN_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_ORDER = "order of the statements of "


class Parts(dict[str, str]):
    """Digests by part."""

    def put(self, part: str, digest: str) -> None:
        """Add a part; two things can have one name (modules of one name, several lambdas), and both count."""
        known = self.get(part)
        self[part] = digest if known is None else digest_of(known, digest)


def parts_of(
    function: Callable[..., object], reach: Reach, packages: Mapping[str, str], *, role: str = "function"
) -> dict[str, str]:
    """Return digests of all local code that the result of a function depends on.

    Parameters
    ----------
    function : callable
        The function, decorated or not.
    reach : Reach
        What it needs.
    packages : mapping
        Those of the packages that travel as they are, see `parts_of_packages`.
    role : str
        What to call the function itself: "function", "container fixture".

    Returns
    -------
    dict of str to str
        For instance ``{"function answers": ..., "helper inference.answer_all": ...,
        "constant inference.LONGEST_ANSWER": ..., "import inference.torch": ...}``.

    Raises
    ------
    CodeKeyError
        A source file is gone, was changed since it was imported, or is not Python.
    """
    own = inspect.unwrap(function)
    name = getattr(own, "__name__", type(own).__name__)
    parts = digests_of(reach, f"{role} {name}")
    if not reach.root:
        parts.put(f"{role} {name}", digest_of_content(function))
    _add_declared(parts, own, reach.modules)
    return dict(sorted({**parts, **packages}.items()))


def digests_of(reach: Reach, own: str = "") -> Parts:
    """Return the digests of all statements, values and closures that something needs.

    Parameters
    ----------
    own : str
        What to call the function itself, which stands in the root module: "function answers".
    """
    parts, name = Parts(), own.rpartition(" ")[2]
    for key, needed in reach.statements():
        is_own = key == reach.root and name in needed.unit.binds and needed.unit.is_definition
        parts.put(own if is_own else _label(reach.modules.name(key), needed.unit), needed.unit.digest)
    for key in reach.units:
        module = reach.modules.name(key)
        if flags := reach.modules.units(key).flags:
            parts.put(f"import {module}.__future__", digest_of(str(flags)))
        if (order := _order(key, reach)) is not None:
            parts.put(f"{_ORDER}{module}", order)
    for (key, bound), value in reach.values.items():
        parts.put(f"constant {reach.modules.name(key)}.{bound}", _digest(value))
    for what, digest in reach.closures.items():
        parts.put(what, digest)
    return parts


def _order(key: str, reach: Reach) -> str | None:
    """Return the digest of the order of statements that run, if there are several; that of definitions is no matter."""
    if is_package_without_file(key):
        return None
    units = [each.unit for each in reach.units[key].values() if each.unit.place[2] != NESTED]
    run = [unit for unit in units if not unit.is_import and not isinstance(unit.node, _PLAIN_DEFINITIONS)]
    labels = [_label("", unit) for unit in sorted(run, key=lambda unit: unit.place[:2])]
    return digest_of(*labels) if len(labels) > 1 else None


def _label(module: str, unit: Unit) -> str:
    names = ", ".join(sorted(unit.binds))
    if unit.place[2] == NESTED:
        kind, names = "helper", getattr(unit.node, "name", "<lambda>")
    elif unit.is_import:
        kind = "import"
    elif isinstance(unit.node, ast.ClassDef):
        kind = "class"
    elif unit.is_definition:
        kind = "helper"
    elif names:
        kind = "constant"
    else:
        return f"statements of {module}"
    return f"{kind} {module}.{names}"


def _digest(value: Travelling) -> str:
    if isinstance(value.how, Reference):
        return digest_of("reference", value.how.key, value.how.qualname)
    if value.how.is_data:
        return value.how.encoded.digest
    return digest_of_content(value.how.value)


def declared_parts(test: Callable[..., object], rootdir: Path) -> dict[str, str]:
    """Return digests of the ``image=``, ``env=`` and ``volumes=`` that a test's own markers declare, by their source.

    Those that a remote fixture declares are among its `parts_of`.
    """
    parts = Parts()
    _add_declared(parts, inspect.unwrap(test), Modules(LocalCode(rootdir)))
    return dict(sorted(parts.items()))


def _add_declared(parts: Parts, function: object, modules: Modules) -> None:
    if not isinstance(function, types.FunctionType) or (key := modules.key(function.__globals__)) is None:
        return
    for node in modules.syntax(key).definitions(function.__code__):
        for keyword in _declarations(node, function.__globals__):
            parts.put(f"{keyword.arg} of {function.__name__}", fingerprint(keyword.value))
            # What such a name is bound to counts by its source too: a value may be a secret.
            names = {each.id for each in ast.walk(keyword.value) if isinstance(each, ast.Name)}
            for name in sorted(names):
                found = modules.resolve(key, [name])
                if found is not None and found.kind == "name":
                    part = f"{keyword.arg} {modules.name(found.where)}.{found.name}"
                    units = modules.units(found.where).by_name.get(found.name, [])
                    parts[part] = fingerprint(*(unit.node for unit in units))


def _declarations(node: FunctionSyntax, scope: Mapping[str, object]) -> Iterator[ast.keyword]:
    for decorator in getattr(node, "decorator_list", ()):
        if isinstance(decorator, ast.Call) and is_ours(decorator, scope):
            yield from (each for each in decorator.keywords if each.arg in _BY_SOURCE)


def parts_of_packages(packages: Sequence[str]) -> dict[str, str]:
    """Return digests of what packages that travel as they are consist of, in whatever order they are named.

    Raises
    ------
    CodeKeyError
        A file can't be read.
    """
    files = {f"local package {place}": _digest_of_file(path) for place, path in all_files(packages).items()}
    return {**files, **parts_of_metadata(packages)}


def _digest_of_file(path: Path) -> str:
    if path.suffix == ".py":
        # What is not Python, such as a template, counts byte by byte, as data does.
        with contextlib.suppress(CodeKeyError):
            return fingerprint(read(path).tree)
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        what = f"a file of a local package can't be read: {type(error).__name__}: {error.strerror}"
        raise CodeKeyError(three_parts(what, path, "make it readable, or move it out of the package")) from None


def changed(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return in words which parts differ: nothing for equal code."""
    words = []
    parts = {part for part in {*old, *new} if old.get(part) != new.get(part)}
    # What is new or gone changes the order too.
    only_order = all(part.startswith(_ORDER) for part in parts)
    for part in sorted(part for part in parts if only_order or not part.startswith(_ORDER)):
        if part not in old:
            words.append(f"{part} is new")
        elif part not in new:
            words.append(f"{part} is gone")
        else:
            words.append(f"{part} changed")
    return words
