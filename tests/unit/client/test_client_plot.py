"""Figures: what is drawn where, in which colours."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from diptych import (
    Agreement,
    Box,
    Comparison,
    Keypoint,
    Mask,
    Match,
    ModelOutcome,
    Segment,
    SegmentResult,
    UnavailableError,
)
from diptych._drawing.palette import PALETTE, shared_colors, text_color

SIZE = (60, 80)
GREY = np.full((*SIZE, 3), 128, np.uint8)


def square(x: int, y: int, side: int, *, hole: int = 0, label: str = "") -> Segment:
    array = np.zeros(SIZE, bool)
    array[y : y + side, x : x + side] = True
    if hole:
        array[y + hole : y + side - hole, x + hole : x + side - hole] = False
    mask = Mask.from_array(array)
    return Segment(0.5, mask.box, mask, label=label, area=mask.area)


def result(model: str, *segments: Segment) -> SegmentResult:
    return SegmentResult(model, segments, SIZE)


def rendered(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    return np.asarray(Image.open(buffer).convert("RGB")).astype(int)


def pixel(figure: Figure, picture: np.ndarray, panel: int, x: float, y: float) -> np.ndarray:
    """Colour of the figure at a place of the picture in a panel."""
    column, row = figure.axes[panel].transData.transform((x, y))
    return np.asarray(picture[picture.shape[0] - 1 - round(row), round(column)])


def texts(figure: Figure) -> list[str]:
    return [t.get_text() for axes in figure.axes for t in axes.texts] + [
        t.get_text() for t in figure.texts
    ]


def test_masks_are_filled_where_they_are_and_holes_are_not() -> None:
    figure = result("m", square(10, 10, 40, hole=12)).plot(GREY)
    picture = rendered(figure)
    inside = pixel(figure, picture, 0, 16, 40)
    expected = 128 + 0.42 * (np.array(to_rgb(PALETTE[0])) * 255 - 128)
    assert np.abs(inside - expected).max() <= 3
    for x, y in ((30, 30), (70, 50), (4, 4)):
        assert pixel(figure, picture, 0, x, y).tolist() == [128, 128, 128]
    assert picture[2, 2].tolist() == [255, 255, 255]


def test_titles_labels_and_time() -> None:
    shown = texts(result("mask-rcnn", square(5, 20, 20, label="cat"), square(50, 20, 9)).plot(GREY))
    assert "mask-rcnn" in shown
    assert "2 objects · 0 ms" in shown
    assert "cat 0.50" in shown
    assert "#1 0.50" in shown


def comparison() -> Comparison:
    a = result("a", square(5, 5, 20), square(40, 20, 20))
    b = result("b", square(41, 20, 20), square(5, 40, 10))
    agreement = Agreement("a", "b", "mask-iou", (Match(1, 0, 0.9),), (0,), (1,), 0.9, 0.5)
    down = UnavailableError("c: no server answers there (connection refused); is it running?")
    return Comparison(
        (
            ModelOutcome("a", a, None, 0.25),
            ModelOutcome("b", b, None, 2.5),
            ModelOutcome("c", None, down, 0.1),
        ),
        (agreement,),
    )


def test_matching_segments_share_a_colour() -> None:
    both = comparison()
    colors = shared_colors(both.results, both.agreements)
    assert colors["a"][1] == colors["b"][0]
    assert len({*colors["a"], *colors["b"]}) == 3
    assert colors["c"] == []


def test_comparison_has_a_panel_for_each_model_and_a_footer() -> None:
    figure = comparison().plot(GREY)
    shown = texts(figure)
    assert len(figure.axes) == 4
    assert {"picture", "a", "b", "c", "2 objects · 2.5 s", "failed"} <= set(shown)
    assert any("UnavailableError" in text and "connection" in text for text in shown)
    footer = "a ↔ b:  1 match · mean IoU 0.90 · only a: 1 · only b: 1 · foreground IoU 0.50"
    assert footer in " ".join(text.strip() for text in shown)
    assert len(comparison().plot(GREY, original=False).axes) == 3


def test_all_failed_and_no_picture_still_draw() -> None:
    failed = Comparison(comparison().results[2:], ())
    assert len(failed.plot(GREY).axes) == 2
    assert len(failed.plot().axes) == 1
    assert len(comparison().plot().axes) == 3


def test_boxes_and_keypoints() -> None:
    names = ("left_shoulder", "left_elbow", "nose")
    points = tuple(Keypoint(name, 20.0 + i, 30.0, 3.0 - 2 * i) for i, name in enumerate(names))
    person = Segment(0.9, Box(10, 10, 50, 50), keypoints=points)
    figure = result("m", person).plot(GREY)
    limb, markers = figure.axes[0].lines
    assert np.asarray(limb.get_xdata()).tolist() == [20.0, 21.0]
    assert np.asarray(markers.get_xdata()).tolist() == [20.0, 21.0]  # the third score is below 0
    picture = rendered(figure)
    assert pixel(figure, picture, 0, 40, 20).tolist() == [128, 128, 128]
    assert pixel(figure, picture, 0, 50, 40).tolist() != [128, 128, 128]


def test_small_pictures_are_enlarged_and_wide_ones_stacked() -> None:
    assert rendered(result("m").plot(GREY)).shape[1] > 500
    wide = SegmentResult("m", (), (20, 200))
    outcomes = tuple(ModelOutcome(name, wide, None, 0.1) for name in ("a", "b"))
    figure = Comparison(outcomes, ()).plot(np.zeros((20, 200, 3), np.uint8))
    lefts = {round(axes.get_position().x0, 6) for axes in figure.axes}
    assert len(figure.axes) == 3
    assert len(lefts) == 1


def test_crowds_and_empty_masks_draw() -> None:
    crowd = [square(x, y, 6) for x in range(0, 70, 7) for y in range(0, 50, 7)]
    nothing = Segment(0.1, None, Mask.from_array(np.zeros(SIZE, bool)))
    figure = result("m", *crowd, nothing).plot(GREY)
    assert len(figure.axes[0].patches) == 2 * len(crowd)


def test_picture_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"image: expected the picture of the result, 80x60 px"):
        result("m").plot(GREY[:30])


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "pdf", "svg"])
def test_save(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out.{suffix}"
    comparison().save(path, image=GREY)
    head = path.read_bytes()[:1000]
    magic = {"png": b"\x89PNG", "jpg": b"\xff\xd8", "webp": b"WEBP", "pdf": b"%PDF", "svg": b"<svg"}
    assert magic[suffix] in head


def test_text_is_readable_on_every_colour() -> None:
    assert text_color("#000000") == "white"
    assert text_color("#ffff00") == "black"
    assert {text_color(color) for color in PALETTE} == {"black", "white"}


def test_missing_extra_is_named_and_pyplot_stays_out() -> None:
    script = """
import sys
from diptych import MissingExtraError, SegmentResult
SegmentResult("m", (), (4, 4)).plot()
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
ours = ("matplotlib", "diptych._drawing.plot")
for name in [name for name in sys.modules if name.startswith(ours)]:
    del sys.modules[name]
sys.modules["matplotlib"] = None
try:
    SegmentResult("m", (), (4, 4)).plot()
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert "pip install 'diptych[viz]'" in done.stdout
