"""The card of two models together."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest

from diptych.segment import v1 as pb
from diptych.wire.requests import read_task
from diptych_gateway.cascade.card import compose, unfit
from diptych_runtime.engine import LoadedModel, LoadedWeights
from diptych_runtime.settings import RuntimeSettings
from diptych_runtime.wire.cards import build_card
from diptych_sam2.card import read_card as sam_2_card
from diptych_torch.card import read_card

INSTANCE = pb.Task.TASK_INSTANCE_SEGMENTATION
PROMPTED = pb.Task.TASK_PROMPTED_SEGMENTATION
MEASURED = files("diptych_gateway") / "cascade" / "measured.json"
NOT_FOR_IMAGES_OF_TWO = {
    "prompt_kinds",  # it takes none
    "metrics",  # none were measured on these weights
    "variants",  # the parts' cards have theirs
    "context_window",
    "keypoint_schema",
    "foundation",
    "default_automatic",
    "zero_shot",  # what the detector was not trained on is not found
}


def card_of(fields: Any, weights: str, *tasks: int, **more: Any) -> pb.ModelCard:
    """A card as the service of the demo weights makes it."""
    loaded = LoadedModel(
        card=fields,
        tasks=tuple(task for value in tasks if (task := read_task(value))),
        weights=(LoadedWeights(weights, bytes(32), "", 7),),
        device="cpu",
        dtype="float32",
        tier="exact",
        software="none",
        **more,
    )
    return build_card(loaded, RuntimeSettings())


@pytest.fixture
def detector() -> pb.ModelCard:
    return card_of(
        read_card("diptych_maskrcnn", ["demo"]),
        "eyes",
        INSTANCE,
        parameter_count=100,
        categories=((1, "ball"), (2, "box")),
        default_min_score=0.5,
        default_max_segments=100,
    )


@pytest.fixture
def segmenter() -> pb.ModelCard:
    return card_of(
        sam_2_card("demo").fields,
        "hand",
        PROMPTED,
        INSTANCE,
        parameter_count=23,
        default_min_score=0.0,
        default_max_segments=1000,
    )


def test_what_it_takes_from_whom(detector: pb.ModelCard, segmenter: pb.ModelCard) -> None:
    card = compose("mask-rcnn-sam-2", detector, segmenter)
    assert card.id == "mask-rcnn-sam-2"
    assert card.display_name == "Mask R-CNN (demo weights) → SAM 2 (demo weights)"
    assert card.release_date == "2024-07"
    assert card.parameter_count == 123
    assert card.licenses.code == "BSD-3-Clause AND Apache-2.0"
    assert card.licenses.weights == "Apache-2.0"
    assert list(card.tasks) == [INSTANCE]
    assert not card.prompt_kinds
    assert not card.metrics
    assert [(c.id, c.name) for c in card.categories] == [(1, "ball"), (2, "box")]
    assert [w.name for w in card.weights] == ["eyes", "hand"]
    assert (card.default_min_score, card.default_max_segments) == (0.5, 100)
    assert set(card.references) == {*detector.references, *segmenter.references}
    assert "Mask R-CNN (demo weights)" in card.overview
    assert card.weights_date == "2026-11"


def test_every_field_says_something(detector: pb.ModelCard, segmenter: pb.ModelCard) -> None:
    card = compose("mask-rcnn-sam-2", detector, segmenter)
    filled = {field.name for field, _ in card.ListFields()}
    assert filled | NOT_FOR_IMAGES_OF_TWO == {f.name for f in card.DESCRIPTOR.fields}
    for texts in (card.intended_uses, card.limitations):
        assert all(text.endswith(".") for text in texts)


def test_its_facts_are_those_of_the_two_in_a_row(
    detector: pb.ModelCard, segmenter: pb.ModelCard
) -> None:
    card = compose("mask-rcnn-sam-2", detector, segmenter)
    kinds = pb.OutputKind
    assert list(card.output_kinds) == [
        kinds.OUTPUT_KIND_LABEL,
        kinds.OUTPUT_KIND_BOX,
        kinds.OUTPUT_KIND_MASK,
    ]
    del detector.categories[:]
    without_classes = compose("mask-rcnn-sam-2", detector, segmenter)
    assert kinds.OUTPUT_KIND_LABEL not in without_classes.output_kinds
    assert (card.architecture.name, card.architecture.organization) == ("Mask R-CNN → SAM 2", "")
    assert "demo" not in card.architecture.overview
    for part in (detector, segmenter):
        assert f"**{part.display_name}.** {part.weights_overview.strip()}" in card.weights_overview
    assert card.overview == f"{card.architecture.overview}\n\n{card.weights_overview}"
    stated = {(s.subject, s.license) for s in card.licenses.statements}
    assert ("Detectron2, its successor", "Apache-2.0") in stated
    assert len(stated) == len(detector.licenses.statements) + len(segmenter.licenses.statements)
    assert "MIT" in card.licenses.note


def test_limits_are_those_that_both_keep(detector: pb.ModelCard, segmenter: pb.ModelCard) -> None:
    detector.limits.max_image_px, segmenter.limits.max_image_px = 900, 500
    detector.limits.min_side_px, segmenter.limits.min_side_px = 16, 32
    detector.limits.max_aspect_ratio, segmenter.limits.max_aspect_ratio = 20, 0
    detector.limits.max_segments, segmenter.limits.max_segments = 300, 200
    limits = compose("both", detector, segmenter).limits
    assert (limits.max_image_px, limits.min_side_px, limits.max_aspect_ratio) == (500, 32, 20)
    assert (limits.max_segments, limits.max_prompts, limits.max_video_objects) == (300, 0, 0)


def test_what_either_lacks(detector: pb.ModelCard, segmenter: pb.ModelCard) -> None:
    assert unfit(detector, segmenter) == ""
    segmenter.weights_date, segmenter.category = "", "closed"
    card = compose("both", detector, segmenter)
    assert (card.weights_date, card.category) == ("", "closed")
    del segmenter.prompt_kinds[:]
    assert unfit(detector, segmenter) == "sam-2 does not outline what is in a box"
    assert not compose("both", detector, segmenter).tasks
    del detector.tasks[:]
    assert unfit(detector, segmenter) == "mask-rcnn finds no objects by itself"


def test_it_quotes_what_was_measured_on_the_very_weights_of_both(
    detector: pb.ModelCard, segmenter: pb.ModelCard
) -> None:
    """Not on others of the same name, and not where one of the two was changed."""
    (entry,) = json.loads(MEASURED.read_text())
    digests = {name: bytes.fromhex(entry[name]) for name in ("detector", "segmenter")}
    detector.weights.add(name="body points", sha256=bytes(32))
    detector.weights[0].sha256 = digests["detector"]
    assert not compose("both", detector, segmenter).metrics
    segmenter.weights[0].sha256 = digests["segmenter"]
    quoted = compose("both", detector, segmenter).metrics
    assert [(m.name, m.value) for m in quoted] == [
        (m["name"], m["value"]) for m in entry["metrics"]
    ]
    assert quoted
    detector.weights[0].sha256 = digests["segmenter"]
    assert not compose("both", detector, segmenter).metrics
