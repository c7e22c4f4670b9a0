"""What stands still: pictures under prompts and answers; which models are looked at, and how."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import pytest
from browser_page import WATCH, Opened, answer, answer_prompts, rectangle
from playwright.async_api import expect

from diptych.segment import v1 as pb
from diptych.testing import FakeSegmentService

SeeCards = Callable[[], Awaitable[None]]
Services = dict[str, FakeSegmentService]

NAMES = ("one", "two", "three")


@pytest.fixture
def services() -> Iterator[Services]:
    """Three services, one beside the other."""
    made = {name: FakeSegmentService((name,), gateway=False) for name in NAMES}
    for number, (name, service) in enumerate(made.items()):
        service.cards[name].display_name = f"{name.title()} (demo weights)"
        answer(service, rectangle(25 * number, 0, 20, 60), rectangle(0, 0, 5, 5))
        service.start()
    yield made
    for service in made.values():
        service.stop()


@pytest.fixture
async def watched(opened: Opened) -> Opened:
    """A page that adds up how far things move."""
    await opened.page.add_init_script(WATCH)
    return opened


async def top(opened: Opened, model: str = "one") -> float:
    """Where a picture begins, from the top of the page."""
    found: float = (
        await opened.panel(model)
        .locator("canvas")
        .evaluate("(canvas) => canvas.getBoundingClientRect().top + scrollY")
    )
    return found


@pytest.mark.parametrize("width", [1440, 1024, 360])
async def test_ten_prompts_move_no_picture(
    watched: Opened, services: Services, see_cards: SeeCards, width: int
) -> None:
    for service in services.values():
        answer_prompts(service)
    await see_cards()
    await watched.page.set_viewport_size({"width": width, "height": 900})
    await watched.go("?view=prompt")
    await watched.choose()
    await watched.expect_state("one", "idle")
    await watched.panel("one").locator("canvas").scroll_into_view_if_needed()
    await watched.page.evaluate("shifted = 0")
    places = [await top(watched)]
    for number in range(10):
        if number in (3, 6):
            await watched.page.locator("#new-object").click()
        await watched.point_at("one", 0.1 + 0.08 * number, 0.1 + 0.08 * number)
        places.append(await top(watched))
        await watched.expect_state("two", "done")
        places.append(await top(watched))
    assert set(places) == {places[0]}
    assert await watched.page.evaluate("shifted") < 0.02


@pytest.mark.parametrize("width", [1440, 1024, 360])
async def test_answers_push_no_picture_and_little_else(watched: Opened, width: int) -> None:
    await watched.page.set_viewport_size({"width": width, "height": 900})
    await watched.go("?sample=crowd")
    await watched.expect_state("three", "done")
    await expect(watched.page.locator("#agreement-said")).not_to_be_empty()
    if width == 360:
        assert await watched.page.evaluate("shifted") < 0.02
        await watched.page.locator("#how-toggle").click()
        await watched.page.evaluate("shifted = 0")
    before = await top(watched)
    await watched.page.locator("input[value=object-detection]").check(force=True)
    await expect(watched.page.locator("#agreement-said")).not_to_be_empty()
    assert await top(watched) == before
    assert await watched.page.evaluate("shifted") < 0.02


async def test_panels_share_their_rows(
    opened: Opened, services: Services, see_cards: SeeCards
) -> None:
    services["two"].cards["two"].display_name = "A name " + "that goes on and on " * 4
    await see_cards()
    await opened.go()
    await opened.choose()
    await opened.expect_state("two", "done")
    for part in ("canvas", ".state", ".legend", ".timings"):
        tops = [await opened.panel(name).locator(part).bounding_box() for name in NAMES]
        assert len({box["y"] for box in tops}) == 1, part


async def test_agreement_is_a_table_of_pairs_whose_room_is_kept(opened: Opened) -> None:
    await opened.go()
    await opened.choose()
    rows = opened.page.locator("#agreement tbody tr")
    await expect(rows.locator("th")).to_have_text(["One and Two", "One and Three", "Two and Three"])
    await expect(rows.first.locator("td")).to_have_text(["1", "1.00", "1", "1", "1 %"])


async def test_models_are_chosen_by_check_boxes(opened: Opened) -> None:
    await opened.go()
    await opened.choose()
    await opened.expect_state("three", "done")
    ticks = opened.page.locator("#model-choice label")
    await expect(ticks).to_have_text(["One", "Two", "Three"])
    await ticks.nth(1).click()
    await expect(opened.panel("two")).to_have_count(0)
    await expect(opened.page.locator("#agreement tbody th")).to_have_text(["One and Three"])
    await opened.page.reload()
    await expect(opened.page.locator("#model-choice input").nth(1)).not_to_be_checked()
    await expect(opened.panel("two")).to_have_count(0)
    await opened.page.locator("#to-prompt").click()
    await expect(opened.panel("one")).to_be_visible()
    await expect(opened.panel("two")).to_have_count(0)
    await opened.page.locator("#model-choice input").nth(1).check()
    await expect(opened.panel("two")).to_be_visible()


async def test_a_model_that_cannot_do_the_task_is_one_line(
    opened: Opened, services: Services, see_cards: SeeCards
) -> None:
    del services["one"].cards["one"].tasks[:]
    services["one"].cards["one"].tasks.append(pb.Task.TASK_KEYPOINT_DETECTION)
    await see_cards()
    await opened.go()
    await opened.choose()
    await opened.expect_state("one", "unable")
    await opened.expect_state("two", "done")
    line, panel = [await opened.panel(name).bounding_box() for name in ("one", "two")]
    assert line["height"] < 60
    assert line["y"] > panel["y"] + panel["height"]
    assert panel["width"] > 500
    await expect(opened.panel("one").locator(".state")).to_have_text(
        "One (demo weights) does not do instance segmentation. It does: keypoint detection."
    )


async def test_a_narrow_screen_shows_one_model_and_tabs_for_the_others(opened: Opened) -> None:
    await opened.page.set_viewport_size({"width": 360, "height": 740})
    await opened.go("?view=prompt")
    await opened.choose()
    tabs = opened.page.locator("#prompt-view .tabs button")
    await expect(tabs).to_have_text(["One", "Two", "Three"])
    await expect(tabs.first).to_have_attribute("aria-pressed", "true")
    await expect(opened.panel("two")).to_be_hidden()
    await tabs.nth(1).press("Enter")
    await expect(opened.panel("two")).to_be_visible()
    await expect(opened.panel("one")).to_be_hidden()
    await expect(tabs.nth(1)).to_be_focused()
    await opened.panel("two").locator(".costs").scroll_into_view_if_needed()
    await expect(opened.page.locator("#undo")).to_be_in_viewport()
    assert await opened.page.evaluate("document.documentElement.scrollWidth") <= 360


async def test_wide_screens_need_no_tabs(opened: Opened) -> None:
    await opened.go()
    await expect(opened.page.locator("#compare-view .tabs button").first).to_be_hidden()
