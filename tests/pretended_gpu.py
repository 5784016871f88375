"""A GPU that is pretended, for machines without one: what `nvidia-smi` answers, and a torch that computes there."""

from __future__ import annotations

from pathlib import Path

import pytest

# Put into the body of a GPU function. The real torch is not imported: only the worker asks this one.
COMPUTE = """
def compute_on_gpu():
    import sys, types
    torch = sys.modules.get("torch")
    if torch is None:
        allocated = [0]
        cuda = types.SimpleNamespace(
            is_initialized=lambda: True,
            device_count=lambda: 1,
            memory_reserved=lambda index: 1,
            memory_stats=lambda index: {"allocation.all.allocated": allocated[0]},
            max_memory_allocated=lambda index: 4096,
            reset_peak_memory_stats=lambda index: None,
            synchronize=lambda index: None,
            get_device_name=lambda index: "Tesla T4",
            empty_cache=lambda: None,
        )
        torch = sys.modules["torch"] = types.SimpleNamespace(cuda=cuda, allocated=allocated)
    torch.allocated[0] += 1
"""


def install(directory: Path, monkeypatch: pytest.MonkeyPatch, name: str = "Tesla T4") -> None:
    """Have this machine report a GPU of that name."""
    directory.mkdir()
    script = directory / "nvidia-smi"
    script.write_text(f"#!/bin/sh\necho '{name}'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory), prepend=":")
