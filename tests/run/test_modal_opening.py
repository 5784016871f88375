"""Apps whose opening is cancelled, as Ctrl-C does: they end, whatever the client's own thread has done meanwhile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from loopback_modal import LoopbackModal

CANCELLED = """
import asyncio
import sys
import time

import modal

from pytest_modal.run.modal.opening import opened


class Busy:
    '''An app of a busy machine: when it is asked for its id, a second passes, in which the client's thread opens it.'''

    def __init__(self, app):
        self.app = app

    def __getattr__(self, name):
        if name == "app_id" and self.app.app_id is not None:
            time.sleep(1)
        return getattr(self.app, name)


async def waited(work):
    await work


async def use(app):
    async with opened(app, waited, 5.0, lambda: 5.0):
        await asyncio.sleep(60)


async def main(busy):
    app = modal.App("cancelled", include_source=False)
    task = asyncio.ensure_future(use(Busy(app) if busy else app))
    while app.app_id is None:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=20)
    print("cancelled:", task.cancelled(), flush=True)
    sys.stdin.read()  # a process that ends takes its apps along


asyncio.run(main(sys.argv[1] == "busy"))
"""


@pytest.mark.parametrize("machine", ["idle", "busy"])
def test_an_app_whose_opening_is_cancelled_ends(modal_server: LoopbackModal, tmp_path: Path, machine: str) -> None:
    modal_server.change(latency=0.1)
    script = tmp_path / "cancelled.py"
    script.write_text(CANCELLED)
    command = [sys.executable, str(script), machine]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "cancelled: True\n"
        (app,) = modal_server.facts()["apps"]
        assert (app["state"], app["stop_reason"]) == ("stopped", "keyboard_interrupt")
        process.communicate("")
    assert process.returncode == 0
