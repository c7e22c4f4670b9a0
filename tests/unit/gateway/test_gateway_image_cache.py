from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diptych.segment import v1 as pb
from diptych_gateway.backend.images import ImageCache, SentImage


def digest(picture: bytes) -> bytes:
    return hashlib.sha256(picture).digest()


async def test_the_least_recently_used_goes_first() -> None:
    cache = ImageCache(10)
    for picture in (b"aaaa", b"bbbb"):
        await cache.put(picture)
    assert await cache.get(digest(b"aaaa")) == b"aaaa"
    await cache.put(b"cccc")
    assert await cache.get(digest(b"bbbb")) is None
    assert await cache.get(digest(b"aaaa")) == b"aaaa"
    assert await cache.get(digest(b"cccc")) == b"cccc"


async def test_large_pictures_are_hashed_the_same() -> None:
    cache = ImageCache(8 * 1024 * 1024)
    picture = bytes(3 * 1024 * 1024)
    await cache.put(picture)
    assert await cache.get(digest(picture)) is picture


async def test_nothing_and_too_much_are_not_held() -> None:
    cache = ImageCache(10)
    await cache.put(b"")
    await cache.put(b"x" * 11)
    assert (len(cache), cache.nbytes) == (0, 0)


@given(st.lists(st.binary(max_size=12), max_size=30), st.integers(0, 30))
async def test_never_more_bytes_than_allowed(pictures: list[bytes], most: int) -> None:
    cache = ImageCache(most)
    for picture in pictures:
        await cache.put(picture)
        assert cache.nbytes <= most
        fits = 0 < len(picture) <= most
        assert (await cache.get(digest(picture)) == picture) is fits
    held = [p for p in set(pictures) if await cache.get(digest(p)) is not None]
    assert cache.nbytes == sum(map(len, held))
    assert len(cache) == len(held)


async def test_a_wrong_digest_gets_nobody_a_wrong_picture() -> None:
    cache = ImageCache(100)
    await cache.put(b"this", digest(b"that"))
    assert await cache.get(digest(b"that")) is None
    assert (len(cache), cache.nbytes) == (0, 0)
    await cache.put(b"that", digest(b"that"))
    assert await cache.get(digest(b"that")) == b"that"


async def test_a_digest_that_is_none_is_computed() -> None:
    cache = ImageCache(100)
    await cache.put(b"this", b"short")
    assert await cache.get(digest(b"this")) == b"this"


@pytest.mark.parametrize("around", [10, 100_000])
async def test_a_file_inside_a_message_is_held_alone(around: int) -> None:
    message = b"file" * 10 + bytes(around)
    cache = ImageCache(1000)
    await cache.put(memoryview(message)[:40])
    assert cache.nbytes == 40
    assert await cache.get(digest(b"file" * 10)) == b"file" * 10
    held = next(iter(cache._files.values()))
    assert isinstance(held, memoryview) is (around < 4096)


async def test_an_image_is_held_whatever_the_reply_is() -> None:
    cache = ImageCache(100)
    await SentImage(pb.Image(), cache, b"this").hold_for(b"\xff")
    assert await cache.get(digest(b"this")) == b"this"
