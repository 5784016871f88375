"""Checks before anything runs: configuration, connection, streams."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import statistics
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from pytest_modal.declare.facts import Facts
from pytest_modal.run.modal import errors
from pytest_modal.run.modal.app import pack_seconds
from pytest_modal.run.modal.configuration import fault_of_configuration
from pytest_modal.run.modal.connecting import HELLO_TIMEOUT, connected, who_pays
from pytest_modal.run.modal.doctor.check import Check, Found, found
from pytest_modal.run.modal.doctor.sent import new_word
from pytest_modal.run.modal.doctor.visit import Visit
from pytest_modal.run.modal.streams import MOST_POLLS, OPEN_AT_A_TIME
from pytest_modal.run.modal.timeouts import within

_SECRETS = (
    *("token_id", "token_secret", "oauth_refresh_token"),
    *("oauth_client_id", "oauth_client_secret", "oauth_jwt_key"),
)
_HELLOS = 7
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # and an empty SETTINGS frame
_SETTINGS, _MAX_CONCURRENT_STREAMS = 4, 3  # RFC 9113, 6.5
_SILENCE = 0.5  # seconds
_SLOW = 1.5  # seconds for an answer beside other requests


async def configuration(visit: Visit) -> Found:
    """Look at what is configured on this machine; Modal is not asked."""
    _hide_profiles(visit, [os.environ.get("MODAL_PROFILE", "")])
    visit.private[os.environ.get("MODAL_CONFIG_PATH", "")] = "<configuration>"
    fault = fault_of_configuration()
    if fault is not None and fault.kind == "configuration":  # the client can't be imported
        return Found("differs", fault.message, fault.remedy, {"kind": fault.kind})
    import modal.config

    config: Any = modal.config
    settings = config.config
    _hide_profiles(visit, config.config_profiles())
    visit.private[str(config.user_config_path)] = "<configuration>"
    if fault is not None:
        return Found("differs", fault.message, fault.remedy, {"kind": fault.kind})
    profile = str(getattr(config, "_profile", "") or "default")
    visit.url = str(settings.get("server_url"))
    environment = str(settings.get("environment") or "")
    for name in _SECRETS:
        with contextlib.suppress(KeyError):  # an older client does not know all of them
            visit.private[str(settings.get(name) or "")] = f"<{name}>"
    if environment not in ("", "main"):
        visit.private[environment] = "<environment>"
    source = "OAuth" if not settings.get("token_id") else "the environment"
    if settings.get("token_id") and not os.environ.get("MODAL_TOKEN_ID"):
        source = f"profile {profile}"
    forced = [name for name in ("force_build", "ignore_cache") if settings.get(name)]
    says = ", ".join([f"from {source}", *([f"environment {environment}"] if environment else []), *forced])
    measured = {"token": source if source != f"profile {profile}" else "profile", "set": forced}
    return Found("ok", says, "", measured)


def _hide_profiles(visit: Visit, names: Iterable[str]) -> None:
    visit.private |= {name: "<profile>" for name in names if name != "default"}


async def connection(visit: Visit) -> Found:
    """Measure how long Modal takes to answer."""
    began = time.monotonic()
    try:
        visit.client, _ = await within(visit.at_most(HELLO_TIMEOUT), connected())
    except TimeoutError:
        failure = errors.unreachable(visit.url, time.monotonic() - began)
        return Found("differs", failure.message, failure.remedy)
    except errors.InfrastructureError as error:
        return Found("differs", error.message, error.remedy, {"kind": error.kind})
    first, times = time.monotonic() - began, []
    for _ in range(_HELLOS):
        began = time.monotonic()
        with contextlib.suppress(Exception):  # failures are counted by the check of all requests
            await visit.client.hello.aio()
            times.append(time.monotonic() - began)
    pays = await who_pays()
    for kind, _, name in (part.partition(" ") for part in pays.split(", ")):
        if name != "main":
            visit.private[name] = f"<{kind}>"
    if not times:
        return Found("differs", f"first answer after {first:.2f} s, and none to {_HELLOS} requests after it")
    visit.round_trip = statistics.median(times)
    says = f"{visit.round_trip * 1000:,.0f} ms; first answer {first:.2f} s"
    says += f"; {pays}" if pays else ""
    seconds = pack_seconds(Facts(round_trip_seconds=visit.round_trip))
    remedy = f"set modal_facts: calls then travel in packs of {seconds:.1f} s"
    measured = {"first_answer_seconds": round(first, 4), "round_trips_seconds": [round(each, 4) for each in times]}
    facts = {"round_trip_seconds": round(min(visit.round_trip, 10), 4)}
    return found(visit.round_trip <= Facts.round_trip_seconds, says, remedy, measured, facts)


async def streams(visit: Visit) -> Found:
    """Find out how many requests a connection takes: as announced, and beside the results that a session waits for."""
    announced = None
    with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
        announced = await within(5, announced_streams(visit.url.split(",")[0].strip()))
    call = await visit.spawn("probe", new_word(), sleep=3.0)
    opened = [asyncio.ensure_future(call.get.aio(timeout=2.5)) for _ in range(MOST_POLLS)]
    try:
        await asyncio.sleep(0.5)
        began = time.monotonic()
        await within(8, visit.client.hello.aio())
        answer = time.monotonic() - began
    except TimeoutError:
        answer = 8.0
    finally:
        await asyncio.wait(opened, timeout=5)
        for task in opened:
            task.cancel()
        with contextlib.suppress(Exception):
            await visit.end_of(call, 5)
    says = f"{announced:,} are announced" if announced is not None else "no limit is known"
    slow = answer >= _SLOW + 2 * visit.round_trip
    says += f"; beside {MOST_POLLS} others one took {answer:.1f} s" if slow else ""
    enough = (announced is None or announced >= OPEN_AT_A_TIME) and not slow
    facts = {"streams": max(8, announced)} if announced is not None else {}
    remedy = "set modal_facts: fewer requests are then open at a time"
    return found(enough, says, remedy, {"announced": announced, "answer_seconds": round(answer, 4)}, facts)


async def announced_streams(url: str) -> int | None:
    """Return how many streams an HTTP/2 server takes at a time, as it announces; None where it announces nothing.

    Raises
    ------
    OSError, ValueError, asyncio.IncompleteReadError
        It can't be reached, or speaks something else.
    """
    parts = urlsplit(url)
    context = None
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.set_alpn_protocols(["h2"])
    port = parts.port or (443 if context else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    try:
        writer.write(_PREFACE)
        announced = None
        # The first frame is SETTINGS, and there may be more of them: it is over when the server is silent.
        while (frame := await _frame(reader)) is not None:
            kind, body = frame
            if kind == _SETTINGS:
                pairs = (body[start : start + 6] for start in range(0, len(body) - 5, 6))
                values = {int.from_bytes(pair[:2]): int.from_bytes(pair[2:]) for pair in pairs}
                announced = values.get(_MAX_CONCURRENT_STREAMS, announced)
        return announced
    finally:
        writer.close()


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes] | None:
    """Return the kind and the body of the next frame; None if there is none for a while."""
    try:
        head = await asyncio.wait_for(reader.readexactly(9), _SILENCE)
    except TimeoutError:
        return None
    return head[3], await reader.readexactly(int.from_bytes(head[:3]))


CONFIGURATION = Check("configuration", "a whole token, an active profile", 5, configuration)
CONNECTION = Check(
    "connection",
    f"a round trip of {Facts.round_trip_seconds * 1000:g} ms at most",
    HELLO_TIMEOUT + 15,
    connection,
)
STREAMS = Check("streams", f"{OPEN_AT_A_TIME} requests at a time or more", 30, streams)
