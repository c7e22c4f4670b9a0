"""What goes wrong, in the words that CVAT shows to a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cvat_sdk.auto_annotation import BadFunctionError

from diptych import Client, DiptychError

_kinds: tuple[type[Exception], ...] = (BadFunctionError,)
try:  # with what its main function prints as one line instead of as a traceback
    from cvat_cli._internal.common import CriticalError
except ImportError:  # the SDK alone, without the command line
    pass
else:
    _kinds += (CriticalError,)


class FunctionError(*_kinds):  # type: ignore[misc]  # CVAT's packages ship no types
    """A sentence for a person: ``cvat-cli`` prints it, an agent fails the request with it."""


@contextmanager
def told(client: Client, about: str = "") -> Iterator[None]:
    """Raise what the SDK raises as a ``FunctionError`` that names the server, and the frame."""
    try:
        yield
    except (DiptychError, ValueError, OSError) as error:
        where = f"Diptych at {client.address}" + (f", {about}" if about else "")
        # What was not reached names its address already.
        why = str(error).removeprefix(f"{client.address}: ")
        raise FunctionError(f"{where}: {why}") from None  # an agent logs the whole chain
