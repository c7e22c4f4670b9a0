"""Filters of Compare: what is left out is left out everywhere, counted, and in the address."""

from __future__ import annotations

import numpy as np
import pytest
from browser_page import GREY, Color, Opened, answer, rectangle
from playwright.async_api import Locator, expect

from diptych import Mask
from diptych.testing import FakeSegmentService
from diptych_gateway.compare.agreement import Answer, Basis, Found, agree

Services = dict[str, FakeSegmentService]

NO_FIGURE = "\N{EN DASH}"
PLAIN: Color = (GREY, GREY, GREY)
GREYED: Color = (GREY - 1, GREY - 1, GREY - 1)
"""The same with less contrast, rounded down."""
FIRST = '.panel[data-model="first"] canvas'
SECOND = '.panel[data-model="second"] canvas'
PAIR = ".pair canvas"


@pytest.fixture
def services(services: Services) -> Services:
    """The first finds a cat, a dog and a doubtful dog; the second the cat a little beside."""
    cat = rectangle(0, 0, 20, 60, label="cat")
    dog = rectangle(30, 0, 20, 60, label="dog", score=0.8)
    answer(services["first"], cat, dog, rectangle(60, 0, 20, 60, label="dog", score=0.3))
    answer(services["second"], rectangle(2, 0, 20, 60, label="cat", score=0.7))
    return services


async def slide(opened: Opened, name: str, value: int) -> None:
    await opened.page.locator(name).fill(str(value))


def cells(opened: Opened) -> Locator:
    return opened.page.locator("#agreement tbody td")


async def compare(opened: Opened, query: str = "?") -> None:
    await opened.go(f"{query}&names=0")
    await opened.choose()
    await expect(opened.page.locator("#agreement-said")).not_to_be_empty()


async def test_a_least_score_leaves_objects_out_everywhere(
    opened: Opened, services: Services
) -> None:
    await compare(opened)
    first, rows = opened.panel("first"), opened.panel("first").locator(".legend li:visible")
    await expect(cells(opened)).to_have_text(["1", "0.82", "2", "0", "29 %"])
    top = (await opened.page.locator(FIRST).bounding_box())["y"]
    await slide(opened, "#least-score", 50)
    await expect(first.locator(".state")).to_contain_text("2 of 3 objects shown in")
    await expect(rows).to_have_count(2)
    await expect(cells(opened)).to_have_text(["1", "0.82", "1", "0", "43 %"])
    assert await opened.color(FIRST, 0.9, 0.5) == PLAIN
    assert await opened.color(FIRST, 0.5, 0.5) != PLAIN
    await opened.page.mouse.move(0, 0)
    assert (await opened.page.locator(FIRST).bounding_box())["y"] == top
    asked = len(services["first"].requests)
    await opened.page.locator("input[value=difference]").check(force=True)
    assert await opened.color(PAIR, 0.9, 0.5) == GREYED
    await expect(opened.page.locator(".pair-controls")).to_contain_text("Only First (1)")
    await opened.page.locator("input[value=wipe]").check(force=True)
    await slide(opened, "input[name=wipe]", 100)
    assert await opened.color(PAIR, 0.9, 0.5) == PLAIN
    await opened.page.get_by_role("button", name="Show everything").click()
    assert await opened.color(PAIR, 0.9, 0.5) != PLAIN
    assert "score" not in opened.page.url
    assert len(services["first"].requests) == asked


async def test_classes_are_chosen_from_those_found(opened: Opened, services: Services) -> None:
    answer(services["second"], rectangle(0, 0, 20, 60, label=""))
    await compare(opened)
    await opened.page.locator("#classes summary").click()
    lines = opened.page.locator("#class-list label")
    await expect(lines).to_have_text(["dog2", "cat1", "without a class1"])
    await lines.nth(1).click()
    await expect(opened.page.locator("#classes-text")).to_have_text("cat")
    await expect(opened.panel("first").locator(".state")).to_contain_text("1 of 3 objects shown")
    await expect(opened.panel("second").locator(".state")).to_contain_text("0 of 1 object shown")
    await expect(cells(opened)).to_have_text(["0", NO_FIGURE, "1", "0", "0 %"])
    await lines.nth(2).click()
    await expect(opened.page.locator("#classes-text")).to_have_text("2 classes")
    await expect(cells(opened)).to_have_text(["1", "1.00", "0", "0", "100 %"])
    shared = await opened.color(SECOND, 0.1, 0.5)
    await lines.nth(1).click()
    await expect(opened.panel("first").locator(".state")).to_contain_text("0 of 3 objects")
    assert await opened.color(SECOND, 0.1, 0.5) == shared
    await opened.page.keyboard.press("Escape")
    await expect(lines.first).to_be_hidden()


