"""Held pictures: counted in bytes, the longest unused out first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from diptych_runtime.engine import Features
from diptych_runtime.worker.work import CachedImage, ImageCache


def image(nbytes: int) -> CachedImage:
    return CachedImage(bytes(nbytes), (1, 1))


def with_features(nbytes: int, features: int) -> CachedImage:
    return CachedImage(bytes(nbytes), (1, 1), {"image": Features(None, features)})


def test_the_longest_unused_goes_first() -> None:
    cache = ImageCache(30)
    for digest in "abc":
        cache.put(digest, image(10))
    assert cache.get("a")
    cache.put("d", image(10))
    assert cache.get("b") is None
    assert all(cache.get(digest) for digest in "acd")
    assert cache.changes() == {"added": ["a", "c", "d"], "dropped": ["b"], "held_bytes": 30}


def test_features_count() -> None:
    cache = ImageCache(100)
    cache.put("a", with_features(10, 50))
    grown = cache.get("a")
    assert grown
    grown.features["other"] = Features(None, 40)
    cache.put("a", grown)
    assert cache.changes()["held_bytes"] == 100
    cache.put("b", image(1))
    assert cache.changes() == {"added": ["b"], "dropped": ["a"], "held_bytes": 1}


def test_what_is_larger_than_the_budget_drives_nothing_out() -> None:
    cache = ImageCache(20)
    cache.put("a", image(15))
    cache.put("big", image(21))
    assert cache.get("a")
    assert cache.get("big") is None
    assert cache.changes() == {"added": ["a"], "dropped": [], "held_bytes": 15}


def test_what_grew_over_the_budget_goes_alone() -> None:
    cache = ImageCache(20)
    cache.put("a", image(5))
    cache.put("b", image(5))
    cache.put("b", with_features(5, 16))
    assert cache.get("a")
    assert cache.changes() == {"added": ["a"], "dropped": ["b"], "held_bytes": 5}


def test_nothing_is_held_without_memory() -> None:
    cache = ImageCache(0)
    cache.put("a", image(1))
    assert cache.get("a") is None


def test_dropped_and_added_again_is_held() -> None:
    cache = ImageCache(10)
    cache.put("a", image(10))
    cache.changes()
    cache.put("b", image(10))
    cache.put("a", image(10))
    assert cache.changes() == {"added": ["a"], "dropped": ["b"], "held_bytes": 10}


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 60)), max_size=60))
def test_reported_changes_add_up_to_what_is_held(puts: list[tuple[str, int]]) -> None:
    cache, mirror = ImageCache(100), set()
    sizes: dict[str, int] = {}
    for digest, nbytes in puts:
        cache.put(digest, image(nbytes))
        sizes[digest] = nbytes
        reported = cache.changes()
        mirror |= set(reported["added"])  # type: ignore[call-overload]
        mirror -= set(reported["dropped"])  # type: ignore[call-overload]
        assert reported["held_bytes"] == sum(sizes[d] for d in mirror) <= 100
    assert mirror == {digest for digest in "abcdef" if cache.get(digest)}
