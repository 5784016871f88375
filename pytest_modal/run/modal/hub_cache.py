"""The volume that keeps downloads from the Hugging Face hub: a batch does without it where it can't be had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pytest_modal.declare.settings import SessionOptions
from pytest_modal.run.modal.timeouts import within


async def with_usable_cache(options: SessionOptions, seconds: float, note: Callable[[str], None]) -> SessionOptions:
    """Return the options without the volume where it can't be had: nothing else depends on it.

    Parameters
    ----------
    seconds : float
        How long Modal may take for an answer.
    note : callable
        Takes what users should know.
    """
    import modal

    name = options.cache_volume
    kinds = (
        modal.exception.PermissionDeniedError,
        modal.exception.NotFoundError,
        modal.exception.InvalidError,
        modal.exception.ResourceExhaustedError,
    )
    try:
        if name:
            await within(seconds, modal.Volume.from_name(name, create_if_missing=True).hydrate.aio())
    except kinds as error:
        note(f"downloads are not kept: the volume {name!r} (modal_cache_volume) can't be had: {error}")
        return replace(options, cache_volume="")
    except Exception:
        return options  # what opens the session next will say what is wrong
    return options
