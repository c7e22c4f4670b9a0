"""Shapes of the JSON documents that ``documents`` makes; HTTP's description is read off them.

Where a field is a class of the SDK, the document has what ``results.plain`` makes of it. The pairs
of an ``Annotated`` type are keywords of JSON Schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypedDict

from .._types.agreement import Agreement
from .._types.cards import ModelCard, Replica
from .._types.errors import Violation
from .._types.results import Provenance, Timings

Sha256 = Annotated[str, ("pattern", "^([0-9a-f]{64})?$")]
Share = Annotated[float, ("minimum", 0), ("maximum", 1)]
Count = Annotated[int, ("minimum", 0)]
Side = Annotated[int, ("minimum", 1)]
NotNegative = Annotated[float, ("minimum", 0)]
Version = Annotated[int, ("const", 1)]


class ImageSizeDocument(TypedDict):
    """Of the picture that coordinates refer to, in pixels."""

    height: Side
    width: Side


class RleDocument(TypedDict):
    """A mask as compressed COCO run lengths."""

    size: tuple[Side, Side]
    """Height and width."""
    counts: str


class PngDocument(TypedDict):
    """A mask as a PNG file of one channel, 0 or 255."""

    png: str
    """The file in base64."""


MaskDocument = RleDocument | PngDocument | list[list[float]]
"""COCO RLE, PNG, or polygons: x and y in turn, holes turning the other way than outlines."""


class LogitsDocument(TypedDict):
    """A mask before the threshold, in the model's own resolution."""

    height: Side
    width: Side
    float16_le: str
    """Row by row, two bytes each, the lower first; in base64."""


class _FoundDocument(TypedDict):
    category_id: Count
    """COCO category id, or 0 for class-agnostic models."""
    area: NotNegative
    """Pixels of the mask; where neither it nor its area came, of the box."""
    score: Share
    """How sure the model is. Not comparable between models."""


class _MoreDocument(TypedDict, total=False):
    box: tuple[float, float, float, float]
    """Left, top, right and bottom in pixels, as it came, not rounded; missing where none came."""
    mask_area: Count
    """Pixels of a mask that was left out, as with `output.mask_encoding` `none`."""
    keypoints: list[float]
    """x, y and COCO's visibility of each, one after another."""
    num_keypoints: Count
    """As COCO has it: all of them."""
    label: str
    """Class name, or empty for class-agnostic models."""
    prompt_index: Count
    """Index into the request's prompts; prompted tasks only."""
    candidate_index: Count
    """Which candidate for that prompt, 0 being the best; prompted tasks only."""
    stability_score: float
    """Share of pixels that stay when the threshold is shifted; automatic mode only."""
    source_iou: Share
    """Overlap with the mask of the detector that prompted it; cascades only."""
    low_res_logits: LogitsDocument
    """What to send as a prompt's `mask` to refine this; with `output.low_res_logits` only."""
    keypoint_names: list[str]
    """Of the body's points, in the same order."""
    keypoint_scores: list[float]
    """Heat-map logits, not probabilities."""


class _AnnotationDocument(_FoundDocument):
    id: Annotated[int, ("minimum", 1)]
    """Counts up from 1 in the order of the segments."""
    image_id: int
    """1: a result is of one picture."""
    bbox: tuple[float, float, NotNegative, NotNegative]
    """Left, top, width and height in pixels, to a thousandth; zeros where there is no box."""
    iscrowd: Annotated[int, ("const", 0)]
    """As COCO has it."""


class SegmentDocument(_AnnotationDocument, _MoreDocument, total=False):
    """One thing found in a picture: an annotation as in a COCO file, and more."""

    segmentation: MaskDocument
    """As `output.mask_encoding` says: run lengths, a PNG, or polygons, whose holes turn the other
    way than outlines. Not for detection and keypoint tasks."""


