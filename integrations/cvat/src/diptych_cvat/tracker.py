"""Objects followed from frame to frame by SAM 2, or by any model with the video task."""

from __future__ import annotations

from dataclasses import dataclass

import cvat_sdk.auto_annotation as cvataa
import numpy as np
import PIL.Image

from diptych import Box, DiptychError, Mask, Segment, SessionLostError

from .failures import FunctionError, told
from .following import Following, Frame
from .parameters import Parameters, read
from .shapes import mask_of, mask_points, rectangle_points, rings_of

_OWN = {"tolerance": float, "sessions": int}
_SESSIONS = 2


@dataclass
class Tracked:
    """One object: where it was seen last, and the session that follows it."""

    following: Following
    number: int
    position: int
    """Frames of the session that this object has been asked for."""
    frame: Frame
    place: Box | Mask
    """Where it was on ``frame``."""


class Tracker:
    """A tracking function: the objects of one frame share a session, and its encoder runs.

    Sessions that were not used for longest are closed; an object goes on from the frame on which
    it was seen last.
    """

    spec = cvataa.TrackingFunctionSpec(supported_shape_types=["mask", "polygon", "rectangle"])

    def __init__(self, parameters: Parameters) -> None:
        self._client = parameters.client()
        self._model = parameters.text("model", "sam-2")
        self._tolerance = parameters.number("tolerance", 1.0) or 0.0
        self._most = int(parameters.number("sessions", _SESSIONS) or 1)
        self._open: list[Following] = []

    def preprocess_image(
        self, context: cvataa.TrackingFunctionContext, image: PIL.Image.Image
    ) -> Frame:
        """Make the file of a frame, for all its objects."""
        return Frame(image)

    def init_tracking_state(
        self,
        context: cvataa.TrackingFunctionShapeContext,
        pp_image: Frame,
        shape: cvataa.TrackableShape,
    ) -> Tracked:
        """Mark an object.

        Raises:
            FunctionError: the shape is none within the frame, or the server refuses it.
        """
        place = _place(shape, pp_image.size)
        with told(self._client):
            return self._marked(pp_image, place)

    def track(
        self, context: cvataa.TrackingFunctionShapeContext, pp_image: Frame, state: Tracked
    ) -> cvataa.TrackableShape | None:
        """Find the object on the next frame; ``None`` if it is hidden.

        Raises:
            FunctionError: the server refuses the frame, or does not answer.
        """
        with told(self._client):
            found = self._next(pp_image, state)
        if found is None or found.mask is None or found.mask.box is None:
            return None
        state.frame, state.place = pp_image, found.mask
        points = self._points(context.original_shape_type, found.mask, pp_image.size)
        return cvataa.TrackableShape(type=context.original_shape_type, points=points)

    def _next(self, frame: Frame, state: Tracked) -> Segment | None:
        try:
            objects = state.following.at(state.position, frame)
        except DiptychError as error:
            state.following.close()
            if not isinstance(error, SessionLostError):
                raise
            objects = None
        if objects is None:
            again = self._marked(state.frame, state.place)
            state.following, state.number, state.position = again.following, again.number, 1
            objects = state.following.at(1, frame)
            assert objects is not None, "nothing else knows of a new session"
        self._use(state.following)
        state.position += 1
        return objects.get(state.number)

    def _marked(self, frame: Frame, place: Box | Mask) -> Tracked:
        """Mark an object in the session that begins on a frame, or in a new one."""
        following = frame.following
        if following is None or not following.is_at_start:
            self._make_room()
            following = frame.following = Following(self._client, self._model, frame)
        self._use(following)
        return Tracked(following, following.add(place), 1, frame, place)

    def _make_room(self) -> None:
        self._open = [each for each in self._open if each.is_open]
        while len(self._open) >= self._most:
            self._open.pop(0).close()

    def _use(self, following: Following) -> None:
        self._open = [*(each for each in self._open if each is not following), following]

    def _points(self, kind: str, mask: Mask, size: tuple[int, int]) -> list[float]:
        if kind == "mask":
            return mask_points(mask)
        if kind == "polygon":
            return rings_of(mask, self._tolerance)[0]
        assert mask.box is not None
        return rectangle_points(mask.box, size)


def _place(shape: cvataa.TrackableShape, size: tuple[int, int]) -> Box | Mask:
    if shape.type == "rectangle":
        return Box(*shape.points)
    if shape.type == "polygon":
        mask = Mask.from_polygons([np.asarray(shape.points).reshape(-1, 2)], size)
    else:
        mask = mask_of(shape.points, size)
    if not mask.area:
        height, width = size
        raise FunctionError(f"{shape.type}: expected pixels within {width} x {height}, got none")
    return mask


def create(**given: object) -> Tracker:
    """Make the function of ``--function-module diptych_cvat.tracker``.

    Args:
        given: the parameters of ``-p``; those of every function, ``tolerance`` of polygons, and
            ``sessions``, how many are open at a time.

    Raises:
        FunctionError: a parameter cannot be used.
    """
    return Tracker(read(given, _OWN))
