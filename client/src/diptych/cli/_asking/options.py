"""Options on what is asked, and the arguments that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from ... import (
    AuthenticationError,
    AutomaticOptions,
    Box,
    Client,
    Mask,
    ModelCard,
    OutputOptions,
    Point,
    Prompt,
    Task,
)
from ..._by_card import check_automatic, with_categories
from ...documents.prompts import prompts_from_json
from .._completion import complete_categories
from .._options import BoxType, Number, PointType, decorated
from .automatic import AUTOMATIC_OPTIONS, automatic_options

_EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class PromptsType(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """A file with prompts as JSON; ``-`` is stdin."""

    name = "FILE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[Prompt]:
        if isinstance(value, list):
            return value
        if ctx is not None and ctx.resilient_parsing:  # a shell completes: stdin is a person
            return []
        try:
            return prompts_from_json(click.File("rb").convert(value, param, ctx).read())
        except ValueError as error:
            self.fail(str(error), param, ctx)


ask_options = decorated(
    [
        click.option(
            "--task",
            type=click.Choice([task.value for task in Task if task is not Task.VIDEO_SEGMENTATION]),
            help="Default: prompted-segmentation with prompts, else instance-segmentation.",
        ),
        click.option(
            "--point",
            "points",
            type=PointType(),
            multiple=True,
            help="On the object (1) or off it (0); all points together are one object. Points that"
            " are all off it correct the one box or mask that is given.",
        ),
        click.option(
            "--box", "boxes", type=BoxType(), multiple=True, help="Around an object; one each."
        ),
        click.option(
            "--mask",
            "masks",
            type=_EXISTING_FILE,
            multiple=True,
            help="PNG of the picture's size with an earlier guess; one object each.",
        ),
        click.option(
            "--prompts",
            "listed",
            type=PromptsType(),
            help="JSON file, or - for stdin, with objects as HTTP takes them: points, box, mask.",
        ),
        click.option(
            "--one-object",
            is_flag=True,
            help="Points, box and mask are one object: points and box correct the mask.",
        ),
        click.option("--min-score", type=Number(0, 1), help="Drop what scores lower."),
        click.option("--max-segments", type=click.IntRange(1, 100_000), help="Keep the best."),
        click.option(
            "--category",
            "categories",
            multiple=True,
            metavar="NAME|ID",
            shell_complete=complete_categories,
            help="Only objects of this class of the model; may be repeated.",
        ),
        click.option("--all-candidates", is_flag=True, help="Every mask of an ambiguous prompt."),
        *AUTOMATIC_OPTIONS,
    ]
)


@dataclass(frozen=True)
class Asked:
    """What a command asks, before it is known what the model calls it."""

    task: str | None
    prompts: Sequence[Prompt] | None
    points: Sequence[Point] | None
    boxes: Sequence[Box] | None
    output: OutputOptions
    automatic: AutomaticOptions | None
    categories: tuple[str, ...]

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of ``Client.segment`` and its like, without the categories."""
        names = ("task", "prompts", "points", "boxes", "output", "automatic")
        return {name: getattr(self, name) for name in names}

    def of_model(self, client: Client, model: str | None) -> dict[str, Any]:
        """Arguments for one model, whose card is asked for if that is needed.

        Raises:
            DiptychError: the model has no such category, or no mode that options are for.
        """
        if not self.categories and self.automatic is None:
            return self.arguments
        try:
            return self.of_cards([client.model_card(model)])
        except AuthenticationError:  # a token that is for asking alone
            if not all(one.isdecimal() for one in self.categories):
                raise
            ids = tuple(map(int, self.categories))
            return self.arguments | {"output": replace(self.output, category_ids=ids)}

    def of_models(self, client: Client, models: Sequence[str]) -> dict[str, Any]:
        """Arguments for these models of a gateway, or for all of it that do the task."""
        if not self.categories and self.automatic is None:
            return self.arguments
        known = [one.card for one in client.model_cards() if one.card is not None]
        asked = Task(self.task) if self.task else self._usual_task
        chosen = [one for one in known if (one.id in models if models else asked in one.tasks)]
        return self.of_cards(chosen)

    def of_cards(self, cards: Sequence[ModelCard]) -> dict[str, Any]:
        """Arguments for the models of these cards."""
        check_automatic(self.automatic, cards)
        return self.arguments | {"output": with_categories(self.output, self.categories, cards)}

    @property
    def _usual_task(self) -> Task:
        prompted = self.prompts or self.points or self.boxes
        return Task.PROMPTED_SEGMENTATION if prompted else Task.INSTANCE_SEGMENTATION


def asked(
    *,
    task: str | None,
    points: Sequence[Point],
    boxes: Sequence[Box],
    masks: Sequence[Path],
    listed: Sequence[Prompt] | None,
    one_object: bool,
    min_score: float | None,
    max_segments: int | None,
    categories: tuple[str, ...],
    all_candidates: bool,
    **automatic: Any,
) -> Asked:
    """What is asked, from ``ask_options``."""
    prompts = [Prompt(mask=_mask(path)) for path in masks]
    if one_object and listed:
        raise click.UsageError("--one-object is for points, boxes and masks, not for --prompts.")
    prompts = [*(listed or ()), *prompts]
    if one_object:
        prompts, points, boxes = [_one_object(prompts, points, boxes)], (), ()
    return Asked(
        task,
        # An option that was not given is not a list of nothing.
        prompts or None,
        points or None,
        boxes or None,
        OutputOptions(
            min_score=min_score, max_segments=max_segments, all_candidates=all_candidates
        ),
        automatic_options(automatic, prompted=bool(prompts or points or boxes)),
        categories,
    )


def _one_object(masks: list[Prompt], points: Sequence[Point], boxes: Sequence[Box]) -> Prompt:
    for name, given in (("--mask", masks), ("--box", boxes)):
        if len(given) > 1:
            raise click.BadParameter(
                f"expected at most one with --one-object, got {len(given)}.", param_hint=name
            )
    mask = masks[0].mask if masks else None
    return Prompt(tuple(points), boxes[0] if boxes else None, mask)


def _mask(path: Path) -> Mask:
    try:
        mask = Mask.from_png(path.read_bytes())
        mask.counts  # noqa: B018  decodes, so that a broken file is noticed here
        return mask
    except ValueError as error:
        raise click.BadParameter(f"{path}: {error}", param_hint="--mask") from error
