"""Colours that can be read: grey pictures, outlines on every ground, stripes, names."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from browser_page import SIZE, Opened, answer, rectangle
from numpy.typing import NDArray
from PIL import Image
from playwright.async_api import expect
from skimage.color import deltaE_ciede2000, rgb2lab

from diptych.testing import FakeSegmentService

Services = dict[str, FakeSegmentService]
Pixels = NDArray[np.float64]

FIRST = '.panel[data-model="first"] canvas'
PAIR = ".pair canvas"
SEEN_BY = {
    "protanope": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranope": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanope": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""What people without one kind of cones see of linear RGB (Machado, Oliveira, Fernandes 2009)."""
MAX_FROM_LEGEND = 12.0
"""Largest CIEDE2000 between a mask on a grey picture and its swatch."""
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


def seen_by(who: str, shown: Pixels) -> Pixels:
    """Linear RGB of what is shown, as this person sees it."""
    linear = np.where(shown <= 10.31, shown / 3294.6, ((shown / 255 + 0.055) / 1.055) ** 2.4)
    matrix = np.array(SEEN_BY[who]) if who else np.eye(3)
    return np.clip(linear @ matrix.T, 0, 1)


def lightness(linear: Pixels) -> Pixels:
    """CIE L* of linear RGB."""
    return 116 * np.cbrt(np.maximum(linear @ LUMINANCE, 0.008856)) - 16


