"""Stops an interpreter that has loaded Modal's runtime before it runs it, and forks a container at each request.

Python imports this before it looks at its command, `-m modal._container_entrypoint`. The process that was started
stays here, with one thread; each fork leaves, and runs the command as if it had just been started itself.
`zygote.py` is the other side.
"""
# ruff: noqa: E402 - first what the runtime imports: containers find that, and nothing else

import sys

import modal._container_entrypoint

# It will run as `__main__`, and must not be there twice.
del sys.modules["modal._container_entrypoint"], modal._container_entrypoint
LOADED = {*sys.modules}
PLACES = {*sys.path_importer_cache}

import ctypes
import gc
import json
import os
import select
import signal
import site
import socket
import sysconfig
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PR_SET_PDEATHSIG = 1
SIZE = 1 << 17  # as in `zygote.py`


def serve(server: socket.socket) -> dict[str, Any]:
    """Fork at each request, and report what becomes of the forks; return the request, in the fork only."""
    running: dict[int, int] = {}  # a descriptor that can be read when a fork has ended -> its process id
    while True:
        for ready in select.select([server.fileno(), *running], [], [])[0]:
            if ready in running:
                pid, status = os.waitpid(running.pop(ready), 0)
                os.close(ready)
                server.send(json.dumps({"ended": pid, "status": os.waitstatus_to_exitcode(status)}).encode())
                continue
            request, outputs, _, _ = socket.recv_fds(server, SIZE, 2)
            if not request:
                os._exit(0)
            pid = os.fork()
            if pid == 0:
                server.detach()  # `become` closes all that is open
                for number, output in enumerate(outputs, 1):
                    os.dup2(output, number)
                return dict(json.loads(request))
            for output in outputs:
                os.close(output)
            running[os.pidfd_open(pid)] = pid
            server.send(json.dumps({"started": pid}).encode())


def become(request: dict[str, Any], hide: Any) -> None:
    """Make of this fork what a new process would be."""
    os.setsid()
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[sys.path.index(str(HERE))] = os.environ["PYTHONPATH"]
    site.USER_BASE = site.USER_SITE = None
    site.getusersitepackages()  # sets both, by HOME
    sysconfig.get_config_vars()["userbase"] = site.USER_BASE
    os.chdir(request["directory"])
    hide(**request["hiding"])
    os.closerange(3, 1 << 16)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # last, as in `process.py`
    for known, loaded in ((sys.modules, LOADED), (sys.path_importer_cache, PLACES - {str(HERE)})):
        for name in known.keys() - loaded:
            del known[name]


def main() -> None:
    """Say what is loaded, serve, and become what was asked for."""
    hiding: dict[str, Any] = {}
    exec((HERE.parent / "hiding.py").read_text(encoding="utf-8"), hiding)  # not imported: as a module it would stay
    server = socket.socket(fileno=int(os.environ["LOOPBACK_ZYGOTE"]))
    server.send(json.dumps(sorted({name.partition(".")[0] for name in LOADED})).encode())
    gc.collect()
    gc.freeze()  # a fork that ends doesn't look at, and thereby copy, what was there before it
    request = serve(server)
    try:
        become(request, hiding["hide"])
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


main()
raise ImportError("containers have no such module", name=__name__)  # Python goes on as if there were none
