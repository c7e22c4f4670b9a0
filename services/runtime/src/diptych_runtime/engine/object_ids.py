"""Which object ids a video session may take."""

from __future__ import annotations

from collections.abc import Collection, Set

from .video_errors import listed, too_many, unknown

_MAX_IDS = 1 << 16
"""Ids are never reused, so those of removed objects are remembered; a session has this many."""
_ID_BYTES = 64


class ObjectIds:
    """The ids of removed objects, which are not free again, and how many may be taken at a time."""

    def __init__(self, max_objects: int) -> None:
        self._max_objects = max_objects
        self._removed: set[int] = set()

    @property
    def removed(self) -> Set[int]:
        """Ids of the objects that were removed."""
        return self._removed

    @property
    def nbytes(self) -> int:
        """Memory that this keeps."""
        return _ID_BYTES * len(self._removed)

    def check(self, object_id: int, tracked: Collection[int]) -> None:
        """Check that a prompt may name this id, beside the ids that are ``tracked``.

        Raises:
            ServiceError: ``OBJECT_UNKNOWN`` for the id of a removed object, ``OBJECT_LIMIT`` for a
                new one beyond the limit.
        """
        if object_id in tracked:
            return
        if object_id in self._removed:
            raise unknown(object_id, f"object {object_id} was removed, and ids are not reused")
        if len(tracked) >= self._max_objects:
            raise too_many(f"expected at most {self._max_objects} objects at a time")
        if len(tracked) + len(self._removed) >= _MAX_IDS:
            raise too_many(f"expected at most {_MAX_IDS} objects in a session")

    def remove(self, object_id: int, tracked: Collection[int]) -> None:
        """Note that an object is removed.

        Raises:
            ServiceError: ``OBJECT_UNKNOWN`` if it is not among the ``tracked`` ones.
        """
        check_tracked(object_id, tracked)
        self._removed.add(object_id)

    def clear(self) -> None:
        """Forget everything; the session is closed."""
        self._removed.clear()


def check_tracked(object_id: int, tracked: Collection[int]) -> None:
    """Check that an object that is to be removed is there.

    Raises:
        ServiceError: ``OBJECT_UNKNOWN``.
    """
    if object_id not in tracked:
        there = listed(sorted(tracked))
        raise unknown(object_id, f"expected a tracked object ({there}), got {object_id}")
