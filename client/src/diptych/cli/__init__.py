"""The command ``diptych``."""

from __future__ import annotations

import click

from ._cards import cards
from ._compare import compare
from ._completion import completion
from ._doctor import doctor
from ._exits import EPILOG
from ._folder import batch, warm
from ._health import health
from ._installed import InstalledGroup
from ._segment import segment
from ._stats import stats
from ._video import video


@click.group(
    cls=InstalledGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="diptych")
def main() -> None:
    """Segment pictures and clips with Mask R-CNN and SAM 2, side by side.

    Talks to a gateway, or to a single model service: --address, else the environment variable
    DIPTYCH_ADDRESS, else localhost:50051.
    """


_COMMANDS = (
    *(segment, compare, video, batch, warm),
    *(cards, health, stats, doctor, completion),
)
for _command in _COMMANDS:
    main.add_command(_command)
