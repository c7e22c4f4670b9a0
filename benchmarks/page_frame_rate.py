"""How smoothly the page pans, zooms and lights objects with 100 masks on a 12 megapixel picture.

    python benchmarks/page_frame_rate.py [--size 3000x4000] [--masks 100] [--comparisons 50]

Starts two fake model services that find ellipses, a gateway and the system's Chromium without a
screen. A script in the page then sends one wheel or pointer event for each frame and notes when
frames come. Prints frames a second and the 95th percentile of the time between two frames, with one
half of the screen for each model; Chromium shows 60 a second at most. Then as many pictures are
compared one after the other, and what the page's scripts hold is told.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import shutil
from collections.abc import Sequence
from itertools import pairwise

import machine
import numpy as np
from PIL import Image
from playwright.async_api import Page, async_playwright

from diptych import Mask, Segment
from diptych.testing import FakeCall, FakeSegmentService
from diptych_gateway.server import Gateway
from diptych_gateway.settings import Endpoint, Settings

MODELS = ("first", "second")
GESTURES = ("pan", "zoom", "hover")
COMPARED = "#agreement-said:not(:empty)"
DRIVE = """
async ({gesture, seconds}) => {
  const canvas = document.querySelector(".panel canvas");
  const box = canvas.getBoundingClientRect();
  const at = (x, y) => ({bubbles: true, cancelable: true, pointerId: 7, button: 0, isPrimary: true,
    buttons: gesture === "pan" ? 1 : 0,
    clientX: box.left + x * box.width, clientY: box.top + y * box.height});
  const pointer = (kind, x, y) => canvas.dispatchEvent(new PointerEvent(kind, at(x, y)));
  const turn = (n) => [0.5 + 0.4 * Math.cos(n / 9), 0.5 + 0.4 * Math.sin(n / 9)];
  canvas.setPointerCapture = () => {};
  const send = {
    zoom: (n) => canvas.dispatchEvent(
      new WheelEvent("wheel", {...at(0.5, 0.4), deltaY: n % 120 < 60 ? -25 : 25})),
    pan: (n) => pointer("pointermove", ...turn(n)),
    hover: (n) => pointer("pointermove", ...turn(n)),
  }[gesture];
  if (gesture === "pan") {
    for (let n = 0; n < 4; n += 1) document.getElementById("zoom-in").click();
    pointer("pointerdown", ...turn(0));
  }
  const times = [];
  const frame = () => new Promise(requestAnimationFrame);
  for (let n = 0, until = performance.now() + seconds * 1000; performance.now() < until; n += 1) {
    send(n);
    times.push(await frame());
  }
  if (gesture === "pan") pointer("pointerup", ...turn(0));
  document.getElementById("zoom-fit").click();
  return times;
}
"""


def ellipses(size: tuple[int, int], count: int, seed: int) -> list[Segment]:
    """As many ellipses as that, of sizes that objects have, some over others."""
    random = np.random.default_rng(seed)
    height, width = size
    found = []
    for _ in range(count):
        a, b = (int(side * random.uniform(0.02, 0.09)) for side in (height, width))
        y, x = int(random.integers(a, height - a)), int(random.integers(b, width - b))
        rows, columns = np.ogrid[-a:a, -b:b]
        crop = (rows / a) ** 2 + (columns / b) ** 2 < 1
        mask = Mask.from_crop(crop, x - b, y - a, size)
        found.append(Segment(score=0.9, box=mask.box, mask=mask, label="blob", area=mask.area))
    return found


def picture(size: tuple[int, int]) -> bytes:
    """A JPEG file with something to see at every scale."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    shades = [(rows // step + columns // step) % 2 * 60 + 90 for step in (16, 150, 900)]
    file = io.BytesIO()
    Image.fromarray(np.stack(shades, axis=2).astype(np.uint8)).save(file, "JPEG")
    return file.getvalue()


async def measure(page: Page, gesture: str, seconds: float) -> list[float]:
    """Seconds between the frames of one gesture."""
    times = await page.evaluate(DRIVE, {"gesture": gesture, "seconds": seconds})
    return [(b - a) / 1000 for a, b in pairwise(times)]


