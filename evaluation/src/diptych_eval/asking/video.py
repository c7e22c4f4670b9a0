"""Asks a model to follow the labelled objects of a clip."""

from __future__ import annotations

from typing import Literal

from diptych import Client, ModelCard

from ..model import Clip
from ..results import Answer


def ask_clip(
    client: Client,
    model: ModelCard,
    clip: Clip,
    *,
    first: Literal["mask", "box"] = "mask",
    key: str = "",
) -> Answer:
    """Ask for each object from the first frame in which it is labelled, and follow it to the end.

    Args:
        client: of a gateway or of the model's service.
        model: its card; one that takes no masks as prompts is given boxes.
        clip: its frames' files are sent as they are.
        first: what says where an object is.
        key: of the answer.

    Raises:
        DiptychError: a frame or prompt was refused, or the session was lost three times.
        OSError: a frame cannot be read.
    """
    raise NotImplementedError
