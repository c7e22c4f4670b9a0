"""Several pictures at once: a strip to go through, answers that are kept, and all of them saved."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from browser_page import Opened, answer_prompts, grey_picture
from playwright.async_api import Locator, Route, expect
from pycocotools.coco import COCO
from supervision import polygon_to_mask

from diptych import Mask, Segment
from diptych.testing import FakeCall, FakeSegmentService

Services = dict[str, FakeSegmentService]
SIDES = (10, 20, 30, 40, 50)
MANY = 1000

COUNT_DECODED = """
window.decoded = 0;
const make = window.createImageBitmap;
window.createImageBitmap = (...given) => {
  window.decoded += 1;
  return make(...given);
};
"""


def leaf(call: FakeCall) -> list[Segment]:
    """A square as wide as the picture is wider than 100 pixels, and a speck beside it."""
    found = []
    for label, side, left in (("leaf", call.image_size[1] - 100, 0), ("dust", 2, 90)):
        pixels = np.zeros(call.image_size, bool)
        pixels[:side, left : left + side] = True
        mask = Mask.from_array(pixels)
        found.append(Segment(score=0.9, box=mask.box, mask=mask, label=label, area=mask.area))
    return found


@pytest.fixture
def leaves(services: Services, tmp_path: Path) -> Path:
    """A folder of five pictures in which leaves of different sizes are found, and other files."""
    for service in services.values():
        service.answer_with(leaf)
    folder = tmp_path / "leaves"
    (folder / "tree").mkdir(parents=True)
    for number, side in enumerate(SIDES):
        place = folder if number < 4 else folder / "tree"
        (place / f"leaf {number + 8}.png").write_bytes(grey_picture((70, 100 + side)))
    (folder / "notes.txt").write_text("dry ones on top")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


async def open_folder(opened: Opened, folder: Path) -> None:
    await opened.page.locator("#folder").set_input_files(folder)
    await expect(opened.page.locator("#strip")).to_be_visible()


async def answered(opened: Opened) -> None:
    for model in ("first", "second"):
        await opened.expect_state(model, "done")


def thumbnail(opened: Opened, place: int) -> Locator:
    return opened.page.locator(f'#strip-track [data-place="{place}"]')


async def expect_shown(opened: Opened, name: str, area: int) -> None:
    await expect(opened.page.locator("#picture-name")).to_contain_text(name)
    row = opened.panel("first").locator(".legend button[aria-pressed]", has_text="leaf")
    await expect(row).to_contain_text(f"{area:,} px")
    await answered(opened)


async def test_a_folder_is_gone_through_and_no_picture_is_asked_twice(
    opened: Opened, services: Services, leaves: Path
) -> None:
    await opened.go("?sample=figure")
    await answered(opened)
    asked = len(services["first"].requests)
    await open_folder(opened, leaves)
    said = opened.page.locator("#strip-said")
    await expect_shown(opened, "leaves/leaf 8.png", 10 * 10)
    note = opened.page.locator("#strip-note")
    await expect(note).to_have_text("1 file is no picture and is left out.")
    height = await opened.page.evaluate("document.getElementById('panels').offsetTop")
    await opened.page.keyboard.press("PageDown")
    # By number, as a person counts: 9 before 10.
    await expect_shown(opened, "leaves/leaf 9.png", 20 * 20)
    await expect(thumbnail(opened, 1)).to_have_attribute("aria-current", "true")
    await opened.page.locator("#strip-on").click()
    await expect_shown(opened, "leaves/leaf 10.png", 30 * 30)
    await opened.panel("first").locator(".legend button[aria-pressed]", has_text="dust").click()
    await thumbnail(opened, 4).click()
    await expect_shown(opened, "leaves/tree/leaf 12.png", 50 * 50)
    await expect(said).to_contain_text("Picture 5 of 5. 4 answered.")
    await expect(thumbnail(opened, 3)).to_have_attribute("data-state", "")
    assert len(services["first"].requests) == asked + 4
    await thumbnail(opened, 4).press("ArrowLeft")
    await expect_shown(opened, "leaves/leaf 11.png", 40 * 40)
    await expect(thumbnail(opened, 3)).to_be_focused()
    await opened.page.keyboard.press("ArrowLeft")
    await expect_shown(opened, "leaves/leaf 10.png", 30 * 30)
    # What was hidden is hidden still, though another picture was seen since.
    dust = opened.panel("first").locator(".legend button[aria-pressed]", has_text="dust")
    await expect(dust).to_have_attribute("aria-pressed", "false")
    await opened.page.keyboard.press("Home")
    await expect_shown(opened, "leaves/leaf 8.png", 10 * 10)
    assert len(services["first"].requests) == asked + 5
    assert await opened.page.evaluate("document.getElementById('panels').offsetTop") == height
    await opened.page.locator("#to-models").click()
    await expect(opened.page.locator("#strip")).to_be_hidden()
    await opened.page.go_back()
    await expect(opened.page.locator("#strip")).to_be_visible()
    # Back leads out of the folder, not through everything that was looked at in it.
    await opened.page.go_back()
    await expect(opened.page.locator("#picture-name")).to_contain_text("figure.webp")
    await opened.page.locator("#strip-close").click()
    await expect(opened.page.locator("#strip")).to_be_hidden()


async def test_what_failed_is_marked_and_asked_again(
    opened: Opened, services: Services, leaves: Path
) -> None:
    (leaves / "leaf 7.png").write_bytes(b"no picture")
    await opened.go("?sample=figure")
    await answered(opened)
    services["second"].stop()
    await open_folder(opened, leaves)
    await expect(opened.page.locator("#problem")).to_contain_text("“leaves/leaf 7.png” is not")
    await expect(thumbnail(opened, 0)).to_have_attribute("data-state", "failed")
    await opened.page.keyboard.press("PageDown")
    await opened.expect_state("first", "done")
    await expect(thumbnail(opened, 1)).to_have_attribute("data-state", "failed")
    await expect(thumbnail(opened, 1)).to_have_accessible_name("2 of 6: leaves/leaf 8.png, failed")
    asked = len(services["first"].requests)
    await opened.page.keyboard.press("PageDown")
    await expect(opened.page.locator("#picture-name")).to_contain_text("leaf 9.png")
    await opened.expect_state("first", "done")
    await opened.page.keyboard.press("PageUp")
    await expect(opened.page.locator("#picture-name")).to_contain_text("leaf 8.png")
    await opened.expect_state("first", "done")
    assert len(services["first"].requests) == asked + 2


async def test_each_picture_keeps_what_was_pointed_at(
    opened: Opened, services: Services, leaves: Path
) -> None:
    for service in services.values():
        answer_prompts(service)
    await opened.go("?view=prompt")
    await open_folder(opened, leaves)
    await expect(opened.page.locator("#picture-name")).to_contain_text("leaf 8.png")
    await opened.expect_state("first", "idle")
    await opened.point_at("first", 0.5, 0.5)
    await answered(opened)
    first = await opened.page.evaluate("location.search")
    await opened.page.keyboard.press("PageDown")
    await expect(opened.page.locator("#picture-name")).to_contain_text("leaf 9.png")
    await opened.expect_state("first", "idle")
    await opened.point_at("first", 0.2, 0.2)
    await answered(opened)
    asked = len(services["first"].requests)
    await opened.page.keyboard.press("PageUp")
    await expect(opened.page.locator("#picture-name")).to_contain_text("leaf 8.png")
    await answered(opened)
    assert await opened.page.evaluate("location.search") == first
    assert len(services["first"].requests) == asked


async def test_a_thousand_pictures_take_no_more_room_than_are_in_sight(
    opened: Opened, leaves: Path
) -> None:
    picture = grey_picture((70, 110))
    files = [
        {"name": f"{number}.png", "mimeType": "image/png", "buffer": picture}
        for number in range(MANY)
    ]
    await opened.page.add_init_script(COUNT_DECODED)
    await opened.go("?sample=figure")
    await answered(opened)
    await opened.page.locator("#file").set_input_files(files)  # type: ignore[arg-type]
    await expect(opened.page.locator("#picture-name")).to_contain_text("0.png")
    await answered(opened)
    buttons = opened.page.locator("#strip-track button")
    await expect(buttons.last.locator("canvas")).to_be_visible()
    assert await buttons.count() < 40
    await buttons.first.press("End")
    await expect(opened.page.locator("#picture-name")).to_contain_text("999.png")
    await expect(thumbnail(opened, MANY - 1).locator("canvas")).to_be_visible()
    await expect(opened.page.locator("#strip-said")).to_contain_text(f"of {MANY}. 2 answered.")
    assert await buttons.count() < 40
    assert await opened.page.evaluate("window.decoded") < 100


async def saved(opened: Opened, kind: str, model: str, folder: Path) -> Path:
    """The file of all answered pictures in a format, where the person saved it."""
    page = opened.page
    await page.locator("#take-format").select_option(kind)
    await page.locator("#take-models").select_option(model)
    await page.locator("#take-pictures").select_option("all")
    async with page.expect_download() as waiting:
        await page.locator("#take-save").click()
    download = await waiting.value
    await download.save_as(folder / download.suggested_filename)
    return folder / download.suggested_filename


async def test_an_annotator_labels_five_pictures_of_a_folder(
    opened: Opened, leaves: Path, tmp_path: Path
) -> None:
    # She opens the folder of the day, and the first picture is asked about at once.
    await opened.go()
    await open_folder(opened, leaves)
    await expect_shown(opened, "leaves/leaf 8.png", 10 * 10)
    # Only leaves are wanted, so she chooses their class; it stays chosen in all that follow.
    await opened.page.locator("#classes summary").click()
    await opened.page.locator("#class-list").get_by_label("leaf").check()
    await opened.page.keyboard.press("Escape")
    await expect(
        opened.panel("first").locator(".legend button[aria-pressed]:visible")
    ).to_have_count(1)
    # She goes on with one key. The third picture's leaf is torn: she hides it.
    for number, side in enumerate(SIDES[1:], 9):
        await opened.page.keyboard.press("PageDown")
        await expect_shown(opened, f"leaf {number}.png", side * side)
        if number == 10:
            await (
                opened.panel("first")
                .locator(".legend button[aria-pressed]", has_text="leaf")
                .click()
            )
    await expect(opened.page.locator("#strip-said")).to_contain_text("5 answered")
    # All of them are one COCO file, which pycocotools reads: each leaf, without the torn one.
    file = await saved(opened, "coco", "first", tmp_path)
    assert file.name == "pictures-first.coco.json"
    data = COCO(file)
    names = {one["id"]: one["file_name"] for one in data.loadImgs(data.getImgIds())}
    assert list(names.values()) == [
        "leaves/leaf 8.png",
        "leaves/leaf 9.png",
        "leaves/leaf 10.png",
        "leaves/leaf 11.png",
        "leaves/tree/leaf 12.png",
    ]
    labelled = data.loadAnns(data.getAnnIds())
    assert [names[one["image_id"]] for one in labelled] == [
        name for name in names.values() if "10" not in name
    ]
    for one in labelled:
        side = data.imgs[one["image_id"]]["width"] - 100
        wanted = np.zeros((70, 100 + side), bool)
        wanted[:side, :side] = True
        assert np.array_equal(data.annToMask(one).astype(bool), wanted)
        assert data.cats[one["category_id"]]["name"] == "leaf"
    # Her trainer wants YOLO: the same leaves, as its readers fill polygons.
    with zipfile.ZipFile(await saved(opened, "yolo-seg", "first", tmp_path)) as archive:
        labels = {name: archive.read(name).decode() for name in archive.namelist()}
    assert labels["labels/leaves/leaf 10.txt"] == ""
    for name, side in (("leaf 8", 10), ("leaf 9", 20), ("leaf 11", 40), ("tree/leaf 12", 50)):
        (line,) = labels[f"labels/leaves/{name}.txt"].splitlines()
        size = (70, 100 + side)
        corners = np.array([float(part) for part in line.split()[1:]]).reshape(-1, 2)
        outline = (corners * size[::-1]).round().astype(int)
        pixels = np.zeros(size, bool)
        pixels[:side, :side] = True
        assert np.array_equal(polygon_to_mask(outline, size[::-1]).astype(bool), pixels)


async def test_all_pictures_are_asked_about_one_after_the_other(
    opened: Opened, services: Services, leaves: Path
) -> None:
    (leaves / "leaf 9.png").write_bytes(b"no picture")
    await opened.go()
    await open_folder(opened, leaves)
    await opened.page.get_by_role("button", name="Ask about all").click()
    said = opened.page.locator("#strip-said")
    await expect(said).to_contain_text("Picture 5 of 5. 4 answered, 1 failed.")
    await expect(opened.page.get_by_role("button", name="Ask about all")).to_be_visible()
    await expect(opened.page.locator("#take-pictures")).to_contain_text("all 4 answered pictures")
    assert len(services["first"].requests) == 4
    await opened.page.locator("#to-prompt").click()
    await expect(opened.page.get_by_role("button", name="Ask about all")).to_be_hidden()


async def test_answers_are_kept_within_bounds(opened: Opened, leaves: Path) -> None:
    async def with_less_room(route: Route) -> None:
        answered = await route.fetch()
        body = (await answered.text()).replace("64 * 2 ** 20", "1500")
        await route.fulfill(response=answered, body=body)

    await opened.page.route("**/kept.js", with_less_room)
    await opened.page.route("**/collected.js", with_less_room)
    await opened.go()
    await open_folder(opened, leaves)
    said = opened.page.locator("#strip-said")
    await expect(said).to_contain_text("1 answered.")
    for place in range(2, 6):
        await opened.page.keyboard.press("PageDown")
        await expect(said).to_contain_text(f"Picture {place} of 5.")
        await answered(opened)
        await expect(thumbnail(opened, place - 1)).to_have_attribute("data-state", "done")
    # The oldest are asked again when they are looked at again.
    await expect(thumbnail(opened, 0)).to_have_attribute("data-state", "")
    await expect(opened.page.locator("#take-pictures")).not_to_contain_text("5")
