"""What a model has to offer so that the runtime can serve it.

An engine knows nothing of gRPC, processes or queues, so the same one can stand behind another
server. It lives in one process, on one device, and is called from one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from diptych import AutomaticOptions, OutputOptions, Prompt, Segment, Task

Pixels: TypeAlias = NDArray[np.uint8]
"""``(height, width, 3)`` RGB in [0, 255], C-contiguous."""

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]
"""Work in short steps: it yields between two of them, where the runtime may stop it or let another
request go first, and returns its result. A step is at most one pass of the encoder, one batch of
points, one object or one frame."""


@dataclass(frozen=True)
class LoadedWeights:
    """A weights file that is loaded: name, SHA-256 digest, origin (empty if bundled) and size.

    ``tasks`` are those that it serves; empty means all.
    """

    name: str
    sha256: bytes
    url: str
    size_bytes: int
    tasks: tuple[Task, ...] = ()


@dataclass(frozen=True)
class Variant:
    """Weights that could be loaded instead."""

    name: str
    parameter_count: int
    size_bytes: int


@dataclass(frozen=True)
class Fact:
    """One thing about a loaded network, such as the size that it sees pictures at."""

    name: str
    value: str
    origin: Literal["known", "told", "assumed"]
    """Read off the weights or published with them; said by the operator; or neither."""
    file: str = ""
    """Name of the file in which the operator can say it."""


@dataclass(frozen=True)
class LoadedModel:
    """What an engine knows once it is loaded; with the static card it becomes the model card."""

    card: Mapping[str, Any]
    """Static fields of ``ModelCard`` as read from TOML, with the contract's field names."""
    tasks: tuple[Task, ...]
    weights: tuple[LoadedWeights, ...]
    parameter_count: int
    """Counted over the loaded networks."""
    device: str
    dtype: str
    tier: str
    """``exact`` or ``fast``."""
    software: str
    """Libraries that compute, such as ``torch 2.14.1, torchvision 0.29.1``."""
    default_min_score: float
    default_max_segments: int
    categories: tuple[tuple[int, str], ...] = ()
    variants: tuple[Variant, ...] = ()
    default_automatic: AutomaticOptions | None = None
    """Every field set; ``None`` for models without an automatic mode."""
    logits_size: tuple[int, int] | None = None
    """Height and width of low-res logits; ``None`` for models without."""
    keypoint_names: tuple[str, ...] = ()
    keypoint_edges: tuple[tuple[int, int], ...] = ()
    facts: tuple[Fact, ...] = ()
    """Of the networks, for the log and for whoever checks a file."""
    peak_device_bytes: Callable[[], int] = lambda: 0
    """The most memory of a device other than the processor that was taken; from any thread."""
    free_device_bytes: Callable[[], int] = lambda: 0
    """Memory of such a device that no process has taken now; images are held in a share of what is
    left once the model is loaded and warm."""


@dataclass(frozen=True)
class Features:
    """What the encoder made of an image. The runtime holds it and gives it back unchanged.

    ``payload`` is the engine's own; ``nbytes`` counts all memory that it keeps, on any device.
    """

    payload: object
    nbytes: int


@dataclass(frozen=True)
class Job:
    """One request after all checks: every option that has a default is filled in."""

    task: Task
    prompts: tuple[Prompt, ...]
    output: OutputOptions
    automatic: AutomaticOptions | None


@dataclass(frozen=True)
class Answer:
    """The segments of one job, as the contract orders them: by prompt and candidate for prompted
    tasks, else best score first, ``job.output`` (score floor, count, categories) already applied.
    ``omitted`` counts those that only ``max_segments`` left out."""

    segments: tuple[Segment, ...]
    omitted: int = 0

    @classmethod
    def of_prompts(cls, candidates: Sequence[Sequence[Segment]], max_segments: int) -> Answer:
        """Make the answer to prompts from the candidates of each, best first and at least one.
        ``max_segments`` leaves out further candidates, the worst first, but never the best one."""
        best = [found[0] for found in candidates]
        further = [segment for found in candidates for segment in found[1:]]
        further.sort(key=lambda segment: -segment.score)
        room = max(max_segments - len(best), 0)
        kept = sorted(
            best + further[:room],
            key=lambda segment: (segment.prompt_index or 0, segment.candidate_index or 0),
        )
        return cls(tuple(kept), omitted=len(further[room:]))


class LoadError(Exception):
    """The model cannot be loaded as it is set up; the message says in one line what to change."""


class DeviceLostError(Exception):
    """The device does not work any more; only a new process can."""


class Engine(Protocol):
    """A model on a device."""

    def load(self) -> LoadedModel:
        """Read the weights, put them on the device and warm up; called once, before all else.

        Raises:
            LoadError: a setting or a file has to change first.
        """
        ...

    def features_kind(self, task: Task) -> str:
        """Name the encoder that a task needs; features of one kind serve all tasks of that kind."""
        ...

    def embed(self, pixels: Pixels, kind: str) -> Features:
        """Run the encoder of that kind on one image, ``(height, width, 3)`` RGB in [0, 255]."""
        ...

    def segment(self, features: Features, pixels: Callable[[], Pixels], job: Job) -> Steps[Answer]:
        """Answer one job.

        ``pixels`` decodes the image again, for engines that look at parts of it. Raises
        ``ServiceError`` for what this model cannot do (``PROMPT_UNSUPPORTED``, ``DEVICE_MEMORY``);
        ``DeviceLostError`` ends the process; any other exception is a fault of the engine, and only
        this job fails. So it does if the answer cannot be so: numbers that are not finite, a mask
        of another size than the image, edges outside of it, logits of other sides, a category or a
        prompt that does not exist.
        """
        ...


@runtime_checkable
class KeepingEngine(Engine, Protocol):
    """An engine whose features can be written to a disk, and read by another process with the same
    weights, tier, device and libraries. Both methods may be called from any thread."""

    def pack(self, features: Features) -> tuple[str, Sequence[memoryview]]:
        """Give a note, for ``unpack``, and blocks of bytes, which are not changed."""
        ...

    def unpack(self, kind: str, note: str, blocks: Sequence[memoryview]) -> Features:
        """Make features of a kind from what ``pack`` gave; blocks may be kept, begin at multiples
        of 64 bytes and belong to nobody else.

        Raises:
            ValueError: another release packed them in another way.
        """
        ...


@dataclass(frozen=True)
class BatchItem:
    """One of several jobs that are answered together: what ``segment`` gets, and whether its
    answer is still wanted."""

    features: Features
    pixels: Callable[[], Pixels]
    job: Job
    wanted: Callable[[], bool]
    """Never true again once it is false; then nothing has to be done for this job any more."""


BatchSteps: TypeAlias = Generator[tuple[int, Answer | Exception] | None, None, None]
"""Work in short steps on several jobs. Yields the index of a job and its answer or error as soon
as that is known, in any order, else ``None``; an error is that of one job alone."""


@runtime_checkable
class BatchingEngine(Engine, Protocol):
    """An engine that may be quicker with several jobs at once. Whether it is, the runtime measures:
    one that is not gets them one by one."""

    def batch_key(self, features: Features, job: Job) -> Hashable | None:
        """Make the key of a job: those of equal key can be answered together and take about as
        long as each other. One without a key is answered by ``segment``."""
        ...

    def segment_batch(self, items: Sequence[BatchItem]) -> BatchSteps:
        """Answer jobs of equal key, each as ``segment`` would but for rounding.

        An exception is that of all jobs not yet yielded: the runtime tries them again in halves,
        and one by one in the end, so one bad job need not be found here. ``DeviceLostError`` ends
        the process.
        """
        ...
