"""The files of a worker: the folder `remote` and cloudpickle."""

from __future__ import annotations

import functools
import importlib.util
import io
import marshal
import zipfile
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path

import cloudpickle

from pytest_modal import remote

_UNCHECKED = (1).to_bytes(4, "little")  # PEP 552: it belongs to a source of that hash, which need not be looked at


@functools.cache
def bundle() -> bytes:
    """Return a zip file to unpack into a folder that is put on ``sys.path``.

    It has no bytecode, which is twice as large: a container makes it sooner than many people's networks carry it.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pytest_modal/__init__.py", "")
        for name, path in _sources():
            archive.write(path, name)
    return packed.getvalue()


def unpack(folder: Path) -> None:
    """Write the same into a folder of this machine, with the bytecode: a worker would spend half of its start on it."""
    (folder / "pytest_modal/remote/__pycache__").mkdir(parents=True)
    (folder / "cloudpickle/__pycache__").mkdir(parents=True)
    (folder / "pytest_modal/__init__.py").touch()
    for name, content in _compiled().items():
        (folder / name).write_bytes(content)


@functools.cache
def _compiled() -> dict[str, bytes]:
    files = {}
    for name, path in _sources():
        files[name] = path.read_bytes()
        code = SourceFileLoader(path.stem, str(path)).get_code(path.stem)
        head = importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(files[name])
        # Wherever this process keeps bytecode, a worker looks for it beside the source.
        cached = Path(importlib.util.cache_from_source(name)).name
        files[f"{name.rpartition('/')[0]}/__pycache__/{cached}"] = head + marshal.dumps(code)
    return files


def _sources() -> Iterator[tuple[str, Path]]:
    for package in (remote, cloudpickle):
        folder = package.__name__.replace(".", "/")
        for path in sorted(Path(str(package.__file__)).parent.glob("*.py")):
            yield f"{folder}/{path.name}", path
