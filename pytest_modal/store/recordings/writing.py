"""Writing of recordings: whole or not at all, and without secrets."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from pytest_modal.remote import data
from pytest_modal.remote.masks import SecretNames
from pytest_modal.store.files import atomic_path, draft_in
from pytest_modal.store.recordings.arrays import write_npz
from pytest_modal.store.recordings.errors import SecretInRecordingError
from pytest_modal.store.recordings.model import Recording
from pytest_modal.store.recordings.paths import FORMAT, arrays_named, check_place, recording_path
from pytest_modal.store.recordings.text import deep_stack, render, seal
from pytest_modal.store.recordings.values import ValueWriter

VERSION = 2
OUTDATED_KEYS = 1  # the format whose keys were of other parts of the code


def secret_values(environ: Mapping[str, str]) -> dict[str, str]:
    """Return those environment variables whose names say that their values are secret, for `write_recording`."""
    return dict(SecretNames().among(environ.items()))


def write_recording(directory: Path, recording: Recording, secrets: Mapping[str, str] | None = None) -> Path:
    """Write a recording; the old one stays until the new one is complete.

    Parameters
    ----------
    directory : Path
        The ``recordings/`` beside the tests; made when it is needed.
    recording : Recording
        The call.
    secrets : mapping of str to str
        Texts that must not be in it, by what to call them. They are looked for in everything but arrays.

    Returns
    -------
    Path
        The JSON file.

    Raises
    ------
    NotDataError
        The value is not data.
    SecretInRecordingError
        It holds a secret; nothing is written.
    OSError
        The directory can't be written.
    """
    data.encode(recording.value, recording.name.fixture)  # refuses what is not data, with its place
    path = recording_path(directory, recording.name)
    check_place(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with deep_stack():
        return _write(path, recording, secrets or {})


def _write(path: Path, recording: Recording, secrets: Mapping[str, str]) -> Path:
    writer = ValueWriter()
    document = {**_header(recording), "value": writer.node(recording.value)}
    _check_secrets(path, recording, document, secrets)
    old, new = arrays_named(path), None
    try:
        if writer.arrays:
            # Under its own name, so that the old recording stays whole until its JSON is replaced.
            document["arrays"] = _write_arrays(path, writer.arrays)
            new = path.with_name(document["arrays"]["file"])
        document["digest"] = seal(document)
        with atomic_path(path) as draft, _durable(draft) as stream:
            stream.write(render(document).encode())
    finally:
        # The JSON names the new arrays now, or after a failure still the old ones. The files of other runs, which may
        # write here too, are left alone.
        named = arrays_named(path)
        for each in {*old, *([new] if new else [])} - {*named}:
            each.unlink(missing_ok=True)
    return path


def _header(recording: Recording) -> dict[str, Any]:
    name, keys, facts = recording.name, recording.keys, recording.facts
    printed = {"stdout": recording.stdout, "stderr": recording.stderr}
    return {
        FORMAT: VERSION,
        "module": name.module,
        "fixture": name.fixture,
        "params": list(name.params),
        "apart": name.apart,
        "status": recording.status,
        "recorded": {
            "date": facts.date,
            "gpu": facts.gpu,
            "python": facts.python,
            "seconds": float(facts.seconds),
            "packages": dict(sorted(facts.packages.items())),
        },
        "keys": {
            "function": dict(sorted(keys.function.items())),
            "arguments": dict(sorted(keys.arguments.items())),
            "environment": dict(sorted(keys.environment.items())),
        },
        **{stream: text for stream, text in printed.items() if text is not None},
    }


def _check_secrets(path: Path, recording: Recording, document: dict[str, Any], secrets: Mapping[str, str]) -> None:
    if not secrets:
        return
    text, raw = render(document), list(_bytes_in(recording.value))
    for name, secret in secrets.items():
        # Secrets are looked for as the file has them: lines are never broken inside of a text.
        if secret and (render(secret).strip()[1:-1] in text or any(secret.encode() in each for each in raw)):
            raise SecretInRecordingError(
                f"the result or output of {recording.name} holds the value of {name}: it was not recorded",
                path,
                remedy="return only results, and print no environment variables",
            )


def _bytes_in(value: object) -> Iterator[bytes]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, bytes):
            yield item
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple):
            waiting += item


def _write_arrays(path: Path, arrays: list[tuple[str, object]]) -> dict[str, Any]:
    with draft_in(path.parent, path.stem) as draft:
        with _durable(draft) as stream:
            write_npz(stream, arrays)
            digest, size = digest_of_file(stream), os.fstat(stream.fileno()).st_size
        name = f"{path.stem}-{digest[:16]}.npz"
        draft.replace(path.with_name(name))
    return {"file": name, "bytes": size, "digest": digest}


@contextlib.contextmanager
def _durable(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file whose content is on the disk at the end of the block."""
    with path.open("w+b") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


def digest_of_file(stream: IO[bytes]) -> str:
    """Return the digest of a whole file, which is left at its beginning."""
    stream.seek(0)
    hashed = hashlib.blake2b(digest_size=20)
    while piece := stream.read(1 << 20):
        hashed.update(piece)
    stream.seek(0)
    return hashed.hexdigest()
