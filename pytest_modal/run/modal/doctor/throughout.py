"""Checks of the whole visit: the image, all requests, warnings, whether the app lived on."""

from __future__ import annotations

import contextlib
import time

from pytest_modal.run.modal.doctor.check import Check, Found, found
from pytest_modal.run.modal.doctor.visit import Visit
from pytest_modal.run.modal.opening import has_ended
from pytest_modal.run.modal.timeouts import within
from pytest_modal.wording import count

_SLOW = 3.0  # seconds for an answer


async def requests(visit: Visit) -> Found:
    """Return what became of small requests all the while."""
    pulse = visit.pulse
    await pulse.ask(visit.client)
    failed = pulse.failures.total()
    asked, slowest = failed + len(pulse.times), max(pulse.times, default=0.0)
    says = f"{asked - failed} of {asked} answered, slowest {slowest:.2f} s"
    if failed:
        says += f"; up to {pulse.longest:.1f} s without an answer: {'; '.join(pulse.failures)}"
    if again := visit.again.total():
        says += f"; the client has sent {count(again, 'request')} again: {', '.join(visit.again)}"
    remedy = "sessions wait modal_connection_timeout (60 s) for that to pass; see https://status.modal.com"
    measured: dict[str, object] = {
        "asked": asked,
        "slowest_seconds": round(slowest, 3),
        "failures": dict(pulse.failures),
        "longest_seconds": round(pulse.longest, 2),
        "sent_again": dict(visit.again),
    }
    return found(not failed and not again and slowest < _SLOW, says, remedy, measured)


async def image(visit: Visit) -> Found:
    """Describe the image of the app again: Modal must not build it again."""
    assert visit.describe_image is not None
    again = visit.describe_image()
    began = time.monotonic()
    await again.build.aio(visit.app)
    took = time.monotonic() - began
    cached = again.object_id == visit.image.object_id
    says = f"{visit.opened_in:.1f} s, {'then' if cached else 'and built again in'} {took:.1f} s"
    remedy = "unset MODAL_FORCE_BUILD and MODAL_IGNORE_CACHE, also in ~/.modal.toml; else report it"
    return found(cached, says, remedy, {"opened_seconds": round(visit.opened_in, 2), "again_seconds": round(took, 2)})


async def session(visit: Visit) -> Found:
    """See whether the app of the visit still runs."""
    info = await within(5, visit.app.info.aio(refresh=True))
    state, runs = info.lifecycle.state, not has_ended(info)
    says = "it runs" if runs else "the app was stopped meanwhile"
    remedy = "if nobody stopped it: was this machine asleep, or too busy to send heartbeats?"
    return found(runs, says, remedy, {"state": str(getattr(state, "name", state))})


async def warned(visit: Visit) -> Found:
    """Return the warnings that came with answers."""
    with contextlib.suppress(Exception):  # one more answer, in case there was none
        await within(5, visit.client.hello.aio())
    texts = visit.warnings
    says = "; ".join(texts) if texts else "none"
    return found(not texts, says, "it is shown as a note by pytest; see what it asks for", {"texts": texts})


IMAGE = Check("image", "built once, then from the cache", 60, image)
SESSION = Check("session", "the app lives as long as its client", 15, session)
WARNINGS = Check("warnings", "none", 10, warned)
REQUESTS = Check("requests", "all are answered, at once", 15, requests)
