"""Statements: the text of one statement or nested function of a shipped module, made ready to run."""

from __future__ import annotations

import ast
import types
from collections.abc import Collection, Sequence

SHIPPED = "/shipped/"  # where shipped modules say that their files are; nothing is there, so nobody reads there
STANDINS = "pytest_modal.remote.standins"
WHOLE = -1  # as the part of a statement: all of it
Part = int | str  # one name of an import: its number, or the name that is taken from a star import
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def parsed(lines: Sequence[str], first: int, last: int, line: int, column: int) -> ast.stmt:
    """Return the statement that begins at a line and column, of those between two lines of a module."""
    # Blank lines before it are cheaper than other line numbers afterwards.
    nodes = ast.parse("\n" * (first - 1) + "".join(lines[first - 1 : last])).body
    return next(each for each in nodes if begin(each) == line and each.col_offset == column)


def begin(node: ast.stmt) -> int:
    """Return the first line of a statement, its decorators included."""
    lines: list[int] = [each.lineno for each in getattr(node, "decorator_list", ())]
    return min([node.lineno, *lines])


def reduced(node: ast.stmt, part: Part) -> ast.stmt:
    """Return an import of one name only; any other statement as it is."""
    if part == WHOLE or not isinstance(node, ast.Import | ast.ImportFrom):
        return node
    alias = node.names[part] if isinstance(part, int) else ast.copy_location(ast.alias(part), node)
    if isinstance(node, ast.Import):
        return ast.copy_location(ast.Import([alias]), node)
    return ast.copy_location(ast.ImportFrom(node.module, [alias], node.level), node)


def without_decorators(node: ast.stmt, lines: Collection[int]) -> ast.stmt:
    """Return a definition without the decorators that begin at these lines, in its methods neither."""
    if not lines or not isinstance(node, _DEFINITIONS):
        return node
    changed: dict[str, object] = {"decorator_list": [each for each in node.decorator_list if each.lineno not in lines]}
    if isinstance(node, ast.ClassDef):
        changed["body"] = [without_decorators(each, lines) for each in node.body]
    return ast.copy_location(type(node)(**{**dict(ast.iter_fields(node)), **changed}), node)


def skipped_import(node: ast.stmt) -> ast.stmt:
    """Return ``np = pytest.importorskip("numpy")`` as an import; any other statement as it is."""
    match node:
        case ast.Assign(
            targets=[ast.Name(id=name)], value=ast.Call(func=function, args=[ast.Constant(value=str(module)), *_])
        ):
            if ast.unparse(function).rpartition(".")[2] == "importorskip":
                return ast.copy_location(ast.Import([ast.copy_location(ast.alias(module, name), node)]), node)
    return node


class _PytestStandIns(ast.NodeTransformer):
    """Imports the stand-ins in the place of pytest, which a container does not have."""

    def visit_Import(self, node: ast.Import) -> ast.AST | list[ast.AST]:
        if all(alias.name != "pytest" for alias in node.names):
            return node
        package, _, module = STANDINS.rpartition(".")
        return [
            ast.copy_location(
                ast.ImportFrom(package, [ast.alias(module, alias.asname or "pytest")], 0)
                if alias.name == "pytest"
                else ast.Import([alias]),
                node,
            )
            for alias in node.names
        ]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.module != "pytest" or node.level:
            return node
        return ast.copy_location(ast.ImportFrom(STANDINS, node.names, 0), node)


def compiled(node: ast.stmt, key: str, flags: int, *, says_pytest: bool = True) -> types.CodeType:
    """Compile a statement of the module with this key."""
    module = ast.Module([skipped_import(node)], [])
    if says_pytest:
        module = ast.fix_missing_locations(_PytestStandIns().visit(module))
    code: types.CodeType = compile(module, SHIPPED + key, "exec", flags, dont_inherit=True)
    return code


def compiled_function(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, key: str, flags: int, free: Sequence[str]
) -> types.CodeType:
    """Compile a nested function alone, as if the names that it has from around it were parameters of a function."""
    arguments = ast.arguments([], [ast.arg(name) for name in free], None, [], [], None, [])
    first = node.lineno
    inner: ast.stmt
    if isinstance(node, ast.Lambda):
        inner = ast.copy_location(ast.Expr(node), node)
    else:
        first = begin(node)
        inner = type(node)(**{**dict(ast.iter_fields(node)), "decorator_list": []})
        ast.copy_location(inner, node)
    around = ast.copy_location(ast.FunctionDef("_", arguments, [inner], [], None, None), node)
    if "type_params" in around._fields:
        setattr(around, "type_params", [])  # noqa: B010
    whole = compiled(around, key, flags)
    name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
    outer = next(each for each in whole.co_consts if isinstance(each, types.CodeType))
    # What its defaults are made from comes before it.
    code = [each for each in outer.co_consts if isinstance(each, types.CodeType) and each.co_name == name][-1]
    return code.replace(co_firstlineno=first)


def parsed_function(
    lines: Sequence[str], first: int, column: int, last: int, last_column: int
) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda:
    """Return the nested function or lambda between two places of a module; columns are in bytes."""
    text = "".join(lines[first - 1 : last])
    if lines[first - 1].lstrip().startswith(("def ", "async def ", "@")) and not lines[first - 1][:column].strip():
        indented = column > 0
        tree: ast.AST = ast.parse(f"if 1:\n{text}" if indented else text)
        found = tree.body[0].body[0] if indented else tree.body[0]  # type: ignore[attr-defined]
        return ast.increment_lineno(found, first - 1 - indented)  # type: ignore[no-any-return]
    raw = "".join(lines[first - 1 : last]).encode()
    after = len(lines[last - 1].encode()) - last_column
    expression = ast.parse(f"({raw[column : len(raw) - after].decode()})", mode="eval").body
    for each in ast.walk(expression):
        if getattr(each, "lineno", None) == 1:
            each.col_offset += column - 1  # type: ignore[attr-defined]
            if each.end_lineno == 1:  # type: ignore[attr-defined]
                each.end_col_offset += column - 1  # type: ignore[attr-defined]
    return ast.increment_lineno(expression, first - 1)  # type: ignore[return-value]
