"""What the rest of the service asks of a network, whichever modules compute it.

``quick`` and ``stock`` both offer this; ``parts.assemble`` chooses between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from torch import Tensor

HEAVY_MODULES = ("image_encoder", "sam_mask_decoder", "memory_attention", "memory_encoder")
"""Attributes of ``SAM2Base`` that compute in the numeric type of the tier."""
EXACT_HEADS = ("iou_prediction_head", "pred_obj_score_head")
"""Attributes of its mask decoder that are float32 in every tier. Thresholds are set on what they
give; in bfloat16 that comes in steps of 0.004."""
SINGLE_MASK = slice(0, 1)
"""The first of the decoder's four masks: the one for unambiguous prompts."""
MULTIMASK = slice(1, None)
"""The other three, for prompts that may mean several things."""


class Encoder(Protocol):
    """The image encoder of a model, on its device."""

    def __call__(self, square: Tensor) -> list[Tensor]:
        """Return the feature maps that the mask decoder takes, the finest first: each ``(1, c,
        height, width)`` float32 or bfloat16.

        Args:
            square: ``(1, 3, side, side)`` float32, normalised.
        """
        ...


class DecoderInput(Protocol):
    """What a decoder keeps of one image, or of one for each prompt; opaque outside the decoder."""

    @property
    def nbytes(self) -> int:
        """Memory that this keeps alive, in bytes."""
        ...

    def tensors(self) -> tuple[Tensor, ...]:
        """Return all tensors, in an order that ``Decoder.restored`` knows."""
        ...


class Attended(Protocol):
    """What a decoder knows of ``n`` prompts before it makes masks; opaque outside the decoder."""

    def rows(self, chosen: Tensor) -> Attended:
        """Take the prompts that ``chosen``, ``(n,)`` bool, marks."""
        ...


I = TypeVar("I", bound=DecoderInput)  # noqa: E741
A = TypeVar("A", bound=Attended)


class Decoder(Protocol[I, A]):
    """The mask decoder of a model, for ``n`` prompts in a batch.

    Feature maps have ``c`` channels and the coarsest one ``side * side`` cells; masks are logits of
    ``4 side * 4 side``.
    """

    def prepare(self, embedding: Tensor, high_res: Sequence[Tensor]) -> I:
        """Compute what depends on the image alone.

        Args:
            embedding: ``(1 or n, c, side, side)``: the coarsest feature map.
            high_res: The finer maps, the finest first; may be empty.
        """
        ...

    def restored(self, tensors: Sequence[Tensor]) -> I:
        """Make an input without masks again from its tensors.

        Raises:
            ValueError: there are not as many as this decoder has.
        """
        ...

    def stack(self, inputs: Sequence[I]) -> I:
        """Join inputs of one row each, one for each prompt."""
        ...

    def with_masks(self, image: I, dense: Tensor) -> I:
        """Replace the dense prompt of an input prepared without masks, ``(n, c, side, side)``."""
        ...

    def attend(self, image: I, sparse: Tensor) -> A:
        """Run the two-way transformer on ``(n, points, c)`` float32 sparse prompts."""
        ...

    def quality(self, attended: A) -> Tensor:
        """Predict the IoU of all four masks: ``(n, 4)`` float32."""
        ...

    def masks(self, image: I, attended: A, wanted: slice) -> Tensor:
        """Return the wanted ones of the four masks: ``(n, masks, 4 side, 4 side)`` float32."""
        ...

    def predict(self, image: I, attended: A, *, multimask: bool) -> tuple[Tensor, Tensor]:
        """Return masks as ``masks`` does, and their predicted IoU, ``(n, masks)`` float32.

        With ``multimask`` three for each prompt. Else the single one, which gives way to the best
        of the three if it is not stable and the model is configured so.
        """
        ...
