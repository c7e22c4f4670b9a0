"""Clicks and clips with both models as their users start them: two scenes and a short clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from drawn_dataset import draw, write_coco, write_davis
from stack import Stack

from diptych import Client, ModelCard, OutputOptions, Prompt
from diptych_eval.asking.clicker import next_click
from diptych_eval.asking.clicks import ask_clicks, prompt_box
from diptych_eval.asking.video import ask_clip
from diptych_eval.data.opening import open_dataset
from diptych_eval.figures.prompted import prompted_figures
from diptych_eval.figures.video import video_figures
from diptych_eval.model import Dataset, Picture
from diptych_eval.results import Answer

MODELS = ("sam-2", "mask-rcnn")
FRAMES = 5


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(write_coco(draw(2), tmp_path_factory.mktemp("coco")))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(write_davis(tmp_path_factory.mktemp("davis"), frames=FRAMES))


@pytest.fixture(scope="module")
def cards(stack: Stack) -> Mapping[str, ModelCard]:
    with Client(stack.address("gateway")) as client:
        return {model: client.model_card(model) for model in MODELS}


@pytest.fixture(scope="module")
def asked(
    stack: Stack, pictures: Dataset, cards: Mapping[str, ModelCard]
) -> dict[str, dict[str, Answer]]:
    """By model and picture: three clicks in any case, no more than six."""
    with Client(stack.address("gateway"), timeout=60) as client:
        return {
            model: {
                each.name: ask_clicks(
                    client, cards[model], each, each.path.read_bytes(), clicks=(1, 3), max_clicks=6
                )
                for each in pictures.pictures
            }
            for model in MODELS
        }


def test_sam_2_is_corrected_and_mask_rcnn_takes_one_click(
    pictures: Dataset, asked: dict[str, dict[str, Answer]]
) -> None:
    figures = {
        model: prompted_figures(pictures, asked[model], clicks=(1, 3), max_clicks=6).values
        for model in MODELS
    }
    objects = sum(len(each.truths) for each in pictures.pictures)
    for model in MODELS:
        box, click = (figures[model][f"prompted/{name}"] for name in ("box-mIoU", "mIoU@1"))
        assert box.count == click.count == objects
        assert 0.6 < (box.value or 0) < 1
        assert 0.3 < (click.value or 0) < 1
    assert figures["sam-2"]["prompted/mIoU@3"].count == objects
    assert figures["sam-2"]["prompted/NoC6@90"].value is not None
    assert "not applicable" in figures["mask-rcnn"]["prompted/mIoU@3"].why
    assert all(answer.cost.calls == 2 for answer in asked["mask-rcnn"].values())


def test_good_objects_are_left_alone_after_what_was_wanted(
    asked: dict[str, dict[str, Answer]],
) -> None:
    for answer in asked["sam-2"].values():
        found = [each["clicks"] for each in answer.value["objects"].values()]
        for ious in found:
            assert all(iou < 0.9 for iou in ious[2:-1])
            assert len(ious) == 6 or ious[-1] >= 0.9
        assert answer.cost.calls == 1 + max(map(len, found))
        assert answer.cost.service_s > 0


def test_asking_together_is_as_asking_one_by_one(
    stack: Stack,
    pictures: Dataset,
    cards: Mapping[str, ModelCard],
    asked: dict[str, dict[str, Answer]],
) -> None:
    """One object, asked by hand: a box, a click, and another with the logits of the first."""
    picture: Picture = pictures.pictures[0]
    truth = picture.truths[0]
    assert truth.mask
    expected = asked["sam-2"][picture.name].value["objects"][str(truth.id)]
    pixels, clicks, ious, logits = truth.mask.to_array(), [], [], None
    shown = pixels & False
    with Client(stack.address("gateway"), timeout=60) as client:
        box = client.segment(
            picture.path, model="sam-2", boxes=[prompt_box(truth, truth.mask)]
        ).segments[0]
        for _ in range(2):
            click = next_click(shown, pixels, clicks)
            assert click
            clicks.append(click)
            prompt = Prompt(points=tuple(each.point for each in clicks), mask=logits)
            output = OutputOptions(low_res_logits=True)
            found = client.segment(picture.path, model="sam-2", prompts=[prompt], output=output)
            (best,) = found.segments
            assert best.mask
            logits, shown = best.low_res_logits, best.mask.to_array()
            ious.append(best.mask.iou(truth.mask))
    assert box.mask
    assert expected["box"] == pytest.approx(box.mask.iou(truth.mask), abs=0.01)
    assert expected["clicks"][:2] == pytest.approx(ious, abs=0.01)


@pytest.mark.parametrize("model", MODELS)
def test_a_clip_is_followed_to_its_end(
    client: Client, clips: Dataset, cards: Mapping[str, ModelCard], model: str
) -> None:
    """Mask R-CNN refuses an object that is where another is: all but that one are followed."""
    (clip,) = clips.clips
    twin = clip.object_ids[-1] + 1
    labels = {
        index: {**masks, twin: masks[clip.object_ids[0]]}
        for index, masks in clip.labels.items()
        if clip.object_ids[0] in masks
    }
    answer = ask_clip(client, cards[model], replace(clip, labels=labels))
    assert answer.value["first"] == ("mask" if model == "sam-2" else "box")
    assert len(answer.value["frames"]) == FRAMES
    assert answer.cost.service_s > 0  # frames overlap: their work may add up to more than it took
    refused = answer.value["refused"]
    assert (str(twin) in refused) == (model == "mask-rcnn")
    assert all("expected an object of its own" in why for why in refused.values())
    for found in answer.value["frames"].values():
        assert not set(found) & set(refused)
    figures = video_figures(clips, {clip.name: answer})
    assert 0.1 < (figures.values["video/J&F"].value or 0) <= 1
    assert figures.values["video/J"].count == len(clip.object_ids)
    assert any("refused" in note for note in figures.notes) == bool(refused)


def test_an_object_that_is_labelled_late_is_followed_from_there(
    client: Client, clips: Dataset, cards: Mapping[str, ModelCard]
) -> None:
    (clip,) = clips.clips
    late = clip.object_ids[-1]
    labels = {
        index: {key: mask for key, mask in masks.items() if key != late or index >= 2}
        for index, masks in clip.labels.items()
    }
    without = replace(clip, labels=labels)
    frames = ask_clip(client, cards["sam-2"], without).value["frames"]
    assert [str(late) in frames[str(index)] for index in range(FRAMES)] == [False] * 2 + [True] * 3
