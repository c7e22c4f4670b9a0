"""Options that say how a data set is read, and values of options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from ..model import EvaluationTask

_F = TypeVar("_F", bound=Callable[..., Any])
FORMATS = ("auto", "coco", "yolo", "voc", "cityscapes", "davis", "sa-v")


class PairType(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """``NAME=NAME``."""

    name = "NAME=MODEL-NAME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split at the only ``=``."""
        if isinstance(value, tuple):
            return value
        left, equals, right = (part.strip() for part in value.partition("="))
        if not (left and equals and right) or "=" in right:
            self.fail(f"expected {self.name}, got {value!r}.", param, ctx)
        return left, right


class ClicksType(click.ParamType):  # type: ignore[type-arg]
    """Numbers of clicks, ascending."""

    name = "N,N,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Split at commas."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in value.split(",")]
        if not all(part.isdecimal() and int(part) for part in parts):
            self.fail(
                f"expected numbers of clicks from 1, such as 1,3,5, got {value!r}.", param, ctx
            )
        return tuple(sorted({int(part) for part in parts}))


@dataclass(frozen=True)
class Floor:
    """What a figure of a model must not fall below."""

    model_id: str
    figure: str
    least: float


class FloorType(click.ParamType):  # type: ignore[type-arg]
    """``MODEL:FIGURE=NUMBER``."""

    name = "MODEL:FIGURE=FLOOR"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Floor:
        """Split; model ids have no colon, figures no ``=``."""
        if isinstance(value, Floor):
            return value
        model, colon, rest = value.partition(":")
        figure, equals, number = rest.rpartition("=")
        try:
            least = float(number)
        except ValueError:
            least = float("nan")
        if not (model and colon and figure and equals) or least != least:
            self.fail(
                f'expected {self.name}, such as "mask-rcnn:segm/AP=0.70", got {value!r}.',
                param,
                ctx,
            )
        return Floor(model.strip(), figure.strip(), least)


def dataset_options(function: _F) -> _F:
    """``DATASET`` and all that says how it is read."""
    for option in reversed(
        [
            click.argument("dataset", type=click.Path(exists=True, path_type=Path)),
            click.option(
                "--images",
                type=click.Path(exists=True, file_okay=False, path_type=Path),
                metavar="DIR",
                help="Folder of the pictures, where it is not the usual one beside the labels.",
            ),
            click.option(
                "--format",
                type=click.Choice(FORMATS),
                default="auto",
                show_default=True,
                help="Of the labels.",
            ),
            click.option(
                "--map",
                "mapping",
                type=PairType(),
                multiple=True,
                help='A class of the data set is one of the model: "motorbike=motorcycle".',
            ),
            click.option(
                "--crowd",
                type=click.Choice(["ignore", "instance"]),
                default="ignore",
                show_default=True,
                help="Labels with iscrowd: groups as in COCO, or single objects.",
            ),
            click.option(
                "--exif",
                type=click.Choice(["auto", "turned", "stored"]),
                default="auto",
                show_default=True,
                help="What labels of pictures that EXIF turns refer to.",
            ),
        ]
    ):
        function = option(function)
    return function


task_option = click.option(
    "--task",
    "tasks",
    type=click.Choice([task.value for task in EvaluationTask]),
    multiple=True,
    help="Only these. [all that the labels can answer]",
)
