"""What a caller gets back, frozen."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from .._arguments import ImageLike
from .._export import formats
from .agreement import Agreement
from .errors import DiptychError
from .segment import Segment

if TYPE_CHECKING:
    import matplotlib.figure
    import supervision

    from ..segment.v1 import CompareResponse, SegmentResponse


@dataclass(frozen=True)
class Timings:
    """Where the time of one request went in the service that ran the model, in seconds."""

    queue_s: float = 0.0
    """Waiting for the model."""
    decode_s: float = 0.0
    """Image bytes to pixels."""
    encode_s: float = 0.0
    """Pixels to features: the part that a held image saves."""
    predict_s: float = 0.0
    """Features to segments."""
    postprocess_s: float = 0.0
    """Segments to the encoded reply."""
    total_s: float = 0.0
    """From the request's arrival to the reply."""


@dataclass(frozen=True)
class Provenance:
    """What produced an answer."""

    model_id: str
    weights: str
    """Name of the weights, as in the card."""
    weights_sha256: str
    """Of the weights file, in hexadecimal."""
    tier: str
    """``"exact"`` or ``"fast"``."""
    device: str
    dtype: str
    image_cache_hit: bool
    """The features of this image were still held, so the encoder did not run."""
    software: str


@dataclass(frozen=True, repr=False)
class SegmentResult:
    """What one model found in one image."""

    model_id: str
    segments: tuple[Segment, ...]
    """By prompt and candidate for prompted tasks, else best score first."""
    image_size: tuple[int, int]
    """Height and width of the image that the coordinates refer to."""
    image_sha256: str = ""
    """Of the image file, in hexadecimal."""
    timings: Timings = field(default_factory=Timings)
    provenance: tuple[Provenance, ...] = ()
    """One entry per model that took part."""
    request_id: str = ""
    """The request, as in the server's log."""
    omitted: int = 0
    """Segments that were found but left out because of ``OutputOptions.max_segments``."""
    warnings: tuple[str, ...] = ()
    """What is wrong with the image though it was answered: that its file is damaged, with all
    pixels there."""
    raw: SegmentResponse | None = field(default=None, repr=False, compare=False)
    """The message as it came; ``None`` if the prompts took several requests."""
    source: str | os.PathLike[str] | None = field(default=None, repr=False, compare=False)
    """The file that was asked about, if one was: notebooks show segments on it."""

    def __repr__(self) -> str:
        height, width = self.image_size
        found = Counter(segment.label for segment in self.segments)
        names = [
            f"{count} {name or ('object' if count == 1 else 'objects')}"
            for name, count in found.most_common(5)
        ] or ["nothing"]
        told = ", ".join([*names, "…"] if len(found) > 5 else names)
        return f"SegmentResult({self.model_id!r}, {width}x{height} px, {told})"

    def __len__(self) -> int:
        """How many segments there are."""
        return len(self.segments)

    def __bool__(self) -> bool:
        """An answer is one, though nothing was found."""
        return True

    def __iter__(self) -> Iterator[Segment]:
        """The segments."""
        return iter(self.segments)

    @overload
    def __getitem__(self, index: int) -> Segment: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Segment, ...]: ...
    def __getitem__(self, index: int | slice) -> Segment | tuple[Segment, ...]:
        """A segment by its place, or several."""
        return self.segments[index]

    def _repr_png_(self) -> bytes:
        from .._drawing.shown import result_png

        return result_png(self)

    def to_json(self) -> str:
        """This answer as JSON, as ``diptych segment --json`` and HTTP give it."""
        from ..documents.results import json_text, result_document

        return json_text(result_document(self))

    @staticmethod
    def from_json(text: str | bytes) -> SegmentResult:
        """Read an answer from its JSON; equal to what was written.

        Raises:
            ValueError: it is no such document, or one of a later version.
        """
        from ..documents.reading import result_from_json

        return result_from_json(text)

    def to_coco(
        self,
        image_id: int = 1,
        *,
        first_id: int = 1,
        category_id: int | Mapping[str, int] | None = None,
    ) -> list[dict[str, Any]]:
        """Annotations as in a COCO file: ``bbox`` as xywh, ``segmentation`` as compressed RLE.

        Ids count up from ``first_id``. ``COCO.loadRes`` of pycocotools takes the list, too.

        Args:
            image_id: as in the file that the annotations go with.
            first_id: of the first annotation.
            category_id: instead of the model's own: one for all, or one for each label, as they
                are in the file. What finds objects without naming them has category 0, which no
                file has and every evaluation leaves out: say one, or be warned.

        Raises:
            ValueError: a label has no id.
        """
        without = sum(not segment.category_id for segment in self.segments)
        if without and category_id is None:
            warnings.warn(
                f"{self.model_id}: {without} of {len(self.segments)} segments have no class, so "
                "their annotations have category 0, which evaluations leave out (pycocotools: AP "
                "0); say to_coco(category_id=...)",
                stacklevel=2,
            )
        return formats.to_coco(
            self.segments, self.image_size, image_id, first_id, category_id=category_id
        )

    def to_numpy(self) -> formats.SegmentArrays:
        """Parallel arrays; every mask is decoded to full size, one byte a pixel."""
        return formats.to_numpy(self.segments, self.image_size)

    def to_supervision(self) -> supervision.Detections:
        """As ``supervision.Detections``; segments that have neither box nor mask are left out.

        Raises:
            MissingExtraError: without ``pip install 'diptych[supervision]'``.
        """
        return formats.to_supervision(self.segments, self.image_size)

    def plot(self, image: ImageLike | None = None) -> matplotlib.figure.Figure:
        """A figure of the segments on the image, or on grey without one.

        Raises:
            MissingExtraError: without ``pip install 'diptych[viz]'``.
        """
        from .._drawing.plot import figure_of_result

        return figure_of_result(self, image)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        image: ImageLike | None = None,
        overwrite: bool = False,
    ) -> None:
        """Writes the figure of ``plot``; the suffix decides on the format (PNG, PDF, SVG, …).

        It is written whole or not at all.

        Raises:
            FileExistsError: a file is there and ``overwrite`` was not said, or it is the
                ``image`` itself, which is never overwritten.
            OSError: it cannot be written there.
            ValueError: the suffix is of no format, or the image is not the result's.
            MissingExtraError: without ``pip install 'diptych[viz]'``.
        """
        from .._drawing.plot import save_figure

        save_figure(path, lambda: self.plot(image), image=image, overwrite=overwrite)


