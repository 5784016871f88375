"""Functions give in a container, without the project, what they give here: construct by construct."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from constructs import (
    arguments,
    classes,
    constants,
    data_classes,
    decorated,
    functions,
    hints,
    identity,
    imports,
    machine,
    objects,
    packages,
    processes,
    refusals,
    registries,
    statements,
    torch_code,
    travel,
)
from constructs.construct import Construct, Returns

THEMES = {
    "arguments": arguments.CONSTRUCTS,
    "classes": classes.CONSTRUCTS,
    "constants": constants.CONSTRUCTS,
    "functions": functions.CONSTRUCTS,
    "hints": hints.CONSTRUCTS,
    "imports": imports.CONSTRUCTS,
    "identity": identity.CONSTRUCTS,
    "objects": objects.CONSTRUCTS,
    "packages": packages.CONSTRUCTS,
    "dataclasses": data_classes.CONSTRUCTS,
    "decorated": decorated.CONSTRUCTS,
    "machine": machine.CONSTRUCTS,
    "processes": processes.CONSTRUCTS,
    "refusals": refusals.CONSTRUCTS,
    "registries": registries.CONSTRUCTS,
    "statements": statements.CONSTRUCTS,
    "torch": torch_code.CONSTRUCTS,
}
CONSTRUCTS = {f"{theme}: {each.name}": each for theme, constructs in THEMES.items() for each in constructs}


@pytest.mark.parametrize("construct", CONSTRUCTS.values(), ids=CONSTRUCTS)
def test_functions_give_in_a_container_what_they_give_here(construct: Construct, tmp_path: Path) -> None:
    if reason := travel.missing(construct):
        pytest.skip(reason)
    planned = travel.plan(construct, tmp_path)
    there = travel.run(construct, planned, tmp_path)
    if found := [*travel.differences(construct, planned, there), *travel.wrong_requirements(construct, planned)]:
        pytest.fail("\n\n".join(found), pytrace=False)


def test_a_function_that_gives_something_else_is_told(tmp_path: Path) -> None:
    construct = Construct("wrong", {"main.py": "def f():\n    return 1 / 0\n"}, expected={"main:f": Returns("1")})
    planned = travel.plan(construct, tmp_path)
    (found,) = travel.differences(construct, planned, travel.run(construct, planned, tmp_path))
    assert found.startswith("main:f: expected Returns(value='1')\n  raised ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize("name", ["machine: eleven ways to a secret", "machine: environment variables"])
def test_no_value_of_an_environment_variable_is_in_what_travels(name: str, tmp_path: Path) -> None:
    construct = CONSTRUCTS[name]
    values = {**os.environ, **construct.env}
    planned = travel.plan(construct, tmp_path)
    travelling = dict(planned.travelling())
    assert sum(name.endswith(".payload") for name in travelling) == len(planned.functions)
    assert any(b"MY_LOCAL_SECRET" in sent for sent in travelling.values()), "the source is to be seen"
    # Short ones, as "1" or "C.UTF-8", are everywhere.
    found = {
        (variable, sent_as)
        for variable, value in values.items()
        if len(value) > 12 or variable in construct.env
        for sent_as, sent in travelling.items()
        if value.encode() in sent
    }
    assert found == set()
