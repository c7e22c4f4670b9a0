"""For packages that add a command to ``diptych`` by an entry point in ``diptych.commands``.

::

    [project.entry-points."diptych.commands"]
    count = "my_package.cli:count"

    @click.command()
    @connection_options
    def count(address: str | None, timeout: float) -> None:
        with connect(address, timeout) as client: ...

What such a command raises of ``DiptychError`` and ``OSError`` ends it with a line and one of the
exit codes below, as with the commands of this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .cli._completion import models_option
from .cli._exits import (
    EPILOG,
    FAILED,
    INTERRUPTED,
    OK,
    REFUSED,
    TOO_LATE,
    UNAVAILABLE,
    USAGE,
    describe,
    exit_code,
    exit_code_of_many,
    report,
)
from .cli._options import (
    BoxType,
    Number,
    PointType,
    connect,
    connection_options,
    connection_options_within,
)
from .cli._progress import is_quiet, progress, quiet_option

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "EPILOG",
    "FAILED",
    "INTERRUPTED",
    "OK",
    "REFUSED",
    "TOO_LATE",
    "UNAVAILABLE",
    "USAGE",
    "BoxType",
    "Number",
    "PointType",
    "connect",
    "connection_options",
    "connection_options_within",
    "describe",
    "exit_code",
    "exit_code_of_many",
    "is_quiet",
    "models_option",
    "progress",
    "quiet_option",
    "report",
    "stdout",
]


def stdout() -> Console:
    """A console that does not cut tables short when its output is not a terminal."""
    from .cli._tables import stdout as console  # rich is slow to import

    return console()
