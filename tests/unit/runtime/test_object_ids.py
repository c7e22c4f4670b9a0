"""Ids of video objects: how many at a time, and none twice."""

from __future__ import annotations

import pytest

from diptych_runtime.engine import ObjectIds, Reason, ServiceError, check_tracked, object_ids


def refusal(ids: ObjectIds, object_id: int, tracked: list[int]) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        ids.check(object_id, tracked)
    return caught.value


def test_a_tracked_object_may_always_be_prompted_again() -> None:
    ids = ObjectIds(max_objects=1)
    ids.check(5, [])
    ids.check(5, [5])
    error = refusal(ids, 6, [5])
    assert error.reason is Reason.OBJECT_LIMIT
    assert error.message == "object_id: expected at most 1 objects at a time; remove one first"


def test_the_id_of_a_removed_object_is_never_free_again() -> None:
    ids = ObjectIds(max_objects=2)
    ids.remove(5, [5, 6])
    assert ids.removed == {5}
    assert ids.nbytes > 0
    error = refusal(ids, 5, [6])
    assert (error.reason, error.metadata) == (Reason.OBJECT_UNKNOWN, {"objectId": "5"})
    assert error.message == "object_id: object 5 was removed, and ids are not reused"
    ids.clear()
    assert ids.nbytes == 0


@pytest.mark.parametrize(("tracked", "there"), [([8, 2], "2, 8"), ([], "none")])
def test_only_a_tracked_object_can_be_removed(tracked: list[int], there: str) -> None:
    ids = ObjectIds(max_objects=2)
    for attempt in (lambda: ids.remove(5, tracked), lambda: check_tracked(5, tracked)):
        with pytest.raises(ServiceError) as caught:
            attempt()
        assert caught.value.message == f"object_id: expected a tracked object ({there}), got 5"
    assert not ids.removed


def test_the_ids_of_a_session_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_ids, "_MAX_IDS", 3)
    ids = ObjectIds(max_objects=2)
    for object_id in range(2):
        ids.remove(object_id, [object_id])
    ids.check(2, [])
    error = refusal(ids, 3, [2])
    assert error.reason is Reason.OBJECT_LIMIT
    assert "3 objects in a session" in error.message
