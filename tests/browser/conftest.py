"""The page in a real browser, from a real gateway; only the models are fakes."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from browser_page import Opened, answer, opened_page, rectangle
from playwright.async_api import Browser, async_playwright

from diptych.testing import FakeSegmentService
from diptych_gateway.server import Gateway
from diptych_gateway.settings import Endpoint, Settings

MODELS = ("first", "second")


@pytest.fixture
def services() -> Iterator[dict[str, FakeSegmentService]]:
    """Two model services that find a rectangle each, by model id."""
    made = {name: FakeSegmentService((name,), gateway=False) for name in MODELS}
    for service in made.values():
        answer(service, rectangle(20, 15, 40, 30))
        service.start()
    yield made
    for service in made.values():
        service.stop()


@pytest.fixture
def gateway_settings() -> dict[str, Any]:
    """Settings of the gateway beside those that all tests here have."""
    return {}


@pytest.fixture
async def gateway(
    services: dict[str, FakeSegmentService], gateway_settings: dict[str, Any]
) -> AsyncIterator[Gateway]:
    """A gateway that has seen both cards."""
    endpoints = tuple(Endpoint(name, service.address) for name, service in services.items())
    fixed = {"port": 0, "http_port": 0, "drain_s": 0.0, "card_refresh_s": 0.05}
    settings = Settings(models=endpoints, **{**fixed, **gateway_settings})
    gateway = Gateway(settings)
    await gateway.start()
    await _see_cards(gateway, services)
    yield gateway
    await gateway.stop()


async def _see_cards(gateway: Gateway, services: dict[str, FakeSegmentService]) -> None:
    """Wait until the gateway knows every card as it is now."""
    cards = [service.cards[name] for name, service in services.items()]
    while [known.model_card for known in gateway.registry.known_models()] != cards:
        await asyncio.sleep(0.01)


@pytest.fixture
def see_cards(
    gateway: Gateway, services: dict[str, FakeSegmentService]
) -> Callable[[], Awaitable[None]]:
    """To be awaited after a card was changed."""
    return lambda: _see_cards(gateway, services)


@pytest.fixture
def browser_arguments() -> list[str]:
    """What Chromium is started with beside what all tests need."""
    return []


@pytest.fixture
async def browser(browser_arguments: list[str]) -> AsyncIterator[Browser]:
    """The system's Chromium; none is downloaded."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    async with async_playwright() as playwright:
        # Its sandbox does not start for root, as in a container.
        arguments = ["--no-sandbox", *browser_arguments]
        browser = await playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        await browser.close()


@pytest.fixture
async def opened(browser: Browser, gateway: Gateway) -> AsyncIterator[Opened]:
    """The page of that gateway, not gone to yet."""
    async with opened_page(browser, f"http://127.0.0.1:{gateway.http_port}") as opened:
        yield opened
