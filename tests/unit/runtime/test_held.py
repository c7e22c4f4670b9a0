"""Held pictures: counted in bytes, the longest unused out first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from diptych_runtime.engine import Features
from diptych_runtime.worker.image_cache import HeldPicture, HeldPictures


def picture(nbytes: int) -> HeldPicture:
    return HeldPicture(bytes(nbytes), (1, 1))


def with_features(nbytes: int, features: int) -> HeldPicture:
    return HeldPicture(bytes(nbytes), (1, 1), {"image": Features(None, features)})


def test_the_longest_unused_goes_first() -> None:
    held = HeldPictures(30)
    for digest in "abc":
        held.put(digest, picture(10))
    assert held.get("a")
    held.put("d", picture(10))
    assert held.get("b") is None
    assert all(held.get(digest) for digest in "acd")
    assert held.changes() == {"added": ["a", "c", "d"], "dropped": ["b"], "held_bytes": 30}


def test_features_count() -> None:
    held = HeldPictures(100)
    held.put("a", with_features(10, 50))
    grown = held.get("a")
    assert grown
    grown.features["other"] = Features(None, 40)
    held.put("a", grown)
    assert held.changes()["held_bytes"] == 100
    held.put("b", picture(1))
    assert held.changes() == {"added": ["b"], "dropped": ["a"], "held_bytes": 1}


def test_what_is_larger_than_the_budget_drives_nothing_out() -> None:
    held = HeldPictures(20)
    held.put("a", picture(15))
    held.put("big", picture(21))
    assert held.get("a")
    assert held.get("big") is None
    assert held.changes() == {"added": ["a"], "dropped": [], "held_bytes": 15}


def test_what_grew_over_the_budget_goes_alone() -> None:
    held = HeldPictures(20)
    held.put("a", picture(5))
    held.put("b", picture(5))
    held.put("b", with_features(5, 16))
    assert held.get("a")
    assert held.changes() == {"added": ["a"], "dropped": ["b"], "held_bytes": 5}


def test_nothing_is_held_without_memory() -> None:
    held = HeldPictures(0)
    held.put("a", picture(1))
    assert held.get("a") is None


def test_dropped_and_added_again_is_held() -> None:
    held = HeldPictures(10)
    held.put("a", picture(10))
    held.changes()
    held.put("b", picture(10))
    held.put("a", picture(10))
    assert held.changes() == {"added": ["a"], "dropped": ["b"], "held_bytes": 10}


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 60)), max_size=60))
def test_told_changes_add_up_to_what_is_held(puts: list[tuple[str, int]]) -> None:
    held, mirror = HeldPictures(100), set()
    sizes: dict[str, int] = {}
    for digest, nbytes in puts:
        held.put(digest, picture(nbytes))
        sizes[digest] = nbytes
        told = held.changes()
        mirror |= set(told["added"])  # type: ignore[call-overload]
        mirror -= set(told["dropped"])  # type: ignore[call-overload]
        assert told["held_bytes"] == sum(sizes[d] for d in mirror) <= 100
    assert mirror == {digest for digest in "abcdef" if held.get(digest)}
