"""Anchors of a network: how many each level has is read off the weights, their sizes are not."""

from __future__ import annotations

from dataclasses import dataclass

from diptych_runtime.engine import Fact
from diptych_runtime.weights import WeightsError

from .told import Given

_RATIOS = (0.5, 1.0, 2.0)
_SIZES = (32.0, 64.0, 128.0, 256.0, 512.0)


@dataclass(frozen=True)
class Anchors:
    """Arguments of torchvision's ``AnchorGenerator``, and whether they were told."""

    sizes: tuple[tuple[float, ...], ...]
    ratios: tuple[tuple[float, ...], ...]
    facts: tuple[Fact, ...]


def anchors_of(levels: int, count: int, given: Given) -> Anchors:
    """Choose the anchors of a network with so many levels, and so many at each place of one.

    Without a word from the operator those that torchvision's own functions use.

    Raises:
        WeightsError: there are none of that count, or what is told does not fit the network.
    """
    told = given.told
    sizes = told.anchor_sizes or _usual_sizes(levels, count, given)
    ratios = told.aspect_ratios or [list(_RATIOS)]
    ratios = ratios * levels if len(ratios) == 1 else ratios
    for key, value in (("anchor_sizes", sizes), ("aspect_ratios", ratios)):
        if len(value) != levels:
            raise WeightsError(
                f"{given.file}: {key} is for {len(value)} levels, the network has {levels}"
            )
    made = {len(size) * len(ratio) for size, ratio in zip(sizes, ratios, strict=True)}
    if made != {count}:
        raise WeightsError(
            f"{given.file}: anchor_sizes and aspect_ratios make "
            f"{', '.join(map(str, sorted(made)))} anchors at a place, the network has {count}"
        )
    return Anchors(
        tuple(map(tuple, sizes)),
        tuple(map(tuple, ratios)),
        (
            given.fact("anchor_sizes", sizes),
            given.fact("aspect_ratios", ratios[0] if ratios == ratios[:1] * levels else ratios),
        ),
    )


def _usual_sizes(levels: int, count: int, given: Given) -> list[list[float]]:
    told = given.told.aspect_ratios
    ratios = len(told[0]) if told else len(_RATIOS)
    if count == ratios and levels == len(_SIZES):
        return [[size] for size in _SIZES]
    if count == ratios * len(_SIZES):
        return [list(_SIZES)] * levels
    raise WeightsError(
        f"the network has {levels} levels with {count} anchors at a place, which torchvision "
        f"never makes by itself: say anchor_sizes and aspect_ratios in {given.file}"
    )
