"""The ``options`` of a request, checked, and as the messages that models are sent.

Names, types and defaults are those of the SDK; ranges are the models' to check.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Collection, Iterator, Sized
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    FailFast,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
)

from diptych import (
    AutomaticOptions,
    LowResLogits,
    Mask,
    MaskEncoding,
    OutputOptions,
    Prompt,
    Task,
)
from diptych.limits import NO_PROMPTS
from diptych.segment import v1 as pb
from diptych.wire.comparison import compare_request
from diptych.wire.requests import (
    RequestOptions,
    image_by_bytes,
    image_by_digest,
    make_box,
    make_options,
    make_point,
    segment_request,
)
from diptych_runtime.engine import Reason, ServiceError, Violation, invalid

from .description.schemas import notes
from .forms import Form

_JSON_MARKS = {"[": 20_000, "{": 10_000, '"': 10_000, ",": 70_000}
"""More than 256 prompts of 64 points, or 4096 names, have. Each list, object and unknown name takes
microseconds to refuse, and holds the interpreter meanwhile; no value comes without one of these."""
_MAX_COUNTS = 512 * 1024  # of the run lengths of one mask; each takes 33 bytes while it is read
_MAX_ITEMS = 4096  # of one list; what a model takes is less, and its own to check


_CONFIG = ConfigDict(
    extra="forbid", strict=True, allow_inf_nan=False, frozen=True, use_attribute_docstrings=True
)


def _bounded(hint: Any) -> Any:
    """Bound a sequence: its length, and its errors to one, for each costs a kilobyte and more."""
    if get_origin(hint) is not tuple:
        return hint
    return Annotated[hint, FailFast(), Field(max_length=_MAX_ITEMS)]


def _model_of(kind: type[Any], description: str) -> type[BaseModel]:
    """Make the model of what JSON may say of a dataclass of the SDK."""
    hints, noted = get_type_hints(kind), notes(kind)
    hints = {name: _bounded(hint) for name, hint in hints.items()}
    fields: dict[str, Any] = {
        field.name: (hints[field.name], Field(field.default, **noted.get(field.name, {})))
        for field in dataclasses.fields(kind)
    }
    return create_model(kind.__name__, __config__=_CONFIG, __doc__=description, **fields)


Output = _model_of(OutputOptions, "What an answer holds; null means the model's default.")
_Automatic = _model_of(
    AutomaticOptions,
    "Tuning of a mode that finds objects by itself. Models without one, and tasks with prompts, "
    "ignore it.",
)

_Point = Annotated[
    tuple[float | bool, ...],
    Field(min_length=2, max_length=3, description="x and y in pixels; false: not on the object"),
    AfterValidator(make_point),
]
_Box = Annotated[
    tuple[float, float, float, float],
    Field(description="x_min, y_min, x_max, y_max in pixels"),
    AfterValidator(make_box),
]


class CocoRle(BaseModel):
    """A mask as compressed COCO run lengths."""

    model_config = _CONFIG

    size: Annotated[tuple[int, int], Field(description="height and width")]
    counts: Annotated[str, Field(max_length=_MAX_COUNTS)]

    def value(self) -> Mask:
        """Decode it; raises ``ValueError`` if the counts are not those of a mask of this size."""
        return Mask.from_coco(self.counts, self.size)


class PngMask(BaseModel):
    """A mask as a PNG file of one channel; values over 127 are the object."""

    model_config = _CONFIG

    png: str
    """The file in base64."""

    def value(self) -> Mask:
        """Read its size, but no pixel; raises ``ValueError`` if it is no such file."""
        return Mask.from_png(_decoded(self.png))


class Logits(BaseModel):
    """`low_res_logits` of an earlier answer, unchanged."""

    model_config = _CONFIG

    height: int
    width: int
    float16_le: str
    """Row by row, two bytes each, the lower first; in base64."""

    def value(self) -> LowResLogits:
        """Decode them; raises ``ValueError`` if they are not in base64."""
        return LowResLogits(self.height, self.width, _decoded(self.float16_le))


_MASK_KINDS = (CocoRle, PngMask, Logits)
_MASK_KIND_NAMES = frozenset(kind.__name__ for kind in _MASK_KINDS)
_KEYS = {"counts": CocoRle.__name__, "png": PngMask.__name__, "float16_le": Logits.__name__}


def _kind(value: Any) -> str | None:
    """Tell what kind of mask an object is, by the one key that no other kind has."""
    kinds = [kind for key, kind in _KEYS.items() if isinstance(value, dict) and key in value]
    return kinds[0] if len(kinds) == 1 else None


def _value(sent: CocoRle | PngMask | Logits) -> Mask | LowResLogits:
    return sent.value()


_Mask = Annotated[
    Annotated[CocoRle, Tag("CocoRle")]
    | Annotated[PngMask, Tag("PngMask")]
    | Annotated[Logits, Tag("Logits")],
    Discriminator(
        _kind,
        custom_error_type="mask_kind",
        custom_error_message="expected an object with one of counts, png and float16_le",
    ),
    AfterValidator(_value),
]


class PromptOptions(BaseModel):
    """One wanted object: points, a box and an earlier mask that belong together."""

    model_config = _CONFIG

    points: _bounded(tuple[_Point, ...]) = ()  # type: ignore[valid-type]
    """Those that are not on the object correct a box, a mask or, in a video, the last answer."""
    box: _Box | None = None
    """What leaves the picture is cut off."""
    mask: _Mask | None = None
    """What points and a box correct, if there are any: `segmentation` of an answer as COCO RLE or
    PNG, or `low_res_logits` of one (pictures only)."""

    def prompt(self) -> Prompt:
        """Make what the SDK calls it."""
        return Prompt(self.points, self.box, self.mask)  # type: ignore[arg-type]


class _Options(BaseModel):
    model_config = _CONFIG

    task: Task | None = None
    """Prompted segmentation if there are prompts, else instance segmentation."""
    prompts: _bounded(tuple[PromptOptions, ...]) = ()  # type: ignore[valid-type]
    output: Output | None = None  # type: ignore[valid-type]
    automatic: _Automatic | None = None  # type: ignore[valid-type]
    timeout_s: Annotated[float, Field(gt=0)] | None = None
    """Seconds until an answer is due, from the request's arrival."""

    @field_validator("prompts")
    @classmethod
    def _some(cls, prompts: Sized, info: ValidationInfo) -> Sized:
        # Not looked at where it was left out, nor where the task is no task.
        if not prompts and info.data.get("task", ...) is None:
            raise ValueError(NO_PROMPTS)
        return prompts

    def request(self, image: pb.Image, model: str = "") -> pb.SegmentRequest:
        """Make the message for one model."""
        return segment_request(self._options(model), image)

    @property
    def mask_encoding(self) -> MaskEncoding:
        """How masks are to be written."""
        return self._output().mask_encoding

    def _output(self) -> OutputOptions:
        return OutputOptions(**dict(self.output)) if self.output else OutputOptions()

    def _options(self, model: str) -> RequestOptions:
        return make_options(
            model,
            self.task,
            [asked.prompt() for asked in self.prompts] or None,
            output=self._output(),
            automatic=AutomaticOptions(**dict(self.automatic)) if self.automatic else None,
        )


