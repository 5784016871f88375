"""What a run puts into the directory for temporary files is its user's alone, has no name to foresee, and goes."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from loopback_modal import LoopbackModal

SUITE = """
    import pytest_modal

    @pytest_modal.fixture(params=range(2))
    def value(request):
        import time
        time.sleep(0.3)
        return request.param

    def test_it(value): pass
"""


def watched(pytester: pytest.Pytester, shared: Path, *options: str) -> dict[str, int]:
    """Run the suite with a directory of its own for temporary files; return what was in it, and who may read it."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", *options]
    seen: dict[str, int] = {}
    process = subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while process.poll() is None:
        assert time.monotonic() < deadline
        for each in shared.iterdir():
            try:
                seen[each.name] = stat.S_IMODE(each.stat().st_mode)
            except FileNotFoundError:
                continue
        time.sleep(0.005)
    assert process.returncode == 0, process.communicate()[0]
    return seen


@pytest.mark.parametrize("options", [[], ["-n", "2"], ["--modal"]], ids=["local", "xdist", "modal"])
def test_temporary_files_are_private(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    modal_server: LoopbackModal,
    options: list[str],
) -> None:
    pytester.makepyfile(SUITE)
    shared = tmp_path / "tmp"
    shared.mkdir()
    monkeypatch.setenv("TMPDIR", str(shared))
    ours = [
        {name: mode for name, mode in watched(pytester, shared, *options).items() if name.startswith("pytest-modal")}
        for _ in range(2)
    ]
    for seen in ours:
        assert seen
        assert set(seen.values()) == {0o700}
    assert not set(ours[0]) & set(ours[1])
    assert not [each.name for each in shared.iterdir() if not each.name.startswith("pytest-of-")]
