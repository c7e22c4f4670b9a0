"""The prompt view: what a person points at is what the models are asked, and the way back."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable

import pytest
from browser_page import GREY, SIZE, Color, Opened, answer_prompts, grey_picture, held_back
from PIL import Image
from playwright.async_api import expect
from prompt_page import asked, points, start

from diptych.segment import v1 as pb
from diptych.testing import FakeSegmentService

Services = dict[str, FakeSegmentService]
SeeCards = Callable[[], Awaitable[None]]
PLAIN: Color = (GREY, GREY, GREY)
WIDTH = SIZE[1]
SECOND_CANVAS = '#prompt-panels .panel[data-model="second"] canvas'
FINE_PX = 0.5


@pytest.fixture(autouse=True)
def prompted(services: Services) -> None:
    """Both models find what they are pointed at."""
    for service in services.values():
        answer_prompts(service)


async def test_a_click_on_any_panel_asks_all_and_the_second_sends_no_picture(
    opened: Opened, services: Services
) -> None:
    await start(opened)
    assert all(not service.requests for service in services.values())
    await opened.point_at("first", 0.25, 0.5)
    for service in services.values():
        request = await asked(service, 1)
        assert request.task == pb.Task.TASK_PROMPTED_SEGMENTATION
        assert request.image.WhichOneof("source") == "encoded"
        assert [points(prompt) for prompt in request.prompts] == [[(0.25, 0.5, True)]]
    await expect(opened.page.locator("#overlaps")).to_have_text(
        "First and Second: IoU 1.00 on object 1."
    )
    assert await opened.color(SECOND_CANVAS, 0.29, 0.5) != PLAIN
    await opened.point_at("second", 0.5, 0.75)
    for service in services.values():
        request = await asked(service, 2)
        assert request.image.WhichOneof("source") == "sha256"
        (prompt,) = request.prompts
        assert points(prompt) == [(0.25, 0.5, True), (0.5, 0.75, True)]


async def test_background_points_come_with_alt_or_with_the_switch(
    opened: Opened, services: Services
) -> None:
    await start(opened)
    await opened.point_at("first", 0.5, 0.5, key="Alt")
    await expect(opened.page.locator("#objects")).to_contain_text("needs a point on it, or a box")
    await opened.expect_state("first", "idle")
    assert not services["first"].requests
    await opened.point_at("first", 0.25, 0.25)
    await asked(services["first"], 1)
    await opened.page.locator("#background").check()
    await opened.point_at("first", 0.75, 0.25)
    (prompt,) = (await asked(services["first"], 2)).prompts
    assert points(prompt) == [(0.5, 0.5, False), (0.25, 0.25, True), (0.75, 0.25, False)]


async def test_a_drag_in_any_direction_draws_a_box(opened: Opened, services: Services) -> None:
    await start(opened)
    await opened.drag("first", (0.75, 0.9), (0.25, 0.4))
    (prompt,) = (await asked(services["second"], 1)).prompts
    assert not prompt.points
    edges = [prompt.box.x_min_px, prompt.box.y_min_px, prompt.box.x_max_px, prompt.box.y_max_px]
    assert edges == pytest.approx([20, 24, 60, 54], abs=FINE_PX)
    await opened.expect_state("second", "done")
    assert await opened.color(SECOND_CANVAS, 0.5, 0.6) != PLAIN
    await opened.drag("first", (0.5, 0.5), (1.5, 0.75))
    (prompt,) = (await asked(services["second"], 2)).prompts
    assert prompt.box.x_max_px == WIDTH
    assert prompt.box.y_max_px == pytest.approx(45, abs=FINE_PX)


async def test_every_step_can_be_undone_and_done_again(opened: Opened, services: Services) -> None:
    first = services["first"]
    page = opened.page
    await start(opened)
    await opened.point_at("first", 0.25, 0.5)
    await asked(first, 1)
    await opened.point_at("first", 0.75, 0.5)
    await asked(first, 2)
    await opened.point_at("first", 0.255, 0.5)  # on the first point's mark: away with it
    assert points((await asked(first, 3)).prompts[0]) == [(0.75, 0.5, True)]
    await page.locator("#undo").click()
    assert len((await asked(first, 4)).prompts[0].points) == 2
    await page.locator("#redo").click()
    assert len((await asked(first, 5)).prompts[0].points) == 1
    await expect(page.locator("#redo")).to_have_attribute("aria-disabled", "true")
    await page.locator("#clear").click()
    await opened.expect_state("first", "idle")
    assert "objects=" not in page.url
    assert await opened.color(SECOND_CANVAS, 0.79, 0.5) == PLAIN
    await page.keyboard.press("Control+z")
    assert points((await asked(first, 6)).prompts[0]) == [(0.75, 0.5, True)]
    await opened.expect_state("first", "done")


async def test_objects_have_colours_names_and_prompts_of_their_own(
    opened: Opened, services: Services
) -> None:
    page = opened.page
    await start(opened)
    await opened.point_at("first", 0.25, 0.5, key="Alt")
    await page.locator("#new-object").click()
    await opened.point_at("first", 0.5, 0.5)
    await asked(services["first"], 1)
    # The only prompt is for the second object: the first has no point on it.
    await expect(opened.panel("first").locator(".legend .label")).to_have_text("object 2")
    await page.keyboard.press("n")
    await opened.point_at("first", 0.8, 0.5)
    request = await asked(services["first"], 2)
    assert [points(p) for p in request.prompts] == [[(0.5, 0.5, True)], [(0.8, 0.5, True)]]
    labels = opened.panel("second").locator(".legend .label")
    await expect(labels).to_have_text(["object 2", "object 3"])
    colors = [await opened.color(SECOND_CANVAS, x, 0.55) for x in (0.54, 0.84)]
    assert colors[0] != colors[1]
    assert PLAIN not in colors
    await page.get_by_role("button", name="Object 2").first.click()
    await page.get_by_role("button", name="Remove object 1").click()
    await expect(page.locator("#objects [data-choose]")).to_have_count(2)
    # What was object 2 is chosen still, under the name it has now.
    await expect(page.locator("#objects [aria-pressed=true]")).to_contain_text("Object 1")
    await expect(labels).to_have_text(["object 1", "object 2"])


async def test_masks_stay_until_the_new_ones_come_and_only_the_newest_question_counts(
    opened: Opened, services: Services
) -> None:
    await start(opened)
    await opened.point_at("first", 0.25, 0.5)
    await asked(services["second"], 1)
    await opened.expect_state("second", "done")
    before = await opened.color(SECOND_CANVAS, 0.29, 0.5)
    assert before != PLAIN
    go_on = held_back(services["second"])
    await opened.drag("first", (0.6, 0.2), (0.9, 0.4))
    await asked(services["second"], 2)
    await opened.expect_state("second", "waiting")
    assert await opened.color(SECOND_CANVAS, 0.29, 0.5) == before
    answer_prompts(services["second"])
    await opened.page.locator("#undo").click()
    await asked(services["second"], 3)
    await opened.expect_state("second", "done")
    go_on.set()
    assert await opened.color(SECOND_CANVAS, 0.29, 0.5) == before
    await expect(opened.panel("second").locator(".state")).to_contain_text("1 object in")


async def test_a_picture_that_is_not_held_any_more_is_sent_again_unnoticed(
    opened: Opened, services: Services
) -> None:
    await start(opened)
    await opened.point_at("first", 0.25, 0.5)
    await asked(services["first"], 1)
    await opened.expect_state("first", "done")
    services["first"].fail("IMAGE_NOT_HELD", times=2)  # the gateway sends what it has, once
    await opened.point_at("first", 0.75, 0.5)
    request = await asked(services["first"], 4)
    assert request.image.WhichOneof("source") == "encoded"
    await opened.expect_state("first", "done")
    assert await opened.color(SECOND_CANVAS, 0.29, 0.5) != PLAIN


async def test_a_picture_that_is_never_held_is_an_error_and_not_asked_for_ever(
    opened: Opened, services: Services
) -> None:
    await start(opened)
    await opened.point_at("first", 0.25, 0.5)
    await opened.expect_state("first", "done")
    services["first"].fail("IMAGE_NOT_HELD", "no such picture")
    await opened.point_at("first", 0.75, 0.5)
    await opened.expect_state("first", "error")
    await expect(opened.panel("first").locator(".state")).to_contain_text("Choose it again")


async def test_the_address_brings_everything_back_but_what_cannot_be_used(
    opened: Opened, services: Services
) -> None:
    usable = "120,80;-200,90.5;b10,10,50,60/40,50"
    junk = "/;;/1,2,3;b9,9,1,1;NaN,1;1e9,1;<b>/999,1"
    await opened.go(f"?view=prompt&sample=shapes&objects={usable}{junk}")
    await asked(services["first"], 2)
    # The lone point is asked for all that it may mean, beside the other object.
    requests = sorted(services["first"].requests, key=lambda request: request.output.all_candidates)
    first, second = [prompt for request in requests for prompt in request.prompts]
    assert [(p.x_px, p.y_px) for p in first.points] == [(120, 80), (200, 90.5)]
    assert [p.label for p in first.points] == [
        pb.PointLabel.POINT_LABEL_FOREGROUND,
        pb.PointLabel.POINT_LABEL_BACKGROUND,
    ]
    assert (first.box.x_min_px, first.box.y_max_px) == (10, 60)
    assert [(p.x_px, p.y_px) for p in second.points] == [(40, 50)]
    await opened.expect_state("second", "done")
    assert opened.page.url.endswith(f"objects={usable}")
    await opened.page.locator("#to-models").click()
    await opened.page.go_back()
    await opened.expect_state("second", "done")
    assert opened.page.url.endswith(f"objects={usable}")
    await opened.choose()
    await opened.expect_state("second", "idle")
    assert "objects=" not in opened.page.url
    assert len(services["first"].requests) == 2


async def test_the_keyboard_alone_points_and_draws(opened: Opened, services: Services) -> None:
    first, press = services["first"], opened.page.keyboard.press
    await start(opened)
    await opened.panel("first").locator("canvas").focus()
    await press("Shift+ArrowRight")
    await press("ArrowDown")
    await expect(opened.page.locator("#prompt-said")).to_have_text("At 48, 30.6")
    await press("Enter")
    assert points((await asked(first, 1)).prompts[0]) == [(0.6, 0.51, True)]
    await press("Shift+ArrowLeft")
    await press("Alt+Enter")
    assert points((await asked(first, 2)).prompts[0])[1] == (0.5, 0.51, False)
    await press("Shift+ArrowUp")
    await press("Shift+Enter")
    assert points((await asked(first, 3)).prompts[0])[2] == (0.5, 0.41, False)
    await press("Enter")  # on that point: away with it
    assert len((await asked(first, 4)).prompts[0].points) == 2
    await press("n")
    await press("b")
    await press("Shift+ArrowDown")
    await press("Escape")
    await press("b")
    await press("Shift+ArrowLeft")
    await press("Shift+ArrowUp")
    await press("b")
    box = (await asked(first, 5)).prompts[1].box
    edges = [box.x_min_px, box.y_min_px, box.x_max_px, box.y_max_px]
    assert edges == pytest.approx([32, 24.6, 40, 30.6], abs=0.01)
    await press("Control+z")
    assert len((await asked(first, 6)).prompts) == 1
    await press("Control+Shift+z")
    assert len((await asked(first, 7)).prompts) == 2


async def test_the_middle_button_moves_and_zoom_keeps_places(
    opened: Opened, services: Services
) -> None:
    await start(opened)
    await opened.panel("first").locator("canvas").focus()
    for _ in range(5):
        await opened.page.keyboard.press("+")
    await opened.drag("first", (0.3, 0.3), (0.9, 0.9), button="middle")
    await opened.point_at("second", 0.5, 0.5)
    ((x, y, _),) = points((await asked(services["first"], 1)).prompts[0])
    zoom = 1.25**5
    assert (x, y) == pytest.approx((0.5 - 0.6 / zoom, 0.5 - 0.6 / zoom), abs=0.02)


async def test_a_turned_photo_is_pointed_at_as_it_is_seen(
    opened: Opened, services: Services
) -> None:
    lying = Image.open(io.BytesIO(grey_picture()))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter: 60 across, 80 down
    file = io.BytesIO()
    lying.save(file, "JPEG", exif=exif)
    await opened.go("?view=prompt")
    await opened.choose(file.getvalue(), "turned.jpg")
    await opened.expect_state("first", "idle")
    await opened.point_at("first", 0.5, 0.9)
    (point,) = (await asked(services["first"], 1)).prompts[0].points
    assert (point.x_px, point.y_px) == pytest.approx((30, 72), abs=FINE_PX)


async def test_a_failing_model_leaves_the_other_alone(opened: Opened, services: Services) -> None:
    services["second"].fail("DEVICE_MEMORY", "the device has no memory left for this picture")
    await start(opened)
    await opened.point_at("second", 0.25, 0.5)
    await opened.expect_state("first", "done")
    await opened.expect_state("second", "error")
    await expect(opened.panel("second").locator(".state")).to_contain_text("no memory left")
    services["second"].recover()
    await opened.point_at("second", 0.75, 0.5)
    await opened.expect_state("second", "done")


async def test_a_model_that_takes_no_prompts_says_so_and_is_not_asked(
    opened: Opened, services: Services, see_cards: SeeCards
) -> None:
    del services["second"].cards["second"].tasks[:]
    services["second"].cards["second"].tasks.append(pb.Task.TASK_INSTANCE_SEGMENTATION)
    await see_cards()
    await opened.go("?view=prompt")
    await opened.choose()
    await expect(opened.panel("second").locator(".state")).to_have_text(
        "Second does not do prompted segmentation. It does: instance segmentation."
    )
    await expect(opened.panel("second").locator("canvas")).to_be_hidden()
    await opened.point_at("first", 0.25, 0.5)
    assert points((await asked(services["first"], 1)).prompts[0]) == [(0.25, 0.5, True)]
    await opened.expect_state("first", "done")
    assert not services["second"].requests