class SegmentOptions(_Options):
    """What one model is asked."""

    # The registry refuses a missing one, and says which there are.
    model_config = ConfigDict(
        json_schema_extra={"required": ["model"], "examples": [{"model": "mask-rcnn"}]}
    )

    model: str = ""
    """Which model."""


class CompareOptions(_Options):
    """What several models are asked."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"task": "instance-segmentation"}]})

    models: _bounded(tuple[str, ...]) = ()  # type: ignore[valid-type]
    """Whom to ask, in this order; empty: every model that does the task."""
    match_iou: float | None = None
    """Overlap from which two segments match, in (0, 1]; 0.5 if left out."""

    def compare_request(self, image: pb.Image) -> pb.CompareRequest:
        """Make the message for the gateway."""
        return compare_request(self._options(""), image, self.models, self.match_iou)


Options = TypeVar("Options", SegmentOptions, CompareOptions)
_MODELS = (SegmentOptions, CompareOptions, PromptOptions, *_MASK_KINDS, Output, _Automatic)
FIELDS = frozenset(name for model in _MODELS for name in model.model_fields)


def read_segment(form: Form) -> tuple[SegmentOptions, pb.SegmentRequest]:
    """Read what a form asks of one model. Megabytes of options take a while.

    Raises:
        ServiceError: it cannot be used; its violations say what and why.
    """
    options, image = _read_options(SegmentOptions, form), _read_image(form)
    with fitting_numbers():
        return options, options.request(image, options.model)


def read_compare(form: Form) -> tuple[CompareOptions, pb.CompareRequest]:
    """Read what a form asks of several models; otherwise as ``read_segment``."""
    options, image = _read_options(CompareOptions, form), _read_image(form)
    with fitting_numbers():
        return options, options.compare_request(image)


@contextmanager
def fitting_numbers() -> Iterator[None]:
    """Refuse numbers that a message cannot hold: JSON has integers of any size."""
    try:
        yield
    except (ValueError, OverflowError) as error:
        raise invalid(
            Reason.OPTION_INVALID, "options", f"a number does not fit: {error}"
        ) from error


def _read_options(kind: type[Options], form: Form) -> Options:
    text = form.get("options") or b"{}"
    check_json(text, "options")
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise refusal(error) from error


def check_json(text: bytes, name: str) -> None:
    """Refuse JSON of far too many lists, objects or names, before it is read.

    Raises:
        ServiceError: with what ``name`` may have.
    """
    for mark, most in _JSON_MARKS.items():
        if (count := text.count(mark.encode())) > most:
            wanted = f"expected JSON with at most {most} {mark}"
            raise invalid(Reason.OPTION_INVALID, name, f"{wanted}, got {count}")


def _read_image(form: Form) -> pb.Image:
    """Read the image of a form, or the digest that stands for it."""
    encoded, digest = form.get("image"), form.get("image_sha256") or None
    if (encoded is None) == (digest is None):
        got = "both" if encoded is not None else "neither"
        raise invalid(Reason.OPTION_INVALID, "image", f"expected image or image_sha256, got {got}")
    if encoded is not None:
        return image_by_bytes(encoded)
    try:
        sha256 = bytes.fromhex((digest or b"").decode("ascii"))
    except ValueError:
        sha256 = b""
    if len(sha256) != 32:
        raise invalid(Reason.OPTION_INVALID, "image_sha256", "expected 64 hexadecimal digits")
    return image_by_digest(sha256)


def refusal(
    error: ValidationError,
    fields: Collection[str] = FIELDS,
    reason: Reason | None = None,
    whole: str = "options",
) -> ServiceError:
    """Make the error for options; ``fields`` are the names that paths may have, ``whole`` is what
    is called wrong if no field of it is."""
    problems: dict[str, str] = {}
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        path = _path(item["loc"], None if item["type"] == "extra_forbidden" else fields)
        problems.setdefault(path, item["msg"].removeprefix("Value error, ").removeprefix("mask: "))
    violations = [Violation(path, text) for path, text in problems.items()]
    first = violations[0]
    of_prompt = first.field.startswith("prompts")
    reason = reason or (Reason.PROMPT_INVALID if of_prompt else Reason.OPTION_INVALID)
    where = first.field or whole
    return ServiceError(reason, f"{where}: {first.description}", violations=violations)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"expected base64, got something else: {error}") from error


def _path(location: tuple[int | str, ...], fields: Collection[str] | None) -> str:
    """Write a location as ``prompts[0].box``.

    pydantic goes on with the kinds of a union; where the names are known, those are left out.
    """
    path = ""
    for part in location:
        if part in _MASK_KIND_NAMES:
            continue
        if fields and isinstance(part, str) and part not in fields:
            break
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path
