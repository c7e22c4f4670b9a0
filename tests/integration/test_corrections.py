"""A click that only says where an object is not, from the command line and the SDK to SAM 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from stack import Stack

from diptych import Box, Client, InvalidRequestError, Mask, Point, Prompt

SCENES = Path(__file__).parents[1] / "assets" / "scenes"
STAR, BESIDE = "1@0:161,37,208,84", "1@5:200,75,0"
"""A box around the star of the sample clip, and what the package takes to be a correction of it:
its own predictor goes from 797 to 575 pixels."""


def command(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    address = ("--address", stack.address("gateway"))
    whole = [sys.executable, "-m", "diptych.cli", *arguments, *address]
    return subprocess.run(whole, capture_output=True, text=True, timeout=120, check=False)


def last_line(stack: Stack, *prompts: str) -> Any:
    done = command(
        stack, "video", "sample", "--model", "sam-2", "--max-frames", "6", "--json", *prompts
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_tracked_frame_is_corrected_from_the_command_line(stack: Stack) -> None:
    (followed,) = last_line(stack, "--box", STAR)["objects"]
    (corrected,) = last_line(stack, "--box", STAR, "--point", BESIDE)["objects"]
    assert followed["area"] == pytest.approx(797, abs=8)
    assert corrected["area"] == pytest.approx(575, abs=15)
    rle = corrected["segmentation"]
    assert not Mask.from_coco(rle["counts"], rle["size"]).to_array()[75, 200]


def test_a_click_beside_an_object_that_nobody_follows_is_refused(stack: Stack) -> None:
    done = command(
        stack,
        *("video", "sample", "--model", "sam-2", "--max-frames", "6"),
        *("--box", STAR, "--point", "2@5:200,75,0"),
    )
    assert done.returncode == 1
    assert "background points alone; object 2 has no answer on frame 5" in done.stderr


@pytest.fixture
def box() -> tuple[float, float, float, float]:
    labels = np.asarray(Image.open(SCENES / "1-labels.png"))
    edges = Mask.from_array(labels == 1).box
    assert edges is not None
    return edges.xyxy


def test_a_picture_is_corrected_from_the_command_line(
    stack: Stack, client: Client, box: tuple[float, ...], tmp_path: Path
) -> None:
    """A box, or a mask, and a click on what does not belong to it."""
    guess, off = tmp_path / "guess.png", ((box[0] + box[2]) / 2, box[1] + 4)
    (plain,) = client.segment(SCENES / "1.png", model="sam-2", boxes=[box]).segments
    assert plain.mask is not None
    guess.write_bytes(plain.mask.to_png())
    edges = ("--box", ",".join(map(str, box)))
    for given in (edges, ("--mask", str(guess)), ("--mask", str(guess), *edges, "--one-object")):
        click = ("--point", f"{off[0]},{off[1]},0")
        done = command(
            stack, "segment", str(SCENES / "1.png"), "--model", "sam-2", "--json", *given, *click
        )
        assert done.returncode == 0, done.stderr
        (segment,) = json.loads(done.stdout)["segments"]
        prompt = Prompt(
            points=(Point(*off, positive=False),),
            box=Box(*box) if "--box" in given else None,
            mask=plain.mask if "--mask" in given else None,
        )
        (same,) = client.segment(SCENES / "1.png", model="sam-2", prompts=[prompt]).segments
        assert same.mask is not None
        assert segment["segmentation"]["counts"] == same.mask.to_coco().decode()
        assert same.mask != plain.mask


def test_background_points_alone_say_nothing_about_a_picture(client: Client) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        client.segment(SCENES / "1.png", model="sam-2", points=[(40, 40, False)])
    assert "got background points alone, which correct what comes with them" in str(caught.value)
    assert caught.value.violations[0].field == "prompts[0]"
