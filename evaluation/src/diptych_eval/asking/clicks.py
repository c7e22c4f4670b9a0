"""Asks a model for every labelled object of a picture: by its box, then click by click."""

from __future__ import annotations

from collections.abc import Sequence

from diptych import Client, ModelCard

from ..model import Picture
from ..results import Answer


def ask_clicks(
    client: Client,
    model: ModelCard,
    picture: Picture,
    data: bytes,
    *,
    clicks: Sequence[int] = (1, 3, 5),
    max_clicks: int = 20,
    key: str = "",
) -> Answer:
    """Ask for all objects of a picture at once, in one request a round.

    A model that takes masks as prompts is corrected: it gets its own logits back, and clicks until
    an object is at IoU .90 and past the last of ``clicks``. Any other gets one click.

    Args:
        client: of a gateway or of the model's service.
        model: its card; ``model.id`` is asked.
        picture: its truths but crowds and those without a mask are asked for.
        data: the picture's file.
        clicks: after how many the IoU is wanted in any case.
        max_clicks: no more than these.
        key: of the answer.

    Raises:
        DiptychError: a request failed.
        ValueError: the model saw a picture of another size than the truth has.
    """
    raise NotImplementedError
