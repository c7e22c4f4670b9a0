"""Every refusal that a person can cause: a sentence with what to do, other words behind it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from bad_pictures import heavy_picture
from browser_page import Opened, answer_prompts
from playwright.async_api import Locator, expect

from diptych.testing import FakeSegmentService
from diptych.wire.reasons import Reason
from diptych_gateway.server import Gateway
from diptych_gateway.settings import Endpoint, Settings

Services = dict[str, FakeSegmentService]

TOKENS = {"right": "", "old": "expires = 2020-01-01T00:00:00Z", "video": 'scopes = ["video"]'}
TOKENS["poor"] = "requests_per_second = 0.01"
DEVELOPERS = re.compile(
    r"\w\[\d|\w\.\w+:|\bexpected\b|Bearer|[Aa]uthorization|[a-z]_[a-z]|[A-Z]_[A-Z]|'"
)
"""What is for those who write programs: paths of fields, headers, constants, quoted values."""

OF_MODELS = [
    (
        "IMAGE_UNREADABLE",
        "image.encoded: expected JPEG, PNG or WebP, got 12 bytes",
        "save it as PNG",
    ),
    (
        "IMAGE_TOO_LARGE",
        "image: expected at most 50000000 pixels, got 10000 x 8100",
        "has 81.0 million pixels, and the model takes 50.0. Make it smaller",
    ),
    (
        "IMAGE_SHAPE",
        "image: expected sides of at least 16 pixels, got 3 x 900",
        "Choose another one",
    ),
    (
        "PROMPT_INVALID",
        "prompts[0].points[0]: expected a point in 80 x 60, got 900, 3",
        "Take away the last point or box",
    ),
    ("PROMPT_UNSUPPORTED", "prompts[0].mask: expected points or a box", "Use points or a box"),
    ("OPTION_INVALID", "output.min_score: expected 0 to 1, got 7", "check its address"),
    (
        "QUEUE_FULL",
        "expected at most 32 requests in the queue; try again later",
        "Try again in a moment",
    ),
    ("DEVICE_MEMORY", "the device has no memory left for this picture", "or with a smaller one"),
    (
        "ENGINE_LOST",
        "the engine was lost while it worked; try again",
        "is being started again. Try again",
    ),
    ("DRAINING", "the server is stopping", "perhaps to be started again. Try again"),
    ("MODEL_FAILED", "internal error 5f0c2a9e", "tell who runs it what the details say"),
]


@pytest.fixture
async def locked(services: Services, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway that wants tokens, and has one of each kind."""
    entries = [
        f'[tokens.{name}]\nsha256 = "{hashlib.sha256(name.encode()).hexdigest()}"\n{more}\n'
        for name, more in TOKENS.items()
    ]
    (tmp_path / "tokens.toml").write_text("".join(entries))
    models = tuple(Endpoint(name, service.address) for name, service in services.items())
    settings = {"port": 0, "http_port": 0, "drain_s": 0.0, "tokens_file": tmp_path / "tokens.toml"}
    gateway = Gateway(Settings(models=models, **settings))
    await gateway.start()
    yield gateway
    await gateway.stop()


async def expect_sentence(where: Locator, part: str, details: str) -> None:
    """What is seen tells a person what to do; what the server said comes when it is asked for."""
    await expect(where).to_contain_text(part)
    seen = await where.inner_text()
    assert not DEVELOPERS.search(seen), seen
    assert seen.strip().endswith((".", "?", "Details")), seen
    await expect(where.locator("code")).to_be_hidden()
    if details:
        await where.get_by_text("Details").click()
        await expect(where.locator("code")).to_contain_text(details)


async def test_what_models_refuse(opened: Opened, services: Services) -> None:
    state = opened.panel("second").locator(".state")
    await opened.go()
    for reason, message, part in OF_MODELS:
        services["second"].fail(reason, message, retry_after_s=1.0)
        await opened.choose(name=f"{reason}.png")
        await expect(state).to_contain_text(reason)
        await expect_sentence(state, part, message)
        await opened.expect_state("first", "done")


async def test_models_that_are_late_or_down(opened: Opened, services: Services) -> None:
    state = opened.panel("second").locator(".state")
    await opened.go()
    services["second"].fail(code=grpc.StatusCode.DEADLINE_EXCEEDED, times=1)
    await opened.choose()
    await expect_sentence(state, "took longer than allowed. Try again", "before the deadline")
    services["second"].stop()
    await opened.panel("second").get_by_role("button", name="Retry").click()
    await expect_sentence(
        state, "it is starting or down. Try again in a moment.", "cannot be reached"
    )


async def test_what_the_gateway_refuses(
    opened: Opened, services: Services, gateway: Gateway
) -> None:
    state = opened.panel("first").locator(".state")
    await opened.go()
    await opened.choose(heavy_picture(), "heavy.png")
    await expect_sentence(state, "is 32 MiB. Save it smaller", "at most 33554432 bytes")
    await opened.page.evaluate("history.replaceState(null, '', '?task=instance-segmentation')")
    await gateway.stop()
    await opened.choose(name="again.png")
    await expect_sentence(state, "The gateway cannot be reached. Is it running?", "")
    opened.errors.clear()


async def test_prompts_beside_the_picture_are_left_out_of_the_address(
    opened: Opened, services: Services
) -> None:
    for service in services.values():
        answer_prompts(service)
    await opened.go("?view=prompt&objects=4000,30")
    await opened.choose()
    await opened.expect_state("first", "idle")
    assert not services["first"].requests


async def test_a_task_and_a_sample_that_do_not_exist(opened: Opened) -> None:
    await opened.go("?task=knitting&sample=none&without=nobody")
    await opened.choose()
    state = opened.panel("first").locator(".state")
    await expect_sentence(state, "does not do knitting. It does:", "")


@pytest.mark.parametrize(
    ("token", "part", "details"),
    [
        ("", "Enter the one that you were given", "TOKEN_MISSING"),
        ("wrong", "not known here. Check that all of it was copied", "not known here"),
        ("old", "has expired. Ask who runs the gateway for a new one", "expired at 2020-01-01"),
        ("video", "is for something else. Enter another one", "TOKEN_SCOPE"),
        ("poor", "used up what it may ask for at the moment. Try again in", "requests_per_second"),
    ],
)
async def test_what_tokens_are_refused_for(
    opened: Opened, locked: Gateway, token: str, part: str, details: str
) -> None:
    page = opened.page
    opened.base = f"http://127.0.0.1:{locked.http_port}"
    await opened.go()
    if token:
        await page.locator("#token").fill(token)
        await page.get_by_role("button", name="Use it in this tab").click()
    if token == "poor":
        await opened.choose()
    in_panel = token == "poor" and await page.locator("#problem").inner_text() == ""
    where = opened.panel("first").locator(".state") if in_panel else page.locator("#problem")
    await expect_sentence(where, part, details)
    opened.errors.clear()


async def test_every_reason_of_the_table_has_a_sentence(opened: Opened) -> None:
    await opened.go()
    found: dict[str, str] = await opened.page.evaluate(
        """async (reasons) => {
          const { refusal } = await import("./js/common/refusals.js");
          const text = "prompts[0].box: expected 'x', got 7";
          const said = (reason) => refusal({ reason, detail: text }).said;
          return Object.fromEntries(reasons.map((reason) => [reason, said(reason)]));
        }""",
        [reason.value for reason in Reason],
    )
    for reason, said in found.items():
        assert not DEVELOPERS.search(said.replace("DIPTYCH_HTTP_ORIGINS", "")), reason
        assert "something else than expected" not in said, reason
