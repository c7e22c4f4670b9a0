"""How long a first visitor waits for a picture and for masks on it, over a slow network.

    python benchmarks/page_first_picture.py [--rounds 3] [--base REVISION_OR_DIRECTORY]

Starts two fake model services that answer at once, a gateway and the system's Chromium, which
emulates the network: its latency is that of each request, its throughput that of all together. Goes
to a sample with an empty cache, and once more with what the first visit has left in it. With
``--base`` the page of an earlier revision, or a directory with one, is measured in turn with this
one, so that both meet the same load of the machine. Prints medians.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import machine
import numpy as np
from playwright.async_api import Browser, BrowserContext, async_playwright

from diptych import Mask, Segment
from diptych.testing import FakeCall, FakeSegmentService
from diptych_gateway.http import app
from diptych_gateway.server import Gateway
from diptych_gateway.settings import Endpoint, Settings

MODELS = ("first", "second")
ROOT = Path(__file__).parents[1]
PAGE = "gateway/src/diptych_gateway/page"
NETWORKS = {"slow 3G": (400, 400_000), "fast 3G": (150, 1_600_000)}
"""Latency in milliseconds and throughput in bits a second."""

WATCH = """
window.seen = {};
const look = () => {
  const named = document.getElementById("picture-name")?.textContent;
  if (named && document.querySelector(".panel canvas")) seen.picture ??= performance.now();
  if (document.querySelector('.panel[data-state="done"]')) seen.masks ??= performance.now();
  requestAnimationFrame(look);
};
look();
"""


@dataclass
class Visit:
    """What one visit took."""

    picture_s: float
    masks_s: float
    requests: int
    kilobytes: float


def find(call: FakeCall) -> list[Segment]:
    """Answer with the middle of the picture."""
    height, width = call.image_size
    crop = np.ones((height // 2, width // 2), bool)
    mask = Mask.from_crop(crop, width // 4, height // 4, call.image_size)
    return [Segment(score=0.9, box=mask.box, mask=mask, label="middle", area=mask.area)]


@contextmanager
def page_of(base: str) -> Iterator[Path]:
    """The page of a revision, unpacked, or of a directory as it is."""
    if Path(base).is_dir():
        yield Path(base)
        return
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["git", "-C", ROOT, "archive", base, PAGE],  # noqa: S607
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as files:
            files.extractall(folder, filter="data")
        yield Path(folder) / PAGE


@asynccontextmanager
async def served(page: Path, services: list[FakeSegmentService]) -> AsyncIterator[str]:
    """A gateway with this page."""
    app.PAGE = page
    endpoints = tuple(Endpoint(n, s.address) for n, s in zip(MODELS, services, strict=True))
    gateway = Gateway(Settings(models=endpoints, port=0, http_port=0, drain_s=0.0))
    await gateway.start()
    yield f"http://127.0.0.1:{gateway.http_port}/?sample=figure"
    await gateway.stop()


async def visit(context: BrowserContext, address: str, network: str) -> Visit:
    """Go there in a new tab, and wait for masks and what comes after them."""
    latency, bits = NETWORKS[network]
    page = await context.new_page()
    await page.add_init_script(WATCH)
    session = await context.new_cdp_session(page)
    asked: list[str] = []
    received: list[float] = []

    def note_request(event: dict[str, Any]) -> None:
        if event["request"]["url"].startswith("http"):
            asked.append(event["request"]["url"])

    session.on("Network.requestWillBeSent", note_request)
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    await session.send("Network.enable")
    conditions = {"offline": False, "latency": latency}
    throughput = {"downloadThroughput": bits / 8, "uploadThroughput": bits / 8}
    await session.send("Network.emulateNetworkConditions", conditions | throughput)
    await page.goto(address, wait_until="commit", timeout=60_000)
    await page.wait_for_selector('.panel[data-state="done"]', timeout=60_000)
    await page.wait_for_load_state("networkidle", timeout=60_000)
    seen = await page.evaluate("seen")
    await page.close()
    kilobytes = sum(received) / 1000
    return Visit(seen["picture"] / 1000, seen["masks"] / 1000, len(asked), kilobytes)


async def both_visits(browser: Browser, address: str, network: str) -> list[Visit]:
    """With an empty cache, and again."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    found = [await visit(context, address, network) for _ in range(2)]
    await context.close()
    return found


async def run(pages: dict[str, Path], rounds: int) -> dict[tuple[str, str], list[list[Visit]]]:
    """All visits, by network and page, in turn."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise SystemExit("Chromium is not installed: apt-get install chromium")
    found: dict[tuple[str, str], list[list[Visit]]] = {}
    services = [FakeSegmentService((name,), gateway=False) for name in MODELS]
    for service in services:
        service.answer_with(find)
        service.start()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(rounds):
            for network in NETWORKS:
                for name, page in pages.items():
                    async with served(page, services) as address:
                        visits = await both_visits(browser, address, network)
                    found.setdefault((network, name), []).append(visits)
        await browser.close()
    for service in services:
        service.stop()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--base", help="an earlier revision, or a directory with a page")
    args = parser.parse_args()
    print(machine.describe())
    with ExitStack() as stack:
        pages = {"now": ROOT / PAGE}
        if args.base:
            pages["base"] = stack.enter_context(page_of(args.base))
        found = asyncio.run(run(pages, args.rounds))
    print("network  page  visit  picture s  masks s  requests  kB")
    kept = {}
    for (network, name), rounds in found.items():
        for which, visits in zip(("first", "again"), zip(*rounds, strict=True), strict=True):
            picture, masks = (median(getattr(v, k) for v in visits) for k in _TIMES)
            requests, size = (median(getattr(v, k) for v in visits) for k in _SIZES)
            print(
                f"{network:7}  {name:4}  {which:5}  {picture:9.2f}  {masks:7.2f}"
                f"  {requests:8.0f}  {size:.0f}"
            )
            kept[f"{network} {name} {which}"] = masks
    machine.keep("page_first_picture", kept)


_TIMES, _SIZES = ("picture_s", "masks_s"), ("requests", "kilobytes")


if __name__ == "__main__":
    main()
