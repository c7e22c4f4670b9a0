"""Masks on the page: a fake model that is asked with them, what was asked, what is exported."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from browser_page import SIZE, Opened
from copied_code import ran
from numpy.typing import NDArray
from playwright.async_api import expect

from diptych import Mask, Segment
from diptych.segment import v1 as pb
from diptych.testing import FakeCall, FakeSegmentService

Pixels = NDArray[np.bool_]
HALF = 5  # of the square around a point


def answer_masks(service: FakeSegmentService) -> None:
    """Let a fake model find a prompt's mask, or else its box, and in it a square for each point."""

    def find(call: FakeCall) -> Sequence[Segment]:
        return [_found(p, call.image_size, index) for index, p in enumerate(call.request.prompts)]

    service.answer_with(find)


def _found(prompt: pb.ObjectPrompt, size: tuple[int, int], index: int) -> Segment:
    pixels = np.zeros(size, bool)
    if prompt.HasField("mask"):
        pixels = prompt_mask(prompt, size)
    elif prompt.HasField("box"):
        box = prompt.box
        rows = slice(round(box.y_min_px), round(box.y_max_px))
        pixels[rows, round(box.x_min_px) : round(box.x_max_px)] = True
    for point in prompt.points:
        x, y = round(point.x_px), round(point.y_px)
        rows, columns = (slice(max(middle - HALF, 0), middle + HALF) for middle in (y, x))
        pixels[rows, columns] = point.label == pb.PointLabel.POINT_LABEL_FOREGROUND
    mask = Mask.from_array(pixels)
    return Segment(
        score=0.9,
        box=mask.box,
        mask=mask,
        area=mask.area,
        prompt_index=index,
        candidate_index=0,
    )


def prompt_mask(prompt: pb.ObjectPrompt, size: tuple[int, int] = SIZE) -> Pixels:
    """The pixels of the mask that a prompt came with, which says its size."""
    sent = prompt.mask
    assert (sent.image_size.height_px, sent.image_size.width_px) == size
    return Mask.from_coco(sent.mask.coco_rle, size).to_array().copy()


async def exported(opened: Opened, model: str) -> dict[str, tuple[Pixels, dict[str, Any]]]:
    """What a COCO file of a model's answer holds, by the name of the class: pixels, annotation."""
    await opened.page.locator("#take-format").select_option("coco")
    await opened.page.locator("#take-models").select_option(model)
    async with opened.page.expect_download() as waiting:
        await opened.page.locator("#take-save").click()
    document = json.loads(Path(await (await waiting.value).path()).read_text())
    classes = {one["id"]: one["name"] for one in document["categories"]}
    return {
        classes[one["category_id"]]: (
            Mask.from_coco(one["segmentation"]["counts"], one["segmentation"]["size"]).to_array(),
            one,
        )
        for one in document["annotations"]
    }


async def rerun(opened: Opened, language: str, folder: Path) -> str:
    """What the code that is copied in a language prints; Python the masks as well."""
    await opened.page.get_by_role("button", name=f"Copy as {language}").click()
    box = opened.page.locator("#take-text")
    await expect(box).to_be_visible()
    text = await box.input_value()
    shown = "        print(segment.mask.to_coco().decode())\n"
    program = [sys.executable, "-c", text + shown] if language == "Python" else ["sh", "-c", text]
    return await ran(program, folder)
