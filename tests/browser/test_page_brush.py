"""Brush and eraser: what is painted is what models are asked with, or what is kept as it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from browser_page import GREY, SIZE, Color, Opened
from mask_page import Pixels, answer_masks, exported, prompt_mask
from playwright.async_api import expect
from prompt_page import asked

from diptych import Mask
from diptych.segment import v1 as pb
from diptych.testing import FakeSegmentService

Services = dict[str, FakeSegmentService]
SeeCards = Callable[[], Awaitable[None]]
HEIGHT, WIDTH = SIZE
PLAIN: Color = (GREY, GREY, GREY)
FIRST_CANVAS = '#prompt-panels .panel[data-model="first"] canvas'
SECOND_CANVAS = '#prompt-panels .panel[data-model="second"] canvas'


@pytest.fixture(autouse=True)
async def models(services: Services, see_cards: SeeCards) -> None:
    """Both models answer prompts; only the first one takes masks, as its card says."""
    for service in services.values():
        answer_masks(service)
    services["second"].cards["second"].prompt_kinds.remove(pb.PromptKind.PROMPT_KIND_MASK)
    await see_cards()


async def start(opened: Opened, picture: bytes | None = None) -> None:
    """The view with a picture, nothing asked yet."""
    await opened.go("?view=prompt")
    await opened.choose(picture)
    await opened.expect_state("second", "idle")


async def take(opened: Opened, tool: str, tip: int = 24) -> None:
    """Take a tool whose tip is so many CSS pixels wide."""
    await opened.page.locator(f"input[name=prompt-tool][value={tool}]").check()
    await opened.page.locator("#brush-size").fill(str(tip))


async def grain(opened: Opened) -> float:
    """Pixels of the picture per CSS pixel."""
    box = await opened.panel("first").locator("canvas").bounding_box()
    return WIDTH / float(box["width"])


def capsule(start: tuple[float, float], end: tuple[float, float], radius: float) -> Pixels:
    """All pixels whose middle is as near to a line between two shares of the picture."""
    (ax, ay), (bx, by) = ((x * WIDTH, y * HEIGHT) for x, y in (start, end))
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    dx, dy = bx - ax, by - ay
    along = np.clip(((xs - ax) * dx + (ys - ay) * dy) / (dx * dx + dy * dy or 1), 0, 1)
    return np.asarray(np.hypot(xs - ax - along * dx, ys - ay - along * dy) <= radius)


def differing(one: Pixels, other: Pixels) -> int:
    return int((one != other).sum())


async def test_what_is_painted_from_nothing_is_a_prompt_of_those_who_take_masks(
    opened: Opened, services: Services
) -> None:
    await start(opened)
    await take(opened, "brush", 60)
    await opened.drag("second", (0.3, 0.4), (0.7, 0.6))
    (prompt,) = (await asked(services["first"], 1)).prompts
    expected = capsule((0.3, 0.4), (0.7, 0.6), 30 * await grain(opened))
    assert not prompt.points
    assert differing(prompt_mask(prompt), expected) <= 12  # where a CSS pixel is rounded
    await opened.expect_state("first", "done")
    await expect(opened.panel("second").locator(".state")).to_have_text(
        "It takes points and boxes, not masks, so it was not asked."
    )
    assert not services["second"].requests
    assert await opened.color(FIRST_CANVAS, 0.5, 0.5) != PLAIN
    await expect(opened.page.locator("#objects")).to_contain_text("Object 1 mask")
    # A point beside it goes with the mask; without the mask both are asked.
    await take(opened, "point")
    await opened.point_at("first", 0.5, 0.5, key="Alt")
    (prompt,) = (await asked(services["first"], 2)).prompts
    assert [p.label for p in prompt.points] == [pb.PointLabel.POINT_LABEL_BACKGROUND]
    assert differing(prompt_mask(prompt), expected) <= 12
    await opened.page.locator("#clear").click()
    await opened.point_at("first", 0.5, 0.5)
    for model, service in services.items():
        await opened.expect_state(model, "done")
        assert not service.requests[-1].prompts[0].HasField("mask")


async def test_an_answer_is_corrected_by_painting_and_kept_as_it_is_painted(
    opened: Opened, services: Services
) -> None:
    page = opened.page
    await start(opened)
    await opened.drag("first", (0.25, 0.25), (0.75, 0.75))
    await opened.expect_state("first", "done")
    await opened.expect_state("second", "done")
    box = np.zeros(SIZE, bool)
    box[15:45, 20:60] = True
    await take(opened, "eraser", 80)
    await opened.point_at("first", 0.25, 0.5)
    radius = 40 * await grain(opened)
    expected = box & ~capsule((0.25, 0.5), (0.25, 0.5), radius)
    await expect(page.locator("#objects")).to_contain_text("kept mask")
    await expect(page.locator("#keep")).to_be_checked()
    await expect(page.locator("#paint-said")).to_contain_text("stays as it was painted")
    for model in services:
        await expect(opened.panel(model).locator(".state")).to_have_text("1 object as painted")
        ((pixels, annotation),) = (await exported(opened, model)).values()
        assert differing(pixels, expected) <= 4, model
        assert annotation["area"] == pixels.sum()
        assert annotation["score"] == 1
    await take(opened, "brush", 80)
    await opened.drag("second", (0.75, 0.3), (0.75, 0.7))
    (more, _), *_ = (await exported(opened, "second")).values()
    added = capsule((0.75, 0.3), (0.75, 0.7), radius)
    assert differing(more, expected | added) <= 12
    assert all(len(service.requests) == 1 for service in services.values())
    # One step for each stroke.
    await page.locator("#undo").click()
    (pixels, _), *_ = (await exported(opened, "first")).values()
    assert differing(pixels, expected) <= 4
    await page.locator("#undo").click()
    assert not (await asked(services["first"], 2)).prompts[0].HasField("mask")
    await page.keyboard.press("Control+Shift+z")
    await expect(opened.panel("first").locator(".state")).to_have_text("1 object as painted")
    # Whoever wants a model to refine it says so.
    await page.locator("#keep").uncheck()
    (prompt,) = (await asked(services["first"], 3)).prompts
    assert differing(prompt_mask(prompt), expected) <= 4
    await opened.expect_state("first", "done")
    await page.keyboard.press("k")
    await expect(opened.panel("first").locator(".state")).to_have_text("1 object as painted")


async def test_the_eraser_takes_everything_or_says_that_there_is_nothing(
    opened: Opened, services: Services
) -> None:
    page = opened.page
    await start(opened)
    await take(opened, "eraser", 120)
    await opened.point_at("first", 0.5, 0.5)
    await expect(page.locator("#paint-said")).to_contain_text("nothing to erase in object 1")
    await take(opened, "point")
    await opened.point_at("first", 0.5, 0.5)
    await asked(services["first"], 1)
    await opened.expect_state("first", "done")
    await take(opened, "eraser", 120)
    await opened.drag("first", (0.4, 0.5), (0.6, 0.5))
    await opened.expect_state("first", "idle")
    await expect(page.locator("#objects")).to_contain_text("nothing yet")
    assert await opened.color(FIRST_CANVAS, 0.5, 0.5) == PLAIN
    await page.locator("#undo").click()
    await asked(services["first"], 2)


async def test_background_points_alone_correct_what_there_is(
    opened: Opened, services: Services
) -> None:
    """An answer whose only point on the object goes; and nothing, of which the page says so."""
    page = opened.page
    await start(opened)
    await opened.point_at("first", 0.5, 0.5, key="Alt")
    await expect(page.locator("#paint-said")).to_contain_text("nothing to correct in object 1")
    assert not services["first"].requests
    await opened.point_at("first", 0.25, 0.5)
    await opened.expect_state("first", "done")
    await asked(services["first"], 1)
    await opened.point_at("first", 0.25, 0.5)  # on its mark: away with it
    (prompt,) = (await asked(services["first"], 2)).prompts
    assert [p.label for p in prompt.points] == [pb.PointLabel.POINT_LABEL_BACKGROUND]
    answer = np.zeros(SIZE, bool)
    answer[25:35, 15:25] = True
    assert np.array_equal(prompt_mask(prompt), answer)
    await page.locator("#undo").click()
    assert not (await asked(services["first"], 3)).prompts[0].HasField("mask")
    # A mask that was painted is corrected as well, and so is one that was kept.
    await page.locator("#clear").click()
    await take(opened, "brush", 60)
    await opened.drag("first", (0.6, 0.5), (0.8, 0.5))
    await asked(services["first"], 4)
    await opened.expect_state("first", "done")
    await page.keyboard.press("k")
    await expect(opened.panel("first").locator(".state")).to_have_text("1 object as painted")
    await take(opened, "point")
    await opened.point_at("first", 0.8, 0.5, key="Alt")
    (prompt,) = (await asked(services["first"], 5)).prompts
    assert [p.label for p in prompt.points] == [pb.PointLabel.POINT_LABEL_BACKGROUND]
    assert prompt_mask(prompt)[30, 64]
    await expect(page.locator("#keep")).not_to_be_checked()


async def test_keys_paint_at_the_crosshair(opened: Opened, services: Services) -> None:
    page = opened.page
    await start(opened)
    await opened.panel("first").locator("canvas").focus()
    await page.keyboard.press("d")
    await expect(page.locator("input[value=brush]")).to_be_checked()
    for _ in range(5):
        await page.keyboard.press("]")
    size = int(await page.locator("#brush-size").input_value())
    assert size > 60
    await page.keyboard.press("[")
    assert int(await page.locator("#brush-size").input_value()) < size
    await page.locator("#brush-size").fill("60")
    await opened.panel("first").locator("canvas").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#prompt-said")).to_have_text("Painting at 40, 30")
    await page.keyboard.press("Shift+ArrowRight")
    await page.keyboard.press("Shift+ArrowRight")
    assert not services["first"].requests
    assert await opened.color(SECOND_CANVAS, 0.68, 0.5) != PLAIN
    await page.keyboard.press("Escape")
    assert await opened.color(SECOND_CANVAS, 0.68, 0.5) == PLAIN
    await page.keyboard.press("Enter")
    await page.keyboard.press("Shift+ArrowLeft")
    await page.keyboard.press("Enter")
    (prompt,) = (await asked(services["first"], 1)).prompts
    expected = capsule((0.7, 0.5), (0.6, 0.5), 30 * await grain(opened))
    assert differing(prompt_mask(prompt), expected) <= 4
    await page.keyboard.press("e")
    await expect(page.locator("input[value=eraser]")).to_be_checked()
    await page.keyboard.press("v")
    await expect(page.locator("input[value=point]")).to_be_checked()


async def test_a_mask_is_held_by_the_page_and_its_box_by_the_address(
    opened: Opened, services: Services
) -> None:
    page = opened.page
    await start(opened)
    await take(opened, "brush", 60)
    await opened.drag("first", (0.4, 0.5), (0.6, 0.5))
    await asked(services["first"], 1)
    await opened.expect_state("first", "done")
    await page.locator("#to-compare").click()
    await opened.expect_state("second", "done")
    await page.go_back()
    await expect(page.locator("#objects")).to_contain_text("Object 1 mask")
    # Elsewhere nobody holds it.
    await page.reload()
    await opened.choose()
    await expect(page.locator("#objects")).to_contain_text("Object 1 box")
    await expect(page.locator("#paint-said")).to_contain_text("boxes stand for")
    await opened.expect_state("second", "done")
    (prompt,) = services["second"].requests[-1].prompts
    assert prompt.box.x_min_px < 0.4 * WIDTH < 0.6 * WIDTH < prompt.box.x_max_px


async def test_a_stroke_touches_no_more_pixels_than_it_has_to(opened: Opened) -> None:
    """On 12 megapixels: they are the pixels that are counted, and no others are written."""
    await opened.go()
    found = await opened.page.evaluate(
        """async () => {
          const { MaskSheet } = await import("./js/prompt/mask-sheet.js");
          const size = { width: 4000, height: 3000 };
          const sheet = new MaskSheet(size);
          let written = 0;
          const fill = sheet.data.fill;
          sheet.data.fill = function (value, from, to) {
            written += to - from;
            return fill.call(this, value, from, to);
          };
          sheet.stroke({ x: 1000.5, y: 700.25 }, { x: 1400, y: 1100.75 }, 40, 1);
          sheet.stroke({ x: 1200, y: 900 }, { x: 1200, y: 900 }, 10, 0);
          sheet.stroke({ x: 3990, y: 2990 }, { x: 5000, y: 2990 }, 20, 1);
          return [written, sheet.finish(), new MaskSheet(size, sheet.finish()).finish()];
        }"""
    )
    written, rle, again = found
    assert again == rle
    ys, xs = np.mgrid[0:3000, 0:4000] + 0.5
    along = np.clip(((xs - 1000.5) * 399.5 + (ys - 700.25) * 400.5) / (399.5**2 + 400.5**2), 0, 1)
    line = np.hypot(xs - 1000.5 - along * 399.5, ys - 700.25 - along * 400.5) <= 40
    hole = np.hypot(xs - 1200, ys - 900) <= 10
    corner = np.hypot(np.maximum(3990 - xs, 0), ys - 2990) <= 20
    expected = (line & ~hole) | corner
    assert np.array_equal(Mask.from_coco(rle["counts"], rle["size"]).to_array(), expected)
    assert rle["area"] == expected.sum()
    assert written == line.sum() + hole.sum() + corner.sum()


async def test_masks_are_written_as_the_client_reads_them(opened: Opened) -> None:
    await opened.go()
    random = np.random.default_rng(11)
    shapes = [(1, 1), (1, 9), (9, 1), (37, 23), (64, 200)]
    masks = [random.random(shape) < share for shape in shapes for share in (0.02, 0.5, 1.0)]
    texts = await opened.page.evaluate(
        """async (masks) => {
          const { encodeMask } = await import("./js/canvas/rle.js");
          return masks.map(([height, width, pixels]) => {
            const whole = { left: 0, top: 0, right: width, bottom: height };
            return encodeMask(Uint8Array.from(pixels), { width, height }, whole);
          });
        }""",
        [[*mask.shape, mask.ravel().astype(int).tolist()] for mask in masks],
    )
    for mask, found in zip(masks, texts, strict=True):
        if not mask.any():
            assert found is None
            continue
        assert found["counts"] == Mask.from_array(mask).to_coco().decode()
        assert found["box"] == list(Mask.from_array(mask).box.xyxy)  # type: ignore[union-attr]
        assert found["area"] == mask.sum()
