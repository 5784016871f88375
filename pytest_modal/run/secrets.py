"""Secrets of this machine: nothing that a batch brings is shown or kept with one in it."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any

from pytest_modal.batch.calls import Batch, Buffers
from pytest_modal.batch.outcomes import Outcome, Progress
from pytest_modal.remote.masks import Masks, SecretNames, warning_of
from pytest_modal.run.isolation import variables_of_secrets

_TEXTS = ("error", "stdout", "stderr", "warnings", "lost_files")


class Secrets:
    """The secrets that the functions of a batch could have.

    A container masks those that it has; these are of this machine, or declared by the project.

    Parameters
    ----------
    batch : Batch
        What runs.
    patterns : tuple of str
        The ini ``modal_secret_variables``.
    """

    def __init__(self, batch: Batch, patterns: tuple[str, ...]) -> None:
        variables = [*os.environ.items()]
        for environment in batch.environments:
            variables += environment.env
            # In local mock mode, variables of this machine are in the place of Modal's Secrets.
            patterns = (*patterns, *variables_of_secrets(environment.secrets))
        self._masks = Masks(SecretNames(patterns).among(variables))
        self._batch = batch

    @functools.cached_property
    def _labels(self) -> dict[str, str]:
        return {call.key: call.label for call in self._batch.calls}

    def removed(self, outcome: Outcome, value: Buffers) -> tuple[Outcome, Buffers]:
        """Return an outcome and its encoded value without secrets."""
        value, found = self._masks.encoded(value)
        warned = [warning_of(self._labels[outcome.key], found)] if found else []
        texts = {name: self._masks.plain(getattr(outcome, name)) for name in _TEXTS}
        return dataclasses.replace(outcome, **{**texts, "warnings": (*texts["warnings"], *warned)}), value

    def plain(self, value: Any) -> Any:
        """Return plain data, such as the description of an exception, without secrets."""
        return self._masks.plain(value)

    def are_in(self, text: str) -> bool:
        """Whether a text has one of them in it."""
        return self._masks.are_in(text)

    def in_lines(self, progress: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """Return what shows progress, without secrets in what functions print."""

        def without(event: Progress) -> None:
            if event.printed is not None:
                event = dataclasses.replace(event, printed=self._masks.text(event.printed))
            progress(event)

        return without