class _ResultDocument(TypedDict):
    version: Version
    """Of the form; what an earlier reader would read wrongly raises it."""
    model_id: str
    image_size: ImageSizeDocument
    image_sha256: Sha256
    """Of the picture file, in hexadecimal; send it instead of the file from now on."""
    request_id: str
    """The request, as in the server's log."""
    omitted: Count
    """Segments that were found but left out because of `max_segments`."""
    warnings: list[str]
    """What is wrong with the picture though it was answered: that its file is damaged, with all
    pixels there."""
    timings: Timings
    provenance: list[Provenance]
    """One entry per model that took part."""
    segments: list[SegmentDocument]
    """By prompt and candidate for prompted tasks, else best score first."""


class ResultDocument(_ResultDocument, total=False):
    """What one model found in one picture."""

    source: str
    """The picture's file, as it was named; never over HTTP."""


class ErrorDocument(TypedDict):
    """Why there is no answer."""

    type: str
    """Name of the SDK's exception; of Python's for a file that cannot be read."""
    message: str
    """What was expected and what came."""
    code: str | None
    """Name of the gRPC code; null if the problem was found before anything was sent."""
    reason: str
    """Machine-readable cause; stable. Empty when gRPC itself spoke, or nobody was asked."""
    request_id: str
    """As in the server's log; empty if it was not asked."""
    metadata: Mapping[str, str]
    """Variables of the message."""
    violations: list[Violation]
    """Fields that cannot be used."""
    retry_after_s: NotNegative | None
    """When the server suggests to try again, in seconds."""


class OutcomeDocument(TypedDict):
    """What one model answered in a comparison: a result or an error, never both."""

    model_id: str
    elapsed_s: NotNegative
    """From asking to this answer, as the gateway saw it, in seconds."""
    result: ResultDocument | None
    error: ErrorDocument | None


class _ComparisonDocument(TypedDict):
    version: Version
    """As of a result."""
    results: list[OutcomeDocument]
    """In the order asked."""
    agreements: list[Agreement]
    """One per pair of models that both answered and can be compared."""


class ComparisonDocument(_ComparisonDocument, total=False):
    """What several models say about one picture."""

    source: str
    """The picture's file, as it was named; never over HTTP."""


class _FollowedDocument(_FoundDocument):
    object_id: Count
    """As in the prompt, or one of 2**30 and above that the server chose."""
    presence: Share
    """How sure the model is that the object is visible."""
    bbox: tuple[float, float, NotNegative, NotNegative] | None
    """Left, top, width and height in pixels, to a thousandth; null where the object is hidden."""
    segmentation: MaskDocument | None
    """As in a segment; null where the object is hidden, or no mask was asked for."""


class VideoObjectDocument(_FollowedDocument, _MoreDocument):
    """One object on one frame: the fields of a segment, and whose they are."""


class _FrameDocument(TypedDict):
    version: Version
    """As of a result."""
    frame_index: Count
    """From 0, as it was sent."""
    revision: Count
    """0 for the first answer for this frame, growing with each correction."""
    image_size: ImageSizeDocument
    timings: Timings
    warnings: list[str]
    """As in a result; only in the first answer for a frame."""
    objects: list[VideoObjectDocument]


class VideoFrameDocument(_FrameDocument, total=False):
    """What one model sees on one frame of a clip."""

    source: str
    """The clip's file or folder, as it was named; never over HTTP."""
    model_id: str
    """On the command line only: over HTTP, a session is one model's."""
    time_s: NotNegative
    """When the frame is shown; on the command line only."""


class _FailureDocument(TypedDict):
    version: Version
    """As of a result."""
    error: ErrorDocument
    """Why."""


class FailureDocument(_FailureDocument, total=False):
    """Why there is no answer for one of many pictures or frames, in its place."""

    source: str
    """The picture's or clip's file, as it was named."""
    model_id: str
    """Of a frame only, as the two that follow."""
    frame_index: Count
    time_s: NotNegative


class ModelDocument(TypedDict):
    """What is known of a model."""

    model_id: str
    card: ModelCard | None
    """The last one seen if it cannot be reached; null if it never was."""
    error: ErrorDocument | None
    """Why it cannot be reached; null if it can."""
    replicas: list[Replica]
    """Its services; empty for a cascade."""
    warnings: list[str]
    """What whoever runs it should look at though it may answer, a sentence each."""
