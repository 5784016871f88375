"""Directories of a machine that are nobody's project: temporary ones, caches, Python's and the system's."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

# Variables that name the caches of libraries.
CACHES = (
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_DATASETS_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "TRANSFORMERS_CACHE",
    "TORCH_HOME",
    "TORCHINDUCTOR_CACHE_DIR",
    "TORCH_EXTENSIONS_DIR",
    "TRITON_CACHE_DIR",
    "TRITON_HOME",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "MPLCONFIGDIR",
    "NUMBA_CACHE_DIR",
    "CUDA_CACHE_PATH",
    "VLLM_CACHE_ROOT",
    "FLASHINFER_WORKSPACE_BASE",
    "NLTK_DATA",
    "PYTHONPYCACHEPREFIX",
)
_HOME_CACHES = (".cache", ".config", ".local", ".triton", ".nv", ".keras", ".cupy", "nltk_data", ".torch", ".ipython")
_SYSTEM = ("/dev", "/proc", "/sys", "/run", "/var", "/etc", "/usr", "/opt")


def scratch_directories() -> list[str]:
    """Return the directories, by the variables as they are now."""
    home = Path.home()
    named = [value for name in CACHES if (value := os.environ.get(name))]
    installed = [sys.prefix, sys.base_prefix]
    below_home = [str(home / name) for name in _HOME_CACHES]
    return [tempfile.gettempdir(), "/tmp", "/var/tmp", *_SYSTEM, *named, *installed, *below_home]


def is_below(path: str, root: str) -> bool:
    """Whether a path is a directory or in it, both as they are written."""
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)
