"""The project's own environment: what its ini declares for every GPU function."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from pytest_modal.declare.keywords import DeclarationError, checked_settings, is_image
from pytest_modal.wording import three_parts

MAX_SECONDS = 24 * 3600
MAX_SEED = (1 << 32) - 1  # numpy takes no larger one
_LISTS = {
    "packages": "Requirements of every image, one per line, in place of those that are derived from the imports.",
    "local_packages": "Local packages that travel with every function as they are, one per line.",
    "secrets": "Names of Modal Secrets that every container gets, one per line.",
}
_MAPPINGS = {
    "volumes": ("path = name", "Volumes that every container mounts, one per line: /path = name."),
    "env": ("NAME = value", "Environment variables of every container, one per line: NAME = value."),
}


def add_environment(parser: pytest.Parser) -> None:
    """Register the ini values."""
    parser.addini("modal_gpu", "Default gpu= of GPU functions (default: T4).", type="string", default="")
    parser.addini("modal_timeout", "Default timeout= in seconds (default: 1800).", type="string", default="")
    parser.addini("modal_seed", "Default seed= of GPU functions (default: none).", type="string", default="")
    image = "Dotted name of the modal.Image of every function, or of a function that returns it."
    parser.addini("modal_image", image, type="string", default="")
    for name, what in _LISTS.items():
        parser.addini(f"modal_{name}", what, type="linelist")
    for name, (_, what) in _MAPPINGS.items():
        parser.addini(f"modal_{name}", what, type="linelist")


def project_environment(config: pytest.Config) -> dict[str, Any]:
    """Return the settings of the environment that the ini declares; the image as its dotted name.

    Raises
    ------
    pytest.UsageError
        A value is not valid.
    """
    given: dict[str, Any] = {}
    if gpu := config.getini("modal_gpu"):
        names = [name.strip() for name in gpu.split(",")]
        given["gpu"] = names[0] if len(names) == 1 else names
        _check_gpus(names, config.inipath)
    if timeout := config.getini("modal_timeout"):
        given["timeout"] = seconds(config, "modal_timeout", timeout)
    if seed := config.getini("modal_seed"):
        if not seed.isdecimal() or int(seed) > MAX_SEED:
            raise not_valid(config, "modal_seed", seed, f"set it to a whole number from 0 to {MAX_SEED}")
        given["seed"] = int(seed)
    given |= {name: lines for name in _LISTS if (lines := config.getini(f"modal_{name}"))}
    given |= {name: pairs for name in _MAPPINGS if (pairs := _pairs(config, name))}
    try:
        environment = checked_settings(given, "ini", ini_place(config, "modal_gpu"), tuple(given))
    except DeclarationError as error:
        raise pytest.UsageError(str(error)) from None
    if image := config.getini("modal_image"):
        if not all(part.isidentifier() for part in image.split(".")) or "." not in image:
            remedy = "set it to the dotted name of an image, such as images.default for IMAGE in images.py"
            raise not_valid(config, "modal_image", image, remedy)
        environment["image"] = image
    return environment


def with_image(environment: dict[str, Any], config: pytest.Config) -> dict[str, Any]:
    """Return the project's settings with the image itself: it is imported when the first GPU test is planned.

    Raises
    ------
    pytest.UsageError
        There is no image of that name.
    """
    name = environment.get("image")
    if name is None:
        return environment
    try:
        found = _named(name)
        image = found() if callable(found) and not is_image(found) else found
    except Exception as error:
        remedy = "correct the name; its module must be importable, for example through pythonpath"
        what = f"modal_image = {name!r} can't be imported: {type(error).__name__}: {error}"
        raise pytest.UsageError(three_parts(what, ini_place(config, "modal_image"), remedy)) from error
    if not is_image(image):
        remedy = "let it name a modal.Image, or a function without parameters that returns one"
        raise not_valid(config, "modal_image", name, f"{remedy}: it is {type(image).__name__}")
    return {**environment, "image": image}


def _named(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def _pairs(config: pytest.Config, name: str) -> dict[str, str]:
    form, _ = _MAPPINGS[name]
    found = {}
    for line in config.getini(f"modal_{name}"):
        key, equals, value = (part.strip() for part in line.partition("="))
        if not key or not equals:
            raise not_valid(config, f"modal_{name}", line, f"write {form}, one per line")
        found[key] = value
    return found


def _check_gpus(names: list[str], ini: Path | None) -> None:
    from pytest_modal.declare.gpus import wrong_gpu

    for name in names:
        if (wrong := wrong_gpu(name)) is not None:
            raise pytest.UsageError(three_parts(f"modal_gpu: {wrong[0]}", ini or "the command line", wrong[1]))


def seconds(config: pytest.Config, name: str, text: str) -> float:
    """Return a number of seconds.

    Raises
    ------
    pytest.UsageError
        It is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number <= MAX_SECONDS:
        raise not_valid(config, name, text, f"set it to a number of seconds, at most {MAX_SECONDS:,} (a day)")
    return number


def not_valid(config: pytest.Config, name: str, text: str, remedy: str) -> pytest.UsageError:
    """Return the error for a value of an ini."""
    return pytest.UsageError(three_parts(f"{name} = {text!r} is not valid", ini_place(config, name), remedy))


def ini_place(config: pytest.Config, name: str) -> str:
    """Return where an ini was set: in which file, or on the command line."""
    overridden = any(each.partition("=")[0].strip() == name for each in config.getoption("override_ini") or ())
    return f"the command line, -o {name}=..." if overridden or config.inipath is None else config.inipath.name