@dataclass(frozen=True)
class ModelOutcome:
    """What one model answered in a comparison: a result or an error, never both."""

    model_id: str
    result: SegmentResult | None
    error: DiptychError | None
    elapsed_s: float
    """From asking to this answer, as the gateway saw it, in seconds."""


if TYPE_CHECKING:
    # For type checkers, who then know of `outcome.error is None` that there is a result.
    @dataclass(frozen=True)
    class AnsweredOutcome(ModelOutcome):
        """A model's answer."""

        result: SegmentResult
        error: None

    @dataclass(frozen=True)
    class FailedOutcome(ModelOutcome):
        """Why there is no answer of a model."""

        result: None
        error: DiptychError

    Outcome = AnsweredOutcome | FailedOutcome
else:
    Outcome = ModelOutcome


@dataclass(frozen=True, repr=False)
class Comparison:
    """What several models say about one image."""

    results: tuple[Outcome, ...]
    """In the order asked."""
    agreements: tuple[Agreement, ...]
    """One per pair of models that both answered."""
    raw: CompareResponse | None = field(default=None, repr=False, compare=False)
    """The message as it came."""
    source: str | os.PathLike[str] | None = field(default=None, repr=False, compare=False)
    """The file that was asked about, if one was: notebooks show segments on it."""

    def __repr__(self) -> str:
        counts = [(o.model_id, "failed" if o.result is None else len(o.result)) for o in self]
        return f"Comparison({', '.join(f'{name}: {count}' for name, count in counts)})"

    def __len__(self) -> int:
        """How many models were asked."""
        return len(self.results)

    def __bool__(self) -> bool:
        """A comparison is one, though no model was asked."""
        return True

    def __iter__(self) -> Iterator[Outcome]:
        """The outcomes, in the order asked."""
        return iter(self.results)

    def __contains__(self, model_id: object) -> bool:
        """Whether a model was asked."""
        return any(outcome.model_id == model_id for outcome in self.results)

    def _repr_png_(self) -> bytes:
        from .._drawing.shown import comparison_png

        return comparison_png(self)

    def to_json(self) -> str:
        """This comparison as JSON, as ``diptych compare --json`` and HTTP give it."""
        from ..documents.results import comparison_document, json_text

        return json_text(comparison_document(self))

    @staticmethod
    def from_json(text: str | bytes) -> Comparison:
        """Read a comparison from its JSON. Errors are equal in kind, text and fields.

        Raises:
            ValueError: it is no such document, or one of a later version.
        """
        from ..documents.reading import comparison_from_json

        return comparison_from_json(text)

    def __getitem__(self, model_id: str | int) -> Outcome:
        """The outcome of one model, ``KeyError`` if it was not asked; or of one place, from 0."""
        if isinstance(model_id, int):
            return self.results[model_id]
        for outcome in self.results:
            if outcome.model_id == model_id:
                return outcome
        raise KeyError(model_id)

    def plot(
        self, image: ImageLike | None = None, *, original: bool = True
    ) -> matplotlib.figure.Figure:
        """A figure with the models side by side, after the ``original`` image if wanted.

        Segments that match across models have the same colour.

        Raises:
            MissingExtraError: without ``pip install 'diptych[viz]'``.
        """
        from .._drawing.plot import figure_of_comparison

        return figure_of_comparison(self, image, original=original)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        image: ImageLike | None = None,
        original: bool = True,
        overwrite: bool = False,
    ) -> None:
        """Writes the figure of ``plot``, as ``SegmentResult.save`` does."""
        from .._drawing.plot import save_figure

        save_figure(
            path,
            lambda: self.plot(image, original=original),
            image=image,
            overwrite=overwrite,
        )
