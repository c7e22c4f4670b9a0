"""What is shown of a model whose replicas are not the same."""

from __future__ import annotations

from typing import Any

import pytest

from diptych.segment import v1 as pb
from diptych_gateway.backend.variants import difference, shown_card, unfit


def card(digit: int, **fields: Any) -> pb.ModelCard:
    made = pb.ModelCard(id="sam-2", **fields)
    made.weights.add(name="tiny", sha256=bytes([digit]) * 32)
    return made


OLD, NEW = card(1), card(2)


@pytest.mark.parametrize(
    ("cards", "before", "shown"),
    [
        ([], None, None),
        ([], OLD, OLD),
        ([OLD], None, OLD),
        ([NEW], OLD, NEW),
        ([OLD, NEW], None, OLD),
        ([OLD, NEW], NEW, NEW),
        ([NEW, OLD], OLD, OLD),
        ([NEW, OLD, NEW], OLD, NEW),
        ([OLD, OLD, NEW], NEW, OLD),
    ],
)
def test_the_card_of_most_is_shown(cards: list[Any], before: Any, shown: Any) -> None:
    assert shown_card(cards, before) == shown


def test_a_roll_out_changes_what_is_shown_once() -> None:
    """Three old ones become new ones, each of which is away for a while."""
    shown, changes = OLD, 0
    for step in ("OOO", "OO", "NOO", "NO", "NNO", "NN", "NNN"):
        now = shown_card([NEW if kind == "N" else OLD for kind in step], shown)
        changes += now != shown
        shown = now or shown
    assert (changes, shown) == (1, NEW)


def test_of_equal_weights_the_card_shown_stays() -> None:
    fast, exact = card(1, tier="fast"), card(1, tier="exact")
    assert shown_card([fast, exact], exact) == exact
    assert shown_card([fast], exact) == fast


def test_what_differs_is_named() -> None:
    assert difference(OLD, OLD) == difference(None, OLD) == difference(OLD, None) == ""
    assert difference(NEW, OLD) == (
        "other weights than the card that is shown, which names 010101010101"
    )
    assert difference(OLD, pb.ModelCard(id="sam-2")).endswith("which names none")
    other = card(1, tier="fast", tasks=[pb.Task.TASK_INSTANCE_SEGMENTATION])
    assert difference(other, OLD) == "its card differs in tasks, tier"
    assert difference(other, card(1, tier="fast", overview="long")) == (
        "its card differs in tasks, overview"
    )
    many = card(1, **dict.fromkeys(("display_name", "organization", "category", "modality"), "x"))
    many.overview = many.tier = many.weights_date = "x"
    assert difference(many, OLD).endswith(" and 2 more")


def test_another_model_is_no_replica() -> None:
    assert unfit(OLD, "sam-2") == ""
    assert unfit(OLD, "mask-rcnn") == "calls itself 'sam-2'"
