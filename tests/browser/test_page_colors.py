"""Colours that can be read: grey pictures, outlines on every ground, stripes, names."""

from __future__ import annotations

import io

import numpy as np
import pytest
from browser_page import SIZE, Opened, answer, rectangle
from numpy.typing import NDArray
from PIL import Image
from playwright.async_api import expect

from diptych.testing import FakeSegmentService

Services = dict[str, FakeSegmentService]
Pixels = NDArray[np.float64]

FIRST = '.panel[data-model="first"] canvas'
PAIR = ".pair canvas"
PROTANOPE = np.array(
    [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ]
)
"""What a person without L cones sees of linear RGB (Machado, Oliveira and Fernandes 2009)."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def one_color(red: int, green: int, blue: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", SIZE[::-1], (red, green, blue)).save(file, "PNG")
    return file.getvalue()


async def pixels(opened: Opened, selector: str) -> Pixels:
    """``(height, width, 3)`` of a canvas as it is on screen, 0 to 255."""
    await opened.page.wait_for_timeout(100)
    shot = await opened.page.locator(selector).screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), np.float64)


def lightness(shown: Pixels) -> Pixels:
    """CIE L* as a protanope sees it."""
    linear = np.where(shown <= 10.31, shown / 3294.6, ((shown / 255 + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ PROTANOPE.T, 0, 1) @ LUMINANCE
    return 116 * np.cbrt(np.maximum(seen, 0.008856)) - 16


def part(shown: Pixels, left: float, right: float) -> Pixels:
    """Columns between two shares of the width, away from the upper and lower edge."""
    height, width = shown.shape[:2]
    return shown[height // 4 : height // 2, round(left * width) : round(right * width)]


@pytest.mark.parametrize("ground", [0, 128, 255])
async def test_the_difference_is_told_without_colours(
    opened: Opened, services: Services, ground: int
) -> None:
    answer(services["first"], rectangle(0, 0, 64, 60))
    answer(services["second"], rectangle(16, 0, 64, 60))
    await opened.go("?view=difference&opacity=100")
    await opened.choose(one_color(ground, ground, ground))
    await expect(opened.page.locator("#agreement-said")).to_contain_text("agree on 1 object")
    seen = lightness(await pixels(opened, PAIR))
    only_a, both, only_b = (
        part(seen, *edges) for edges in ((0.03, 0.18), (0.3, 0.7), (0.82, 0.97))
    )
    assert both.std() < 2
    for striped in (only_a, only_b):
        assert striped.std() > 8

    step = round(seen.shape[1] / SIZE[1])

    def along(striped: Pixels, way: int) -> float:
        """How much it changes from pixel to pixel of the picture along a diagonal."""
        moved = np.roll(striped, (step, way * step), (0, 1))[step:-step, step:-step]
        return float(np.abs(moved - striped[step:-step, step:-step]).mean())

    assert along(only_a, -1) < along(only_a, 1) / 2
    assert along(only_b, 1) < along(only_b, -1) / 2


async def test_boxes_in_the_difference_are_dashed(opened: Opened, services: Services) -> None:
    answer(services["first"], rectangle(10, 10, 20, 20))
    answer(services["second"], rectangle(50, 30, 20, 20))
    await opened.go("?view=difference&task=object-detection&opacity=100")
    await opened.choose()
    await expect(opened.page.locator("#agreement-said")).to_contain_text("agree on no objects")
    shown = await pixels(opened, PAIR)
    scale = shown.shape[1] / SIZE[1]
    row = shown[round(10 * scale), round(11 * scale) : round(29 * scale)]
    drawn = np.ptp(row, axis=1) > 60
    assert drawn.any()
    assert not drawn.all()
    assert np.count_nonzero(np.diff(drawn.astype(int))) > 5


async def test_a_grey_picture_lets_the_colours_of_masks_be_seen(opened: Opened) -> None:
    await opened.go("?opacity=0&names=0")
    await opened.choose(one_color(200, 40, 40))
    await opened.expect_state("first", "done")
    assert np.ptp(await opened.color(FIRST, 0.1, 0.1)) > 100
    await opened.page.get_by_label("Grey picture").check()
    assert np.ptp(await opened.color(FIRST, 0.1, 0.1)) == 0
    assert "grey=1" in opened.page.url
    await opened.page.reload()
    await expect(opened.page.get_by_label("Grey picture")).to_be_checked()
    await opened.choose(one_color(200, 40, 40))
    await opened.expect_state("first", "done")
    assert np.ptp(await opened.color(FIRST, 0.1, 0.1)) == 0
    await opened.page.get_by_label("Grey picture").uncheck()
    assert np.ptp(await opened.color(FIRST, 0.1, 0.1)) > 100


async def test_outlines_are_two_pixels_one_light_and_one_dark(opened: Opened) -> None:
    for ground in (0, 255):
        await opened.go("?opacity=100&names=0")
        await opened.choose(one_color(ground, ground, ground))
        await opened.expect_state("first", "done")
        shown = await pixels(opened, FIRST)
        row = shown[shown.shape[0] // 2]
        scale = shown.shape[1] / SIZE[1]
        edge = row[round(20 * scale) - 3 : round(20 * scale) + 5]
        grey = edge[np.ptp(edge, axis=1) < 12]
        assert grey.mean(1).max() > 230
        assert grey.mean(1).min() < 40
        inside = row[round(20 * scale) + 5]
        assert np.ptp(inside) > 60  # the mask's own colour begins where the two lines end


async def test_names_stand_on_the_picture_and_can_be_left_out(
    opened: Opened, services: Services
) -> None:
    answer(services["first"], rectangle(20, 30, 30, 20), rectangle(22, 31, 30, 20, score=0.3))
    await opened.go("?opacity=0")
    await opened.choose()
    await opened.expect_state("first", "done")
    scale = await opened.page.locator(FIRST).evaluate("(canvas) => canvas.clientWidth") / SIZE[1]
    above = (slice(round(30 * scale) - 17, round(30 * scale) - 2), slice(None))
    shown = await pixels(opened, FIRST)
    assert shown[above].min() < 60  # a dark ground
    assert shown[above].max() > 200  # and letters on it
    await opened.page.get_by_label("Names").uncheck()
    assert np.ptp((await pixels(opened, FIRST))[above]) == 0


async def test_names_do_not_cover_one_another(opened: Opened) -> None:
    await opened.go()
    placed = await opened.page.evaluate(
        """async () => {
          const { drawNames } = await import("./js/canvas/names.js");
          const context = document.createElement("canvas").getContext("2d");
          Object.assign(context.canvas, { width: 400, height: 300 });
          const grounds = [];
          context.fillRect = (...place) => { if (place[2] > 10) grounds.push(place); };
          const segments = Array.from({ length: 100 }, (_, index) => ({
            index, label: "thing", score: 1 - index / 200, area: 100, mask: null,
            box: [(index * 37) % 380, (index * 53) % 280, 20, 20],
          }));
          drawNames(context, { left: 0, top: 0, width: 400, height: 300, unit: 1 },
            { width: 400, height: 300, segments },
            { colorOf: () => "#ff0000", isShown: () => true, isLit: () => false });
          return grounds;
        }"""
    )
    assert len(placed) > 10
    for number, (x, y, width, height) in enumerate(placed):
        assert x >= 0
        assert y >= 0
        assert x + width <= 400
        assert y + height <= 300
        for x2, y2, width2, height2 in placed[:number]:
            apart = x >= x2 + width2 or x2 >= x + width or y >= y2 + height2 or y2 >= y + height
            assert apart
