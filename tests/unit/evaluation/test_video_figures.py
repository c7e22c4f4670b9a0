"""J and F equal the recorded output of SA-V's evaluator to the last digit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diptych import Mask
from diptych_eval.figures.video import DAVIS_NOTE, jf, video_figures
from diptych_eval.model import Clip, Dataset
from diptych_eval.results import Answer, Cost

RECORDED = json.loads(
    (Path(__file__).parents[2] / "assets/evaluation/sav_evaluator.json").read_text()
)
SIZE = tuple(RECORDED["size"])


def recorded(number: int) -> tuple[Clip, dict[str, Any], dict[str, Any]]:
    """A clip, an answer's frames, and what the evaluator said."""
    said = RECORDED["clips"][number]
    labels = {
        index: {int(key): Mask.from_coco(counts, SIZE) for key, counts in frame.items()}
        for index, frame in enumerate(said["truth"])
    }
    frames = {
        str(index): {key: {"size": list(SIZE), "counts": rle} for key, rle in frame.items()}
        for index, frame in enumerate(said["answer"])
    }
    files = tuple(Path(f"{index:05d}.jpg") for index in range(len(labels)))
    return Clip(f"clip{number}", files, *SIZE, labels), frames, said


def answer(name: str, frames: dict[str, Any]) -> Answer:
    return Answer(name, "", {"first": "mask", "refused": {}, "frames": frames}, Cost(0, 0, 0))


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("form", ["sa-v", "davis"])
@pytest.mark.parametrize("skip", [True, False])
def test_every_object_is_as_sav_evaluator_says(number: int, form: str, skip: bool) -> None:
    clip, frames, said = recorded(number)
    expected = said[f"{form}, {'inner' if skip else 'all'}"]
    found = jf(clip, frames, apart=form == "davis", skip=skip)
    assert {str(key): list(value) for key, value in found.items()} == expected


@pytest.mark.parametrize("form", ["sa-v", "davis"])
def test_figures_are_means_over_all_objects_of_all_clips(form: str) -> None:
    clips, answers, expected = [], {}, []
    for number in range(3):
        clip, frames, said = recorded(number)
        clips.append(clip)
        answers[clip.name] = answer(clip.name, frames)
        expected += said[f"{form}, inner"].values()
    dataset = Dataset("drawn", form, Path(), frozenset(), clips=tuple(clips))
    figures = video_figures(dataset, answers)
    j, f = np.mean(expected, axis=0) / 100
    assert figures.values["video/J"].value == pytest.approx(j, abs=1e-15)
    assert figures.values["video/F"].value == pytest.approx(f, abs=1e-15)
    assert figures.values["video/J&F"].value == pytest.approx((j + f) / 2, abs=1e-15)
    assert figures.values["video/J"].count == len(expected)
    assert set(figures.per_picture["video/J&F"]) == {"clip0", "clip1", "clip2"}
    assert figures.notes == ((DAVIS_NOTE,) if form == "davis" else ())


def test_frames_without_labels_do_not_count_and_lost_objects_are_empty() -> None:
    square = Mask.from_crop(np.ones((4, 4), bool), 2, 2, (12, 12))
    rle = {"size": [12, 12], "counts": square.to_coco().decode()}
    labels = {index: {1: square} for index in (0, 2, 4, 6)}
    clip = Clip("sparse", (), 12, 12, labels)
    frames = {str(index): {"1": rle} for index in (0, 1, 2)}
    assert jf(clip, frames, apart=False) == {1: (50.0, 50.0)}
    assert jf(clip, frames, apart=False, skip=False) == {1: (50.0, 50.0)}
    assert jf(clip, {}, apart=False) == {1: (0.0, 0.0)}


def test_what_cannot_be_computed_says_why() -> None:
    clip, _, _ = recorded(0)
    dataset = Dataset("drawn", "sa-v", Path(), frozenset(), clips=(clip,))
    refused = Answer(clip.name, "", {}, Cost(0, 0, 0), error="the frame is broken")
    for answers in ({}, {clip.name: refused}):
        for value in video_figures(dataset, answers).values.values():
            assert value.value is None
            assert value.why


def test_a_refused_object_counts_as_never_found_and_is_said() -> None:
    clip, frames, _ = recorded(0)
    without = {
        index: {key: rle for key, rle in frame.items() if key != "1"}
        for index, frame in frames.items()
    }
    refused = {"first": "box", "refused": {"1": "that of object 2"}, "frames": without}
    dataset = Dataset("drawn", "sa-v", Path(), frozenset(), clips=(clip,))
    figures = video_figures(dataset, {clip.name: Answer(clip.name, "", refused, Cost(0, 0, 0))})
    assert figures.values["video/J"].count == 3
    assert figures.notes == ("Objects whose prompt the model refused count as never found: 1.",)
    assert jf(clip, without, apart=False)[1] == (0.0, 0.0)
