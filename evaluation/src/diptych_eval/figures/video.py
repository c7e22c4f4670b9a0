"""J, F and J&F of objects followed through clips, as SA-V's ``sav_evaluator`` counts them."""

from __future__ import annotations

from collections.abc import Mapping

from ..model import Clip, Dataset
from ..results import Answer
from .prompted import TaskFigures


def jf(
    clip: Clip, answer: Answer, *, skip_first_and_last: bool = True
) -> dict[int, tuple[float, float]]:
    """Compute J and F in percent of each object that is seen in the truth, by object id."""
    raise NotImplementedError


def video_figures(
    dataset: Dataset, answers: Mapping[str, Answer], *, skip_first_and_last: bool = True
) -> TaskFigures:
    """Compute ``video/J``, ``video/F`` and ``video/J&F``, range [0, 1], over all objects.

    Args:
        dataset: its clips are counted; of DAVIS, objects that overlap are laid over one another.
        answers: of one model, by clip's name; clips without one are left out.
        skip_first_and_last: leave out the first and last labelled frame, as SA-V and DAVIS do.
    """
    raise NotImplementedError