async def test_the_overlap_of_a_match_is_moved_without_asking_again(
    opened: Opened, services: Services
) -> None:
    await compare(opened)
    assert await opened.color(FIRST, 0.1, 0.5) == await opened.color(SECOND, 0.1, 0.5)
    unmatched = await opened.color(FIRST, 0.5, 0.5)
    asked = len(services["first"].requests)
    await slide(opened, "#match-iou", 85)
    await expect(cells(opened)).to_have_text(["0", NO_FIGURE, "3", "1", "29 %"])
    assert await opened.color(FIRST, 0.1, 0.5) != await opened.color(SECOND, 0.1, 0.5)
    assert await opened.color(FIRST, 0.5, 0.5) == unmatched
    assert len(services["first"].requests) == asked
    assert "iou=0.85" in opened.page.url


async def test_filters_are_in_the_address(opened: Opened, services: Services) -> None:
    odd = "a, b & ~ %é"
    answer(services["first"], rectangle(0, 0, 20, 60, label=odd), rectangle(30, 0, 20, 60))
    await compare(opened)
    await opened.page.locator("#classes summary").click()
    await opened.page.locator("#class-list").get_by_label(odd).check()
    await slide(opened, "#least-score", 25)
    await slide(opened, "#match-iou", 85)
    await expect(opened.panel("first").locator(".state")).to_contain_text("1 of 2 objects shown")
    await opened.page.reload()
    await opened.choose()
    await expect(opened.panel("first").locator(".state")).to_contain_text("1 of 2 objects shown")
    await expect(opened.page.locator("#classes-text")).to_have_text(odd)
    await expect(opened.page.locator("#least-score-text")).to_have_text("0.25")
    await expect(opened.page.locator("#match-iou-text")).to_have_text("0.85")


@pytest.mark.parametrize("query", ["score=x&iou=0", "score=-1&iou=2", "classes=%25,%2C&iou=NaN"])
async def test_an_address_that_says_nonsense_filters_nothing_it_cannot(
    opened: Opened, services: Services, query: str
) -> None:
    await compare(opened, f"?{query}")
    await expect(opened.page.locator("#least-score-text")).to_have_text("0.00")
    await expect(opened.page.locator("#match-iou-text")).to_have_text("0.50")


def blobs(seed: int, count: int) -> list[Mask]:
    """Ellipses of which many overlap, and one without a pixel."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:60, :80]
    found = []
    for _ in range(count):
        (y, x), (a, b) = random.integers(5, 55, 2), random.integers(4, 14, 2)
        found.append(((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 < 1)
    return [Mask.from_array(pixels) for pixels in (*found, np.zeros((60, 80), bool))]


@pytest.mark.parametrize("match_iou", [0.05, 0.3, 0.5, 0.95])
@pytest.mark.parametrize("by_boxes", [False, True])
async def test_the_page_matches_as_the_gateway_does(
    opened: Opened, match_iou: float, by_boxes: bool
) -> None:
    masks = blobs(1, 40), blobs(2, 60)
    sides = [
        Answer(
            (60, 80), tuple(Found(None if by_boxes else m, m.box if by_boxes else None) for m in of)
        )
        for of in masks
    ]
    basis = Basis.BOX if by_boxes else Basis.MASK
    expected = agree(*sides, basis=basis, match_iou=match_iou)
    documents = [
        [
            {
                "segmentation": None
                if by_boxes
                else {"size": [60, 80], "counts": m.to_coco().decode()},
                "bbox": list(m.box.xywh) if m.box else None,
                "area": m.area,
                "score": 0.5,
                "label": "x",
            }
            for m in of
        ]
        for of in masks
    ]
    await opened.go()
    found = await opened.page.evaluate(
        """async ([sides, byBoxes, matchIou]) => {
          const { readAnswer } = await import("./js/canvas/segments.js");
          const { Matching } = await import("./js/compare/matching.js");
          const [a, b] = sides.map((segments, at) => readAnswer(
            { model_id: `model ${at}`, image_size: { width: 80, height: 60 }, segments }));
          return new Matching(a, b, byBoxes).agreement(matchIou, () => true);
        }""",
        [documents, by_boxes, match_iou],
    )
    assert [(m["index_a"], m["index_b"]) for m in found["matches"]] == [
        (m.index_a, m.index_b) for m in expected.matches
    ]
    assert [m["iou"] for m in found["matches"]] == pytest.approx([m.iou for m in expected.matches])
    assert (found["only_a"], found["only_b"]) == (list(expected.only_a), list(expected.only_b))
    assert found["foreground_iou"] == pytest.approx(expected.foreground_iou)
    assert found["mean_match_iou"] == pytest.approx(expected.mean_match_iou)
