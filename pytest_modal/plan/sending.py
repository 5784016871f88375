"""Values that are sent: each encoded once, as data or as code."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator

from pytest_modal.batch.calls import Data
from pytest_modal.batch.environment import Environment
from pytest_modal.code.arguments import holds_code_only
from pytest_modal.code.shipping import Shipper
from pytest_modal.remote import data


class Values:
    """Encodes values.

    Parameters
    ----------
    shipper : Shipper
        Ships those that are code.
    """

    def __init__(self, shipper: Shipper) -> None:
        self._shipper = shipper
        self._encoded: dict[tuple[int, tuple[str, ...], bool], tuple[object, Data]] = {}

    def data(self, value: object, where: str, argument: str) -> Data:
        """Encode a value that must be data.

        Raises
        ------
        NotDataError
            It is not.
        """
        buffers = data.encode(value, where, argument=argument)
        return Data(data.digest(buffers), buffers)

    def encoded(
        self,
        value: object,
        where: str,
        argument: str,
        function: Callable[..., object],
        environment: Environment,
    ) -> Data:
        """Encode an argument of a function.

        Parameters
        ----------
        where, argument : str
            What errors call it, and the parameter.

        Raises
        ------
        NotDataError, ShippingError
            It is neither data nor code, or code that can't travel.
        """
        local_packages, own_image = environment.local_packages, environment.image is not None
        known = id(value), local_packages, own_image
        if known not in self._encoded:
            try:
                sent = self.data(value, where, argument)
            except data.NotDataError:
                if not holds_code_only(value):
                    raise
                sent = self._shipper.ship_argument(value, argument, function, local_packages, own_image=own_image)
            # The value is kept too, so that no other object gets its id.
            self._encoded[known] = value, sent
        return self._encoded[known][1]


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Keep Python from looking for unreachable objects; it frees all others at once, as always."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
