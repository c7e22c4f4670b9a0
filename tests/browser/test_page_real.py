"""The page on the running product: real models, demo weights, a sample whose truth is known."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_page import Opened, opened_page
from mask_page import exported, rerun
from PIL import Image
from playwright.async_api import Browser, expect
from prompt_page import copied, expect_same, shown, watch
from stack import MODELS, Stack

import diptych_gateway
from diptych import Client, Mask

# The page's sample "shapes" is this scene, compressed as a photo is.
PAGE = Path(diptych_gateway.__file__).parent / "page"
SCENE = Path(__file__).parents[1] / "assets" / "scenes" / "0"
SIDE = 256
SAMPLE = Path(diptych_gateway.__file__).parent / "page" / "samples" / "shapes.webp"
MIN_IOU = 0.7
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def real(browser: Browser, stack: Stack) -> AsyncIterator[Opened]:
    """The prompt view of the running product, with the sample."""
    async with opened_page(browser, f"http://{stack.address('http')}") as opened:
        await opened.go("?view=prompt&sample=shapes")
        for model in MODELS:
            await opened.expect_state(model, "idle")
        yield opened


def truth(name: str) -> tuple[Mask, tuple[float, float]]:
    """The first object of this class: its mask, and the middle of its box as shares."""
    known = json.loads(SCENE.with_suffix(".json").read_text())["objects"]
    thing = next(thing for thing in known if thing["class"] == name)
    labels = np.asarray(Image.open(SCENE.with_name("0-labels.png")))
    left, top, right, bottom = thing["box"]
    middle = (left + right) / 2, (top + bottom) / 2
    return Mask.from_array(labels == thing["label"]), (middle[0] / SIDE, middle[1] / SIDE)


async def seen(opened: Opened, model: str) -> Any:
    """The colours that a panel shows, one for each pixel of the sample."""
    address = await opened.page.evaluate(
        """(model) => new Promise((resolve) => {
          requestAnimationFrame(() => requestAnimationFrame(() => {
            const panel = document.querySelector(`#prompt-panels .panel[data-model="${model}"]`);
            resolve(panel.querySelector("canvas").toDataURL());
          }));
        })""",
        model,
    )
    shown = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB")
    return np.asarray(shown.resize((SIDE, SIDE), Image.Resampling.NEAREST), int)


async def test_a_click_on_an_object_paints_it_in_both_panels(real: Opened) -> None:
    mask, place = truth("cross")
    before = {model: await seen(real, model) for model in MODELS}
    await real.point_at("mask-rcnn", *place)
    for model in MODELS:
        await real.expect_state(model, "done")
        painted = np.abs(await seen(real, model) - before[model]).sum(axis=2) > 0
        assert Mask.from_array(painted).iou(mask) >= MIN_IOU, model
    await expect(real.panel("mask-rcnn").locator(".legend .label")).to_have_text("cross")
    await expect(real.panel("sam-2").locator(".legend .label")).to_have_text("object 1")


async def test_a_candidate_is_gone_on_from_and_copied_code_does_the_same(real: Opened) -> None:
    await watch(real)
    _, place = truth("cross")
    await real.point_at("sam-2", *place)
    offered = real.panel("sam-2").locator(".candidates button")
    await expect(offered).to_have_count(3)
    await expect(real.panel("mask-rcnn").locator(".candidates button")).to_have_count(0)
    scores = [float(text.split()[1]) for text in await offered.all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    await real.page.keyboard.press("3")
    await expect(real.panel("sam-2").locator(".legend .score")).to_have_text(f"{scores[2]:.2f}")
    await real.point_at("sam-2", 0.02, 0.02, key="Alt")
    await expect(offered).to_have_count(0)
    for model in MODELS:
        await real.expect_state(model, "done")
    code = await copied(real, "Python")
    assert "low_res_logits=True" in code
    await expect_same(await shown(real, MODELS), code, PAGE / "samples")


async def test_the_second_click_is_answered_without_the_encoder(real: Opened, stack: Stack) -> None:
    _, place = truth("cross")
    await real.point_at("sam-2", *place)
    for model in MODELS:
        await real.expect_state(model, "done")
    with Client(stack.address("gateway")) as client:
        runs = [client.model_stats(model).encoder_run_count for model in MODELS]
        _, place = truth("ring")
        await real.page.locator("#new-object").click()
        await real.point_at("sam-2", *place)
        for model in MODELS:
            await expect(real.panel(model).locator(".state")).to_contain_text("2 objects in")
            await expect(real.panel(model).locator(".state")).to_contain_text("encoder not run")
        assert [client.model_stats(model).encoder_run_count for model in MODELS] == runs


async def test_a_detected_object_is_refined_erased_and_kept(real: Opened, tmp_path: Path) -> None:
    """Mask R-CNN finds it, SAM 2 goes on from its mask, and a person has the last word."""
    mask, _ = truth("cross")
    page = real.page
    await page.locator("#to-compare").click()
    await real.expect_state("mask-rcnn", "done")
    await real.panel("mask-rcnn").get_by_role("button", name="Refine cross by clicks").click()
    await real.expect_state("sam-2", "done")
    await expect(real.panel("mask-rcnn").locator(".state")).to_contain_text("not masks")
    ((name, (refined, annotation)),) = (await exported(real, "sam-2")).items()
    assert name == "cross"
    assert annotation["category_id"] > 0
    assert Mask.from_array(refined).iou(mask) >= MIN_IOU
    (tmp_path / "shapes.webp").write_bytes(SAMPLE.read_bytes())
    printed = await rerun(real, "Python", tmp_path)
    assert Mask.from_coco(printed.splitlines()[-1], mask.size) == Mask.from_array(refined)
    box = mask.box
    assert box is not None
    await page.locator("label:has(input[value=eraser])").click()
    await page.locator("#brush-size").fill("80")
    left, right = box.x_min / SIDE, box.x_max / SIDE
    top = box.y_min / SIDE
    await real.drag("sam-2", (left, top), (right, top))
    await expect(page.locator("#keep")).to_be_checked()
    ((_, (kept, _)),) = (await exported(real, "sam-2")).items()
    assert not (kept & ~refined).any()
    assert kept.sum() < refined.sum()
    assert not kept[: round(box.y_min) + 2].any()


async def test_a_dead_service_is_an_error_in_its_panel_and_the_other_works_on(
    real: Opened, stack: Stack
) -> None:
    stack.kill("sam-2")
    _, place = truth("cross")
    await real.point_at("sam-2", *place)
    await real.expect_state("mask-rcnn", "done")
    await expect(real.panel("mask-rcnn").locator(".legend .label")).to_have_text("cross")
    await expect(real.panel("sam-2")).to_have_attribute("data-state", "error", timeout=60_000)
    await expect(real.panel("sam-2").locator(".state")).not_to_be_empty()
