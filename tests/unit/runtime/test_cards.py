"""Model cards: complete or refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_engine import CARD, FakeEngine

from diptych import Task
from diptych.limits import MAX_REQUEST_BYTES
from diptych.segment import v1 as pb
from diptych_runtime.engine import LoadedModel, LoadedWeights, Variant
from diptych_runtime.settings import RuntimeSettings
from diptych_runtime.wire.cards import CardError, build_card

SETTINGS = RuntimeSettings(max_prompts=7, max_grid_points=99)


@pytest.fixture
def loaded() -> LoadedModel:
    return FakeEngine().load()


def test_what_was_loaded_is_in_the_card(loaded: LoadedModel) -> None:
    loaded = replace(
        loaded,
        variants=(Variant("large", 5, 6),),
        keypoint_names=("nose", "tail"),
        keypoint_edges=((0, 1),),
    )
    card = build_card(loaded, SETTINGS)
    assert card.id == "fake"
    assert (card.licenses.published, card.tier) == ("none", "exact")
    assert list(card.tasks) == [
        pb.Task.TASK_INSTANCE_SEGMENTATION,
        pb.Task.TASK_OBJECT_DETECTION,
        pb.Task.TASK_PROMPTED_SEGMENTATION,
    ]
    assert [(c.id, c.name) for c in card.categories] == [(1, "thing"), (2, "other")]
    assert card.weights[0].sha256 == bytes(32)
    assert card.variants[0].size_bytes == 6
    assert list(card.keypoint_schema.edges) == [0, 1]
    assert card.default_automatic.points_per_side == 4
    assert card.limits.max_message_bytes == MAX_REQUEST_BYTES
    assert (card.limits.max_prompts, card.limits.max_grid_points) == (7, 99)


def test_what_answers_hold_follows_from_what_was_loaded(loaded: LoadedModel) -> None:
    kinds = pb.OutputKind
    three = [kinds.OUTPUT_KIND_LABEL, kinds.OUTPUT_KIND_BOX, kinds.OUTPUT_KIND_MASK]
    assert list(build_card(loaded, SETTINGS).output_kinds) == three
    points = replace(loaded, categories=(), tasks=(Task.KEYPOINT_DETECTION,))
    assert list(build_card(points, SETTINGS).output_kinds) == [
        kinds.OUTPUT_KIND_BOX,
        kinds.OUTPUT_KIND_KEYPOINT,
    ]
    follows = replace(loaded, categories=(), tasks=(Task.VIDEO_SEGMENTATION,))
    assert kinds.OUTPUT_KIND_TRACK in build_card(follows, SETTINGS).output_kinds


def test_architecture_and_weights_make_the_overview(loaded: LoadedModel) -> None:
    told = {"architecture": {"name": "Net", "overview": "A net."}, "weights_overview": "Trained."}
    card = build_card(replace(loaded, card={**CARD, **told}), SETTINGS)
    assert card.overview == "A net.\n\nTrained."
    assert (card.architecture.overview, card.weights_overview) == ("A net.", "Trained.")
    alone = {key: value for key, value in {**CARD, **told}.items() if key != "overview"}
    assert build_card(replace(loaded, card=alone), SETTINGS) == card
    assert not build_card(loaded, SETTINGS).HasField("architecture")
    one = build_card(replace(loaded, card={**CARD, "weights_overview": "Trained."}), SETTINGS)
    assert one.overview == f"{CARD['overview']}\n\nTrained."


def test_no_grid_without_an_automatic_mode(loaded: LoadedModel) -> None:
    card = build_card(replace(loaded, default_automatic=None), SETTINGS)
    assert not card.HasField("default_automatic")
    assert card.limits.max_grid_points == 0


@pytest.mark.parametrize("name", sorted(set(CARD) - {"prompt_kinds"}))
def test_a_missing_field_is_named(loaded: LoadedModel, name: str) -> None:
    without = {key: value for key, value in CARD.items() if key != name}
    with pytest.raises(CardError, match=name):
        build_card(replace(loaded, card=without), SETTINGS)
    with pytest.raises(CardError, match=name):
        build_card(replace(loaded, card={**CARD, name: ""}), SETTINGS)


@pytest.mark.parametrize(
    "wrong", [{"release_date": "2024"}, {"colour": "red"}, {"prompt_kinds": ["PROMPT_KIND_HINT"]}]
)
def test_a_wrong_field_is_named(loaded: LoadedModel, wrong: dict[str, object]) -> None:
    with pytest.raises(CardError, match=next(iter(wrong))):
        build_card(replace(loaded, card={**CARD, **wrong}), SETTINGS)


def test_every_task_has_weights(loaded: LoadedModel) -> None:
    some = LoadedWeights("some", bytes(32), "", 0, (Task.INSTANCE_SEGMENTATION,))
    with pytest.raises(CardError, match="object-detection, prompted-segmentation"):
        build_card(replace(loaded, weights=(some,)), SETTINGS)
    with pytest.raises(CardError, match="any task"):
        build_card(replace(loaded, tasks=()), SETTINGS)
