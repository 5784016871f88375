"""Containers of the loopback server that are forks: nothing in them differs from a process of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loopback_modal import LoopbackModal

CONTRACT = Path(__file__).parent / "loopback_modal" / "contract"
LOOK = """
from scenario import *

def opened(directory):
    # What kind of thing each open descriptor is.
    for number in os.listdir(directory):
        with contextlib.suppress(OSError):  # the directory that is being listed
            yield os.readlink(f"{directory}/{number}").partition("[")[0]

def look():
    import gc, resource, site, sysconfig, threading, warnings

    main = sys.modules["__main__"]
    depth, frame = [], sys._getframe()
    while frame:
        depth.append(f"{frame.f_code.co_filename}: {frame.f_code.co_name}")
        frame = frame.f_back
    main_thread = threading.main_thread()
    try:
        import sitecustomize
    except ImportError as error:
        missing = str(error)
    return {
        "modules": sorted(sys.modules),
        "path": sys.path,
        "variables": [*os.environ.items()],
        "variables of programs": os.popen("env | grep -v ^_= | sort").read(),
        "descriptors": sorted(opened("/proc/self/fd")),
        "signals": {str(number): str(signal.getsignal(number)) for number in signal.valid_signals()},
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "directory": os.getcwd(),
        "session": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
        "command": [sys.argv, sys.orig_argv, open("/proc/self/cmdline").read(), sys.executable, sys.prefix],
        "main": {name: str(getattr(main, name)) for name in ("__name__", "__spec__", "__file__", "__package__")},
        "names of main": sorted(vars(main)),
        "stack": depth,
        "flags": str(sys.flags),
        "user": [site.USER_BASE, site.USER_SITE, site.ENABLE_USER_SITE, sysconfig.get_config_var("userbase")],
        "importers": sorted(sys.path_importer_cache),
        "limits": [resource.getrlimit(each) for each in (resource.RLIMIT_NOFILE, resource.RLIMIT_STACK)],
        "mask": [os.umask(0o22), gc.isenabled(), gc.get_threshold()],
        "output": [str(sys.stdout), sys.stdout.line_buffering, sys.stdout.write_through, sys.stderr.errors],
        "warnings": [str(each) for each in warnings.filters],
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "main thread": [main_thread is threading.current_thread(), main_thread.ident == threading.get_ident()],
        "sitecustomize": missing,
    }

# What Python may read when it starts makes the other container a process of its own.
fork = serialized(image=image.uv_pip_install("numpy"))(look)
process = serialized(image=image.uv_pip_install("numpy"), env={"PYTHON_OF_ITS_OWN": "1"}, name="process")(look)
with app.run():
    out["fork"], out["process"] = attempt(fork.remote), attempt(process.remote)
"""


@pytest.fixture
def run(modal_server: LoopbackModal, tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """Run a client, and return what it reports, with whether each function's container was `forked`."""

    def report(code: str) -> dict[str, Any]:
        client = tmp_path / "client.py"
        client.write_text(code)
        environment = modal_server.environ(PYTHONPATH=str(CONTRACT))
        done = subprocess.run([sys.executable, client], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        containers = modal_server.facts()["containers"]
        forked = {container["function_name"]: container["forked"] for container in containers}
        return {**json.loads(done.stdout.splitlines()[-1]), "forked": forked}

    return report


def plain(seen: dict[str, Any]) -> dict[str, Any]:
    """Return what a container saw, without what is its own."""
    (name,) = (value for variable, value in seen["variables"] if variable == "MODAL_TASK_ID")
    text = re.sub(" at 0x[0-9a-f]+", "", json.dumps(seen).replace(name, "ta-1").replace("PYTHON_OF_ITS_OWN=1\\n", ""))
    plain: dict[str, Any] = json.loads(text)
    plain["variables"] = [each for each in plain["variables"] if each[0] != "PYTHON_OF_ITS_OWN"]
    return plain


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux says of a descriptor when a fork has ended")
def test_a_fork_is_what_a_process_would_be(run: Callable[[str], dict[str, Any]]) -> None:
    report = run(LOOK)
    assert report["forked"] == {"look": True, "process": False}
    fork, process = (plain(report[each]["value"]) for each in ("fork", "process"))
    assert fork.keys() == process.keys()
    for what in process:
        assert fork[what] == process[what], what


def test_a_file_that_would_be_imported_first_is(run: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os.environ['CUSTOMIZED'] = 'yes'")
    report = run(f"""
from scenario import *

def look():
    return os.environ.get("CUSTOMIZED")

at = image.add_local_file({str(tmp_path / "sitecustomize.py")!r}, "/root/sitecustomize.py")
look = serialized(image=at)(look)
with app.run():
    out["look"] = attempt(look.remote)
""")
    assert report["look"]["value"] == "yes"
    assert report["forked"] == {"look": False}
