"""What is clicked on, outlined by SAM 2: points on and off the object, and a box around it."""

from __future__ import annotations

import cvat_sdk.auto_annotation as cvataa
import PIL.Image
from cvat_sdk import models

from diptych import Box, ImageLike, Point, Prompt

from .failures import told
from .parameters import Parameters, read
from .pictures import encoded
from .shapes import mask_points


class Interactor:
    """An interaction function: the encoder runs once for a frame, however often it is clicked."""

    spec = cvataa.InteractionFunctionSpec(min_pos_points=0, min_neg_points=0, min_bounding_boxes=0)

    def __init__(self, parameters: Parameters) -> None:
        self._client = parameters.client()
        self._model = parameters.text("model", "sam-2")

    def preprocess_image(
        self, context: cvataa.InteractionFunctionContext, image: PIL.Image.Image
    ) -> ImageLike:
        """Make the file of a frame, which is kept for its clicks."""
        return encoded(image)

    def detect(
        self,
        context: cvataa.InteractionFunctionContext,
        pp_image: ImageLike,
        prompts: cvataa.InteractionPrompts,
    ) -> list[cvataa.InteractionResultShape]:
        """Outline one object; nothing if its mask is empty.

        Raises:
            FunctionError: the server refuses the prompts, or does not answer.
        """
        prompt = _prompt(prompts)
        with told(self._client):
            result = self._client.segment(pp_image, model=self._model, prompts=[prompt])
        found = result.segments[0]
        if found.mask is None or not found.mask.area:
            return []
        sure = models.AttributeValRequest(
            spec_id=cvataa.InteractionResultAttributes.CONFIDENCE.value, value=f"{found.score:.4f}"
        )
        points = mask_points(found.mask)
        return [cvataa.InteractionResultShape(type="mask", points=points, attributes=[sure])]


def _prompt(prompts: cvataa.InteractionPrompts) -> Prompt:
    on = [Point(x, y) for x, y in prompts.pos_points]
    off = [Point(x, y, positive=False) for x, y in prompts.neg_points]
    box = None
    if prompts.bounding_box is not None:
        (left, top), (right, bottom) = prompts.bounding_box
        box = Box(left, top, right, bottom)
    return Prompt(points=(*on, *off), box=box)


def create(**given: object) -> Interactor:
    """Make the function of ``--function-module diptych_cvat.interactor``.

    Raises:
        FunctionError: a parameter cannot be used.
    """
    return Interactor(read(given, {}))