async def browse(base: str, content: bytes, seconds: float) -> dict[str, list[float]]:
    """The frames of each gesture, once both models have answered."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=_program(), args=["--no-sandbox"]
        )
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        await page.goto(f"{base}?sample=")
        file = {"name": "large.jpg", "mimeType": "image/jpeg", "buffer": content}
        await page.locator("#file").set_input_files([file])  # type: ignore[list-item]
        for model in MODELS:
            done = f'.panel[data-model="{model}"][data-state="done"]'
            await page.wait_for_selector(done, timeout=120_000)
        await page.wait_for_selector(COMPARED, state="attached", timeout=120_000)
        for gesture in GESTURES:
            await measure(page, gesture, 0.5)  # until the browser has compiled what it runs often
        found = {gesture: await measure(page, gesture, seconds) for gesture in GESTURES}
        await browser.close()
        return found


async def heap(base: str, content: bytes, comparisons: int) -> list[float]:
    """Bytes that the page's scripts hold after each comparison, once what is free was freed."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=_program(), args=["--no-sandbox"]
        )
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        session = await page.context.new_cdp_session(page)
        await page.goto(base)
        held = []
        for number in range(comparisons):
            file = {"name": f"{number}.jpg", "mimeType": "image/jpeg", "buffer": content}
            await page.locator("#file").set_input_files([file])  # type: ignore[list-item]
            named = page.locator("#picture-name").get_by_text(f"{number}.jpg,")
            await named.wait_for(timeout=120_000)
            await page.wait_for_selector(COMPARED, state="attached", timeout=120_000)
            await session.send("HeapProfiler.collectGarbage")
            usage = await session.send("Runtime.getHeapUsage")
            held.append(usage["usedSize"] + usage.get("backingStorageSize", 0.0))
        await browser.close()
        return held


def _program() -> str:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise SystemExit("Chromium is not installed: apt-get install chromium")
    return program


async def run(
    size: tuple[int, int], masks: int, seconds: float, comparisons: int
) -> tuple[dict[str, list[float]], list[float]]:
    """Start everything, measure, and stop everything."""
    services = [FakeSegmentService((name,), gateway=False) for name in MODELS]
    for number, service in enumerate(services):
        segments = ellipses(size, masks, number)

        def find(call: FakeCall, segments: Sequence[Segment] = segments) -> Sequence[Segment]:
            return segments

        service.answer_with(find)
        service.start()
    endpoints = tuple(Endpoint(n, s.address) for n, s in zip(MODELS, services, strict=True))
    gateway = Gateway(Settings(models=endpoints, port=0, http_port=0, drain_s=0.0))
    await gateway.start()
    try:
        base = f"http://127.0.0.1:{gateway.http_port}/"
        frames = await browse(base, picture(size), seconds)
        return frames, await heap(base, picture(size), comparisons)
    finally:
        await gateway.stop()
        for service in services:
            service.stop()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--size", default="3000x4000", help="height x width in pixels")
    parser.add_argument("--masks", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each gesture")
    parser.add_argument("--comparisons", type=int, default=50, help="after which memory is told")
    args = parser.parse_args()
    height, width = (int(part) for part in args.size.split("x"))
    print(machine.describe())
    frames, held = asyncio.run(run((height, width), args.masks, args.seconds, args.comparisons))
    print(f"{args.masks} masks on {width}x{height}, two panels")
    print("gesture  frames/s   p95 ms   worst ms")
    for gesture, spent in frames.items():
        rate = len(spent) / sum(spent)
        p95, worst = machine.percentile(spent, 0.95) * 1e3, max(spent) * 1e3
        print(f"{gesture:7}  {rate:8.1f}  {p95:7.1f}  {worst:9.1f}")
    if held:
        first, last = held[0] / 1e6, held[-1] / 1e6
        print(
            f"held by the page: {first:.0f} MB after one comparison, {last:.0f} after {len(held)}"
        )
    machine.keep("page_frame_rate", {g: len(s) / sum(s) for g, s in frames.items()})


if __name__ == "__main__":
    main()