def difference(one: Pixels, other: Pixels) -> Pixels:
    """CIEDE2000 of linear RGB."""

    def lab(linear: Pixels) -> Pixels:
        encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        return rgb2lab(encoded.reshape(-1, 1, 3))  # type: ignore[no-any-return]

    return deltaE_ciede2000(lab(one), lab(other))  # type: ignore[no-any-return]


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
    await opened.go("?view=difference&names=0")
    await opened.choose(one_color(ground, ground, ground))
    await expect(opened.page.locator("#agreement-said")).to_contain_text("agree on 1 object")
    shown = await pixels(opened, PAIR)
    step = round(shown.shape[1] / SIZE[1])
    edges = {"only a": (0.03, 0.18), "both": (0.3, 0.7), "only b": (0.82, 0.97)}

    def along(striped: Pixels, way: int) -> float:
        """How much it changes from pixel to pixel of the picture along a diagonal."""
        moved = np.roll(striped, (step, way * step), (0, 1))[step:-step, step:-step]
        return float(np.abs(moved - striped[step:-step, step:-step]).mean())

    for who in SEEN_BY:
        light = {kind: lightness(seen_by(who, part(shown, *of))) for kind, of in edges.items()}
        assert light["both"].std() < 2, who
        assert min(light["only a"].std(), light["only b"].std()) > 8, who
        assert along(light["only a"], -1) < along(light["only a"], 1) / 2, who
        assert along(light["only b"], 1) < along(light["only b"], -1) / 2, who
    # And at a glance, by those who see colours: stripes and what is between, from some way off.
    means = [seen_by("", part(shown, *of)).mean((0, 1)) for of in edges.values()]
    apart = [float(difference(means[i], means[j]).max()) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(apart) > MAX_FROM_LEGEND, apart


GROUNDS = {
    "dark": lambda rows, columns: np.stack([rows % 7, columns % 5, rows % 3], 2),
    "bright": lambda rows, columns: 255 - np.stack([rows % 7, columns % 5, rows % 3], 2),
    "saturated": lambda rows, columns: np.stack(
        [(rows // 5 + columns // 5 + shift) % 3 // 2 * 255 for shift in range(3)], 2
    ),
    "black and white": lambda rows, columns: np.stack(
        [(rows // 4 + columns // 4) % 2 * 255] * 3, 2
    ),
}


async def test_on_a_grey_picture_every_mask_has_the_colour_of_its_legend(
    opened: Opened, services: Services
) -> None:
    places = [(2 + 13 * column, 2 + 28 * row) for row in range(2) for column in range(6)]
    answer(services["first"], *(rectangle(x, y, 11, 26) for x, y in places))
    await opened.go("?grey=1&names=0")
    for name, paint in GROUNDS.items():
        file = io.BytesIO()
        ground = paint(*np.mgrid[: SIZE[0], : SIZE[1]]).astype(np.uint8)
        Image.fromarray(ground).save(file, "PNG")
        await opened.choose(file.getvalue(), f"{name}.png")
        await expect(opened.page.locator("#picture-name")).to_contain_text(name)
        await opened.expect_state("first", "done")
        await expect(opened.page.locator("#agreement-said")).not_to_be_empty()
        shown = await pixels(opened, FIRST)
        swatches: list[str] = (
            await opened.panel("first")
            .locator(".swatch")
            .evaluate_all("(all) => all.map((swatch) => getComputedStyle(swatch).backgroundColor)")
        )
        assert len(set(swatches)) == 12
        scale = shown.shape[1] / SIZE[1]
        worst = 0.0
        for (x, y), swatch in zip(places, swatches, strict=True):
            top, bottom, left, right = (
                round(edge * scale) for edge in (y + 1.5, y + 24.5, x + 1.5, x + 9.5)
            )
            wanted = np.array([float(part) for part in re.findall(r"\d+", swatch)])
            inside = seen_by("", shown[top:bottom, left:right])
            worst = max(worst, float(difference(inside, seen_by("", wanted)).max()))
        print(f"{name}: CIEDE2000 of masks from their swatches up to {worst:.1f}")
        assert worst < MAX_FROM_LEGEND, name


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


async def test_boxes_and_body_points_have_names_and_what_is_out_of_sight_has_none(
    opened: Opened,
) -> None:
    await opened.go()
    written = await opened.page.evaluate(
        """async () => {
          const { drawNames } = await import("./js/canvas/names.js");
          const context = document.createElement("canvas").getContext("2d");
          Object.assign(context.canvas, { width: 400, height: 300 });
          const texts = [];
          context.fillText = (text) => texts.push(text);
          const one = (index, label, rest) =>
            ({ index, label, score: 0.5, area: 9, mask: null, box: null, keypoints: [], ...rest });
          const segments = [
            one(0, "boxed", { box: [10, 100, 50, 50] }),
            one(1, "posed", { keypoints: [{ x: 200, y: 100 }, { x: 250, y: 180 }] }),
            one(2, "left of it", { box: [-300, 100, 50, 50] }),
            one(3, "nowhere", {}),
          ];
          drawNames(context, { left: 0, top: 0, width: 400, height: 300, unit: 1 },
            { width: 400, height: 300, segments },
            { colorOf: () => "#ff0000", isShown: () => true, isLit: () => false });
          return texts;
        }"""
    )
    assert written == ["boxed 0.50", "posed 0.50"]


async def test_the_difference_names_what_both_found_once(
    opened: Opened, services: Services
) -> None:
    both = rectangle(2, 30, 30, 20, label="both")
    answer(services["first"], both, rectangle(45, 2, 20, 10, label="first"))
    answer(services["second"], both, rectangle(45, 30, 20, 20, label="second"))
    await opened.page.add_init_script(
        """const fill = CanvasRenderingContext2D.prototype.fillText;
        window.texts = [];
        CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
          if (this.canvas.closest(".pair")) texts.push(text);
          fill.call(this, text, ...place);
        };"""
    )
    await opened.go("?view=difference")
    await opened.choose()
    await expect(opened.page.locator("#agreement-said")).to_contain_text("agree on 1 object")
    await opened.page.evaluate("texts.length = 0; dispatchEvent(new Event('resize'))")
    await opened.page.locator("#zoom-fit").click()
    await opened.color(PAIR, 0.5, 0.5)
    texts: list[str] = await opened.page.evaluate("texts")
    assert sorted(texts[-3:]) == ["both 0.90", "first 0.90", "second 0.90"]
    assert len(texts) == 3
