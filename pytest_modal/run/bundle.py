"""The zip that travels: the folder `remote` and cloudpickle."""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path

import cloudpickle

from pytest_modal import remote


@functools.cache
def bundle() -> bytes:
    """Return a zip file with the worker, the data boundary and cloudpickle, to put on ``sys.path``."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pytest_modal/__init__.py", "")
        for source in sorted(Path(remote.__file__).parent.glob("*.py")):
            archive.write(source, f"pytest_modal/remote/{source.name}")
        for source in sorted(Path(cloudpickle.__file__).parent.glob("*.py")):
            archive.write(source, f"cloudpickle/{source.name}")
    return packed.getvalue()
