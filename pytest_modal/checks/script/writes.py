"""Calls that write a file, and where."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from pytest_modal.checks.script.destinations import Place, Places
from pytest_modal.checks.script.tree import Scope, argument

# Position and keyword of the path.
FUNCTIONS = {
    "numpy.save": (0, "file"),
    "numpy.savez": (0, "file"),
    "numpy.savez_compressed": (0, "file"),
    "numpy.savetxt": (0, "fname"),
    "torch.save": (1, "f"),
    "jax.numpy.save": (0, "file"),
    "safetensors.torch.save_file": (1, "filename"),
    "safetensors.numpy.save_file": (1, "filename"),
    "joblib.dump": (1, "filename"),
    "soundfile.write": (0, "file"),
    "scipy.io.wavfile.write": (0, "filename"),
    "scipy.io.savemat": (0, "file_name"),
    "torchaudio.save": (0, "uri"),
    "torchvision.utils.save_image": (1, "fp"),
    "torchvision.io.write_video": (0, "filename"),
    "cv2.imwrite": (0, "filename"),
    "imageio.imwrite": (0, "uri"),
    "imageio.mimsave": (0, "uri"),
    "imageio.mimwrite": (0, "uri"),
    "matplotlib.pyplot.savefig": (0, "fname"),
    "matplotlib.pyplot.imsave": (0, "fname"),
    "diffusers.utils.export_to_video": (1, "output_video_path"),
}
# Position and keyword of the mode, and the mode without one.
OPENERS = {
    "open": (1, "mode", "r"),
    "io.open": (1, "mode", "r"),
    "codecs.open": (1, "mode", "r"),
    "gzip.open": (1, "mode", "r"),
    "bz2.open": (1, "mode", "r"),
    "lzma.open": (1, "mode", "r"),
    "wave.open": (1, "mode", "r"),
    "tarfile.open": (1, "mode", "r"),
    "zipfile.ZipFile": (1, "mode", "r"),
    "h5py.File": (1, "mode", "r"),
}
# Methods that write a file on every object that has them: the first argument is the path.
METHODS = {
    "to_csv": "path_or_buf",
    "to_parquet": "path",
    "to_excel": "excel_writer",
    "to_feather": "path",
    "to_pickle": "path",
    "to_hdf": "path_or_buf",
    "to_json": "path_or_buf",
    "savefig": "fname",
    "write_csv": "file",
    "write_parquet": "file",
    "write_ndjson": "file",
    "save_pretrained": "save_directory",
    "save_to_disk": "dataset_path",
    "save_weights": "filepath",
    "write_image": "file",
}
# Methods that count only with a known path, since other objects have a `save` too.
TEXT_METHODS = {"save": "path", "save_model": "output_dir", "write_html": "file", "tofile": "fid"}
PATH_METHODS = {"write_text", "write_bytes", "touch"}
DIRECTORIES = {"os.mkdir": "name", "os.makedirs": "name"}


@dataclass(frozen=True)
class Write:
    """A call that writes.

    Attributes
    ----------
    node : Call
        The call.
    target : expr
        The expression that says where.
    makes_directory : bool
        Whether it makes a directory only.
    """

    node: ast.Call
    target: ast.expr
    place: Place
    scope: Scope
    makes_directory: bool = False


def write_at(call: ast.Call, scope: Scope, places: Places) -> Write | None:
    """Return what a call writes, if it writes to a path."""
    name = scope.dotted(call.func)
    if name in FUNCTIONS:
        return _at(call, argument(call, *FUNCTIONS[name]), scope, places)
    if name in OPENERS and name is not None:
        index, word, default = OPENERS[name]
        given = argument(call, index, word)
        return _at(call, argument(call, 0, "file"), scope, places) if _writes(given, default) else None
    if name in DIRECTORIES:
        return _at(call, argument(call, 0, "name"), scope, places, makes_directory=True)
    # wandb.save uploads an existing file.
    if isinstance(call.func, ast.Attribute) and not (name or "").startswith("wandb."):
        return _method(call, call.func, scope, places)
    return None


def _method(call: ast.Call, function: ast.Attribute, scope: Scope, places: Places) -> Write | None:
    method = function.attr
    if method in METHODS:
        return _at(call, argument(call, 0, METHODS[method]), scope, places)
    if method in TEXT_METHODS:
        target = argument(call, 0, TEXT_METHODS[method])
        write = _at(call, target, scope, places)
        text = write is not None and write.place.kind == "text" and (method != "save" or _is_file(write.place))
        known = write is not None and (write.place.is_path or text)
        return write if known else None
    if method in PATH_METHODS or method == "mkdir" or (method == "open" and _writes(argument(call, 0, "mode"), "r")):
        write = _at(call, function.value, scope, places, makes_directory=method == "mkdir")
        # Other objects have `write_text` and `mkdir` too: mounted volumes, sandboxes.
        return write if write is not None and write.place.is_path else None
    return None


def _at(
    call: ast.Call, target: ast.expr | None, scope: Scope, places: Places, *, makes_directory: bool = False
) -> Write | None:
    if target is None:
        return None
    return Write(call, target, places.of(target, scope), scope, makes_directory)


def _writes(mode: ast.expr | None, default: str) -> bool:
    text: object = default
    if mode is not None:
        text = mode.value if isinstance(mode, ast.Constant) else ""
    return isinstance(text, str) and bool(set("wax+") & set(text.partition(":")[0]))


def _is_file(place: Place) -> bool:
    stem, dot, suffix = place.text.rpartition("/")[2].rpartition(".")
    return bool(stem and dot and suffix) or "/" in place.text
