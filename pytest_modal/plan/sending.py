"""Values that are sent: each encoded once, as data or as code."""

from __future__ import annotations

from collections.abc import Callable

from pytest_modal.batch.calls import Data
from pytest_modal.batch.environment import Environment
from pytest_modal.code.arguments import holds_code_only
from pytest_modal.code.shipping import Shipper, ShippingError
from pytest_modal.plan.lent import Lent
from pytest_modal.remote import data
from pytest_modal.remote.masks import Masks
from pytest_modal.wording import three_parts


class Values:
    """Encodes values.

    Parameters
    ----------
    shipper : Shipper
        Ships those that are code.
    secrets : Masks
        Of this machine: no value that is sent may hold one.
    """

    def __init__(self, shipper: Shipper, secrets: Masks) -> None:
        self._shipper = shipper
        self._secrets = secrets
        self._encoded: dict[tuple[int, tuple[str, ...], bool], tuple[Lent, Data]] = {}
        self._copies: dict[str, Data] = {}

    def data(self, value: object, where: str, argument: str) -> Data:
        """Encode a value that must be data.

        Raises
        ------
        NotDataError
            It is not.
        ShippingError
            It holds a secret.
        """
        buffers = data.encode(value, where, argument=argument)
        if (name := self._secrets.held(buffers)) is not None:
            what = f"the argument {argument!r} holds the value of the environment variable {name}, which is secret"
            remedy = (
                "read the variable in the function's body, and give the container one by secrets=; "
                f"if it is not secret, say so in the ini: modal_secret_variables = !{name}"
            )
            raise ShippingError(three_parts(what, where, remedy))
        digest = data.digest(buffers)
        # The memory of arrays is copied: what is sent is what the key is of, whatever happens to them until then.
        return self._copies.setdefault(digest, Data(digest, tuple(map(_own, buffers))))

    def encoded(
        self,
        value: object,
        where: str,
        argument: str,
        function: Callable[..., object],
        environment: Environment,
    ) -> tuple[Lent, Data]:
        """Encode an argument of a function, once for as long as nothing changes it in place.

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
        if known not in self._encoded or self._encoded[known][0].has_changed():
            try:
                sent = self.data(value, where, argument)
            except data.NotDataError:
                if not holds_code_only(value):
                    raise
                sent = self._shipper.ship_argument(value, argument, function, local_packages, own_image=own_image)
            # The value is kept too, so that no other object gets its id.
            self._encoded[known] = Lent(value, sent.content), sent
        return self._encoded[known]


def _own(buffer: bytes | memoryview) -> bytes | memoryview:
    return buffer if isinstance(buffer, bytes) or isinstance(buffer.obj, bytes) else bytes(buffer)
