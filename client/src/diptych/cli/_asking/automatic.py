"""Options of the mode that finds objects from a grid of points."""

from __future__ import annotations

import click

from ... import AutomaticOptions
from .._options import Number

_SHARE = Number(0, 1)
AUTOMATIC_OPTIONS = (
    click.option(
        "--points-per-side",
        type=click.IntRange(1, 64),
        help="Of the grid that a model without classes tries: fewer are quicker, and find less.",
    ),
    click.option("--pred-iou-thresh", type=_SHARE, help="Drop masks of less predicted quality."),
    click.option("--stability-score-thresh", type=_SHARE, help="Drop masks that are less stable."),
    click.option(
        "--stability-score-offset",
        type=Number(0, 10, min_open=True),
        help="Shift of the threshold for --stability-score-thresh.",
    ),
    click.option("--box-nms-thresh", type=_SHARE, help="Of two that overlap more, keep one."),
    click.option("--crop-n-layers", type=click.IntRange(0, 2), help="Look again in crops."),
    click.option("--crop-nms-thresh", type=_SHARE, help="The same as for boxes, between crops."),
    click.option("--crop-overlap-ratio", type=Number(0, 0.5), help="Of neighbouring crops."),
    click.option(
        "--crop-n-points-downscale-factor",
        type=click.IntRange(1, 8),
        help="Divides --points-per-side for each layer of crops.",
    ),
    click.option(
        "--min-mask-region-area",
        type=click.IntRange(0),
        metavar="PX",
        help="Remove smaller parts and holes.",
    ),
    click.option(
        "--multimask-output/--no-multimask-output", default=None, help="Three masks a point."
    ),
    click.option("--use-m2m/--no-use-m2m", default=None, help="Refine each mask once by itself."),
)
"""Named as the fields of ``AutomaticOptions``."""


def automatic_options(given: dict[str, object], *, prompted: bool) -> AutomaticOptions | None:
    """What was given of the options above, ``None`` without any.

    Raises:
        click.UsageError: there are prompts, with which models do not look for themselves.
    """
    said = {name: value for name, value in given.items() if value is not None}
    if said and prompted:
        name = "--" + next(iter(said)).replace("_", "-")
        raise click.UsageError(f"{name}: expected only without points, boxes and masks.")
    return AutomaticOptions(**said) if said else None  # type: ignore[arg-type]
