"""Results drawn on frames: what changes, and what does not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diptych import (
    Box,
    Mask,
    Segment,
    VideoFrame,
    VideoFrameResult,
    VideoObject,
    VideoPanel,
    side_by_side,
)
from diptych._drawing.palette import color

SIZE = (120, 200)
GREY = np.full((*SIZE, 3), 128, np.uint8)
SERVER_ID = 2**30 + 7


def rgb(object_id: int) -> np.ndarray:
    ink = color(object_id)
    return np.array([int(ink[at : at + 2], 16) for at in (1, 3, 5)])


def followed(object_id: int, box: tuple[int, int, int, int], label: str = "") -> VideoObject:
    left, top, right, bottom = box
    array = np.zeros(SIZE, bool)
    array[top:bottom, left:right] = True
    mask = Mask.from_array(array)
    segment = Segment(score=0.9, box=mask.box, mask=mask, area=mask.area, label=label)
    return VideoObject(object_id, segment, 0.93)


def result(*objects: VideoObject) -> VideoFrameResult:
    return VideoFrameResult(3, 0, objects, SIZE)


def test_masks_are_tinted_and_outlined() -> None:
    drawn = result(followed(1, (50, 40, 150, 100))).draw(GREY)
    assert (drawn.shape, drawn.dtype) == (GREY.shape, np.uint8)
    inside = 128 * 0.58 + rgb(1) * 0.42
    assert np.abs(drawn[70, 100] - inside).max() <= 2
    for y, x in ((40, 149), (99, 60), (60, 149), (60, 50)):
        assert np.abs(drawn[y, x].astype(int) - rgb(1)).max() <= 1
    untouched = np.ones(SIZE, bool)
    untouched[20:100, 50:150] = False  # the mask, and its label above it
    assert (drawn[untouched] == 128).all()
    assert (drawn[20:39, 50:90] != 128).any()
    assert (GREY == 128).all()  # the caller's frame stays as it was


def test_colours_belong_to_ids() -> None:
    alone = result(followed(3, (20, 60, 60, 100))).draw(GREY)
    second = result(followed(9, (120, 60, 160, 100)), followed(3, (20, 60, 60, 100))).draw(GREY)
    assert (alone[80, 40] == second[80, 40]).all()
    assert (second[80, 40] != second[80, 140]).any()


def test_small_objects_are_drawn_over_large_ones() -> None:
    small, large = followed(1, (80, 60, 100, 80)), followed(2, (20, 20, 180, 110))
    drawn = result(small, large).draw(GREY)
    assert (drawn == result(large, small).draw(GREY))[20:, :].mean() > 0.9
    assert np.abs(drawn[60, 90].astype(int) - rgb(1)).max() <= 1


@pytest.mark.parametrize("box", [(0, 0, 30, 20), (180, 0, 200, 10), (150, 100, 200, 120)])
def test_labels_stay_inside(box: tuple[int, int, int, int]) -> None:
    named = followed(SERVER_ID, box, "a label that is far too long for such a picture")
    drawn = result(named).draw(GREY)
    assert drawn.shape == GREY.shape
    assert (drawn != 128).any(axis=2).sum() > named.segment.area


def test_labels_do_not_cover_each_other() -> None:
    box = (60, 60, 110, 110)
    one, two, three = (followed(n, box) for n in (1, 2, 3))
    drawn = result(one, two, three).draw(GREY)
    # Outlines coincide, so what is left of the colours of the first two is the ground of a label.
    for number in (1, 2, 3):
        assert np.all(drawn == rgb(number), axis=2).sum() > 100


def test_labels_say_name_class_and_presence(monkeypatch: pytest.MonkeyPatch) -> None:
    import diptych._drawing.marks as module

    said: list[tuple[str, str]] = []
    label = module._label

    def noted(text: str, ground: str, size_px: int) -> np.ndarray:
        said.append((text, ground))
        return label(text, ground, size_px)

    monkeypatch.setattr(module, "_label", noted)
    box = (50, 40, 90, 80)
    result(followed(4, box), followed(5, box, "ball"), followed(SERVER_ID, box, "box")).draw(GREY)
    assert said == [
        ("4 0.93", color(4)),
        ("5 ball 0.93", color(5)),
        ("auto 7 box 0.93", color(SERVER_ID)),
    ]


def test_hidden_objects_leave_no_trace() -> None:
    gone = VideoObject(2, Segment(score=0.1), 0.1)
    empty = VideoObject(3, Segment(score=0.1, mask=Mask.from_array(np.zeros(SIZE))), 0.1)
    assert (result(gone, empty).draw(GREY) == GREY).all()


def test_boxes_without_masks_are_labelled() -> None:
    boxed = VideoObject(2, Segment(score=0.9, box=Box(50, 50, 90, 90)), 0.9)
    assert (result(boxed).draw(GREY) != GREY).any()


def test_any_kind_of_frame_can_be_drawn_on(tmp_path: Path) -> None:
    path = tmp_path / "frame.png"
    Image.fromarray(GREY).save(path)
    asked = result(followed(1, (50, 40, 150, 100)))
    wanted = asked.draw(GREY)
    read_only = np.broadcast_to(np.uint8(128), GREY.shape)
    whole = VideoFrame(3, 0.1, path.read_bytes())
    for frame in (read_only, path, str(path), path.read_bytes(), Image.open(path), whole):
        assert (asked.draw(frame) == wanted).all()


def test_frames_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="frame of the result, 200x120 px, got 199x120 px"):
        result().draw(GREY[:, 1:])
    with pytest.raises(ValueError, match="expected an array"):
        result().draw(GREY[..., :2])


def test_drawing_needs_no_extra() -> None:
    program = (
        "import sys\n"
        "for name in ('av', 'matplotlib', 'supervision'): sys.modules[name] = None\n"
        "import numpy as np, diptych as d\n"
        "m = d.Mask.from_array(np.ones((40, 40)))\n"
        "o = d.VideoObject(1, d.Segment(score=1, mask=m, box=m.box, area=1600), 1.0)\n"
        "print(d.VideoFrameResult(0, 0, (o,), (40, 40)).draw(np.zeros((40, 40, 3), 'uint8')).max())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert int(done.stdout) > 0


def test_panels_stand_side_by_side() -> None:
    red = np.full((120, 200, 3), (200, 0, 0), np.uint8)
    low = np.full((60, 100, 3), (0, 0, 200), np.uint8)
    canvas = side_by_side([VideoPanel("one", red, note="frame 3"), VideoPanel("two", low)])
    strip = canvas.shape[0] - 120
    assert strip >= 20
    assert canvas.shape[1] > 300
    assert (canvas[strip:, :200] == red).all()
    assert (canvas[strip : strip + 60, -100:] == low).all()
    assert (canvas[strip + 60 :, -100:] == 255).all()
    for left, right in ((0, 60), (150, 200), (canvas.shape[1] - 100, canvas.shape[1] - 60)):
        assert (canvas[:strip, left:right] < 128).any()  # title, note, title


def test_a_failed_panel_says_why() -> None:
    plain = side_by_side([VideoPanel("one", GREY)])
    failed = side_by_side([VideoPanel("one", GREY, error="not reachable, and more words " * 40)])
    assert failed.shape == plain.shape
    body = failed[-120:].astype(int)
    assert (body[0, 0] > 200).all()  # the picture, paled
    alarm = (body[..., 0] > 140) & (body[..., 1] < 60) & (body[..., 2] < 80)
    assert alarm.sum() > 50


def test_titles_fit_narrow_panels() -> None:
    narrow = np.zeros((300, 20, 3), np.uint8)
    panel = VideoPanel("a very long model id", narrow, note="frame 100000", error="no room at all")
    assert side_by_side([panel, replace(panel, error="")]).shape[1] == 44
    with pytest.raises(ValueError, match="expected at least one"):
        side_by_side([])
