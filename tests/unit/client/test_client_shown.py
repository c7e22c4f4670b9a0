"""Results in a notebook: small pictures, short texts, sequences where a person tries them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from some_results import SEGMENTS, SIZE, comparison, frame, mask, result, segment

import diptych
from diptych import (
    Client,
    Comparison,
    Mask,
    MaskEncoding,
    Segment,
    ServingStatus,
    Task,
    VideoFrameResult,
    VideoObject,
)
from diptych._drawing import marks
from diptych.testing import FakeSegmentService


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def shown() -> dict[str, Any]:
    frame = VideoFrameResult(0, 0, (VideoObject(1, segment(), 0.9),), SIZE)
    nothing = Comparison((), ())
    return {
        "mask": mask(1, 1, 20, 20),
        "frame": frame,
        "comparison": comparison(),
        "no model": nothing,
        **{name: result(each) for name, each in SEGMENTS.items()},
        "nothing": result(),
    }


@pytest.mark.parametrize("name", shown())
def test_notebooks_show_a_small_picture(name: str) -> None:
    image = opened(shown()[name]._repr_png_())
    assert max(image.size) <= 3 * 480
    if name in ("mask", "key points", "prompted"):
        assert len(image.getcolors(1 << 20) or []) > 1


def test_segments_are_shown_on_their_file(tmp_path: Path) -> None:
    path = tmp_path / "green.png"
    Image.new("RGB", (SIZE[1], SIZE[0]), (0, 200, 0)).save(path)
    kept = result(segment(), source=path)
    assert opened(kept._repr_png_()).convert("RGB").getpixel((79, 59)) == (0, 200, 0)
    Image.new("RGB", (9, 9)).save(path)  # another picture now
    assert opened(kept._repr_png_()).convert("RGB").getpixel((79, 59)) == (232, 232, 232)
    path.unlink()
    assert opened(kept._repr_png_()).convert("RGB").getpixel((79, 59)) == (232, 232, 232)


def test_a_large_mask_is_shown_small() -> None:
    assert opened(Mask.from_array(np.ones((3000, 2000), bool))._repr_png_()).size == (320, 480)


def test_they_are_sequences_that_are_true_though_empty() -> None:
    found = result(segment("cat"), segment("dog"), segment("dog"))
    assert [len(found), found[1].label, [s.label for s in found[1:]]] == [3, "dog", ["dog"] * 2]
    assert [s.label for s in found] == ["cat", "dog", "dog"]
    assert repr(found) == "SegmentResult('sam-2', 80x60 px, 2 dog, 1 cat)"
    assert repr(result()) == "SegmentResult('sam-2', 80x60 px, nothing)"
    many = result(*(segment(str(n)) for n in range(7)))
    assert repr(many).endswith("px, 1 0, 1 1, 1 2, 1 3, 1 4, …)")
    kept = comparison()
    assert (len(kept), "a" in kept, "x" in kept) == (3, True, False)
    assert [one.model_id for one in kept] == ["a", "b", "c"]
    assert repr(kept) == "Comparison(a: 1, b: 2, c: failed)"
    assert kept[0] is kept["a"]
    assert kept[-1].result is None
    with pytest.raises(IndexError):
        kept[3]
    for empty in (result(), Comparison((), ()), VideoFrameResult(0, 0, (), SIZE)):
        assert len(empty) == 0
        assert empty


def test_what_a_notebook_prints_is_short() -> None:
    assert repr(segment("cat")) == "Segment('cat', score 0.774, box (10, 10, 30, 40), 599 px)"
    assert (
        repr(SEGMENTS["key points"]) == "Segment(score 0.774, box (10, 10, 30, 40), 1 key points)"
    )
    assert repr(result(segment(), segment())) == "SegmentResult('sam-2', 80x60 px, 2 objects)"
    assert repr(result(segment())) == "SegmentResult('sam-2', 80x60 px, 1 object)"
    found = [VideoObject(1, segment("cat"), 0.9), VideoObject(2, Segment(0.0), 0.0)]
    assert repr(frame(*found)) == "VideoFrameResult(frame 3, 80x60 px, cat 1, object 2 hidden)"
    assert repr(frame()) == "VideoFrameResult(frame 3, 80x60 px, nothing)"
    with FakeSegmentService() as service, Client(service.address) as client:
        (known, *_) = client.model_cards()
        assert repr(known) == f"KnownModel({known.model_id!r}, reachable)"
        assert len(repr(known.card)) < 80
    clip = diptych.read_video(Path(diptych.__file__).parent / "samples" / "clip.mp4")
    assert repr(clip).startswith("VideoReader(")
    words = (Task.OBJECT_DETECTION, MaskEncoding.PNG, ServingStatus.SERVING)
    assert [f"{word} {word!s}" for word in words] == [f"{w.value} {w.value}" for w in words]


def test_a_label_has_a_border_of_one_colour_whatever_letters_touch_it() -> None:
    for size in range(10, 29):
        label = marks._label("triangle", "#8e24aa", size)
        border = np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]])
        assert (border == label[0, 0]).all()


def test_frames_and_figures_show_themselves() -> None:
    clip = diptych.read_video(Path(diptych.__file__).parent / "samples" / "clip.mp4")
    assert opened(next(iter(clip))._repr_png_()).size == (256, 256)
    for figure in (result(segment()).plot(), comparison().plot()):
        assert opened(figure._repr_png_()).format == "PNG"  # type: ignore[attr-defined]
