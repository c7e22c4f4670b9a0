"""Pictures of all kinds: which way is up, what is converted, and what the browser cannot read."""

from __future__ import annotations

import io

import numpy as np
import picture_files
import pytest
from browser_page import Opened, answer
from PIL import Image
from playwright.async_api import Route, expect

from diptych import Mask, Segment
from diptych.testing import FakeCall, FakeSegmentService

Services = dict[str, FakeSegmentService]
CANVAS = '.panel[data-model="first"] canvas'
TIMES = "\N{MULTIPLICATION SIGN}"
WIDTH, HEIGHT = picture_files.SIZE
QUARTERS = [(x, y) for y in (0.25, 0.75) for x in (0.25, 0.75)]


@pytest.fixture
def nothing_found(services: Services) -> None:
    for service in services.values():
        answer(service)


async def expect_scene(opened: Opened, name: str, tolerance: int = 12) -> None:
    """The picture lies upright, and both models have answered about it as it is shown."""
    for model in ("first", "second"):
        await opened.expect_state(model, "done")
    scene = picture_files.scene()
    for x, y in QUARTERS:
        shown = await opened.color(CANVAS, x, y)
        wanted = scene.getpixel((int(x * WIDTH), int(y * HEIGHT)))
        assert np.abs(np.subtract(shown, wanted)).max() <= tolerance, (name, x, y, shown, wanted)


@pytest.mark.usefixtures("nothing_found")
async def test_a_picture_lies_as_services_read_it(opened: Opened) -> None:
    await opened.go()
    for name, data in picture_files.turned():
        if name.startswith("exif") and name[4] not in "67" and not name.endswith("webp"):
            continue
        await opened.choose(data, name)
        size = f"{name}, {WIDTH} {TIMES} {HEIGHT} pixels"
        await expect(opened.page.locator("#picture-name")).to_have_text(size)
        await expect_scene(opened, name)


@pytest.mark.usefixtures("nothing_found")
async def test_what_the_browser_can_read_is_converted(opened: Opened, services: Services) -> None:
    await opened.go()
    for name, data in picture_files.elsewhere():
        if name.endswith(".tif") or name.startswith("grey"):
            continue
        await opened.choose(data, name)
        size = f"{name}, {WIDTH} {TIMES} {HEIGHT} pixels, sent as PNG"
        await expect(opened.page.locator("#picture-name")).to_have_text(size)
        await expect_scene(opened, name)
        assert services["first"].requests[-1].image.encoded[:4] == b"\x89PNG"


async def test_what_it_cannot_read_is_said_by_name(opened: Opened) -> None:
    await opened.go()
    for kind, data in (
        ("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(90)),
        ("AVIF", b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif" + bytes(90)),
        ("TIFF", dict(picture_files.elsewhere())["x.tif"]),
    ):
        await opened.choose(data, "photo")
        await expect(opened.page.locator("#problem")).to_contain_text(
            f"“photo” is a {kind} file, which this browser cannot read."
        )


@pytest.mark.usefixtures("nothing_found")
async def test_an_answer_about_another_size_is_not_drawn(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diptych.testing._service.image_size", lambda data: (WIDTH, HEIGHT))
    await opened.go()
    await opened.choose(picture_files.saved(picture_files.scene(), "PNG"))
    await opened.expect_state("first", "error")
    await expect(opened.panel("first").locator(".state")).to_have_text(
        "The answer cannot be drawn: the model read "
        f"48 {TIMES} 64 pixels, this browser 64 {TIMES} 48."
    )


async def test_what_is_wrong_with_a_file_is_said_beside_its_answer(opened: Opened) -> None:
    async def with_a_warning(route: Route) -> None:
        answered = await route.fetch()
        said = (await answered.text()).replace(
            '"warnings": []', '"warnings": ["image: the PNG file is damaged"]'
        )
        await route.fulfill(response=answered, body=said)

    await opened.page.route("**/api/compare/stream", with_a_warning)
    await opened.go()
    await opened.choose()
    await opened.expect_state("first", "done")
    await expect(opened.panel("first").locator(".state")).to_contain_text(
        ". Image: the PNG file is damaged."
    )


@pytest.fixture
def quarter_found(services: Services) -> None:
    """Both find the top right quarter of the picture, upright."""

    def find(call: FakeCall) -> list[Segment]:
        height, width = call.image_size
        pixels = np.zeros((height, width), bool)
        pixels[: height // 2, width // 2 :] = True
        mask = Mask.from_array(pixels)
        return [Segment(score=0.9, box=mask.box, mask=mask, label="green", area=mask.area)]

    for service in services.values():
        service.answer_with(find)


@pytest.mark.usefixtures("quarter_found")
async def test_masks_lie_on_what_they_are_of(opened: Opened) -> None:
    await opened.go()
    files = dict(picture_files.turned())
    for name in ("exif6.webp", "xmp6.jpg"):
        await opened.choose(files[name], name)
        for model in ("first", "second"):
            await opened.expect_state(model, "done")
        shown = [await opened.color(CANVAS, x, y) for x, y in QUARTERS]
        scene = picture_files.scene()
        plain = [scene.getpixel((int(x * WIDTH), int(y * HEIGHT))) for x, y in QUARTERS]
        changed = np.abs(np.subtract(shown, plain)).max(axis=1) > 20
        assert changed.tolist() == [False, True, False, False], name


@pytest.mark.usefixtures("nothing_found")
async def test_what_does_not_fit_as_png_is_sent_as_jpeg(opened: Opened, services: Services) -> None:
    async def with_less_room(route: Route) -> None:
        answered = await route.fetch()
        await route.fulfill(
            response=answered, body=(await answered.text()).replace("31 * 2 ** 20", "6000")
        )

    await opened.page.route("**/decode.js", with_less_room)
    await opened.go()
    await opened.choose(picture_files.saved(picture_files.noise(), "BMP"), "scan.bmp")
    await expect(opened.page.locator("#picture-name")).to_contain_text("sent as JPEG")
    await opened.expect_state("first", "done")
    sent = services["first"].requests[-1].image.encoded
    assert len(sent) <= 6000
    assert Image.open(io.BytesIO(sent)).size == picture_files.SIZE
