"""One request inside the engine process, from bytes to an answer, and the images held there."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from diptych import AutomaticOptions, Prompt, Task
from diptych.segment import v1 as pb
from diptych.wire.requests import read_automatic, read_output, read_task

from ..engine.errors import Reason, ServiceError, not_held
from ..engine.protocol import Answer, BatchItem, Engine, Features, Job, LoadedModel, Pixels, Steps
from ..settings import RuntimeSettings
from ..wire.image_files import Note, ignore, is_small
from ..wire.prompt_checks import check_prompts
from .decoder import Decoder
from .features_folder import FeaturesFolder, KeptPicture
from .images import Limits, check_size, decode


@dataclass
class CachedImage:
    """One image: its file, its size (height, width) and its features by kind."""

    encoded: bytes
    size: tuple[int, int]
    features: dict[str, Features] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """What is wrong with the file, though its pixels are all there."""

    @property
    def nbytes(self) -> int:
        """Memory that it keeps."""
        return len(self.encoded) + sum(f.nbytes for f in self.features.values())


class ImageCache:
    """Images by the SHA-256 of their file, bounded in bytes, the longest unused out first.

    The file is held beside the features, so that a digest serves every task of a model, also one
    whose encoder has not seen the image yet.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._images: OrderedDict[str, tuple[CachedImage, int]] = OrderedDict()
        self._bytes = 0
        self._changed: dict[str, bool] = {}

    def get(self, digest: str) -> CachedImage | None:
        """Return an image, which becomes the last used one; ``None`` if it is not held."""
        with self._lock:
            found = self._images.get(digest)
            if found is None:
                return None
            self._images.move_to_end(digest)
            return found[0]

    def put(self, digest: str, image: CachedImage) -> None:
        """Hold an image, or count it anew after it got features.

        One that is larger than all that may be held is not held, and drives no other out.
        """
        nbytes = image.nbytes
        with self._lock:
            self._drop(digest)
            if nbytes > self._max_bytes:
                return
            self._images[digest] = image, nbytes
            self._bytes += nbytes
            self._changed[digest] = True
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._images)))

    def _drop(self, digest: str) -> None:
        if digest in self._images:
            _, nbytes = self._images.pop(digest)
            self._bytes -= nbytes
            self._changed[digest] = False

    def changes(self) -> dict[str, object]:
        """Return what was added and dropped since the last call, and the bytes held now."""
        with self._lock:
            changed, self._changed = self._changed, {}
            return {
                "added": [digest for digest, held in changed.items() if held],
                "dropped": [digest for digest, held in changed.items() if not held],
                "held_bytes": self._bytes,
            }


@dataclass
class Work:
    """A request, its state, and where its time went (seconds)."""

    id: int
    request_id: str
    digest: str
    """SHA-256 of the image's file in hexadecimal; an image without one is not held."""
    received: float
    """Reading of the monotonic clock, which all processes of a machine share."""
    deadline: float
    request: pb.SegmentRequest
    """The message without the file of its image."""
    estimate_s: float = 0.0
    """Expected time in the model; 0 once the model has begun."""
    hash_image: bool = False
    """Whether ``digest`` has yet to be computed."""
    encoded: bytes | memoryview = b""
    """That file where it arrived, if it was sent; empty again once ``image`` has it."""
    copied: Future[bytes] = field(default_factory=Future)
    """A copy of it to keep, which may still be made while ``encoded`` is read."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    mark: Callable[[bool], None] = lambda _: None
    """Called before something that may end the process, and after it."""
    image: CachedImage | None = None
    pixels: Pixels | None = None
    prompts: tuple[Prompt, ...] = ()
    batch_key: Hashable | None = None
    """See ``BatchingEngine``; ``None`` until a batch is put together."""
    max_batch: int | None = None
    """The largest batch that it may be part of; ``None`` until a batch is put together."""
    batch_size: int = 1
    """How many are answered together, itself among them."""
    cache_hit: bool = False
    encoder_ran: bool = False
    decode_s: float = 0.0
    encode_s: float = 0.0
    model_s: float = 0.0

    def check_alive(self) -> None:
        """Check between two steps whether the answer is still wanted.

        Raises:
            ServiceError: the deadline has passed, or would while the model works.
            CancelledWorkError: the caller has gone.
        """
        if self.cancelled.is_set():
            raise CancelledWorkError
        if time.monotonic() + self.estimate_s >= self.deadline:
            when = "would pass" if self.estimate_s else "passed"
            raise ServiceError(Reason.DEADLINE, f"the deadline {when} while the model was working")


class CancelledWorkError(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True)
class EngineContext:
    """What all requests of an engine process share."""

    engine: Engine
    loaded: LoadedModel
    cache: ImageCache
    settings: RuntimeSettings
    decoder: Decoder | None = None
    """Decodes what is not small; without one everything is decoded in the thread that asks."""
    kept: FeaturesFolder | None = None
    """Features on the disk."""

    def prepare(self, work: Work) -> None:
        """Find or decode the image and check the prompts against it.

        Raises:
            ServiceError: the image or a prompt cannot be used, or its digest is not held.
        """
        work.check_alive()
        if work.hash_image:
            work.digest = hashlib.sha256(work.encoded).hexdigest()
        work.image = self.cache.get(work.digest) or self._open(work)
        work.encoded, work.copied = b"", Future()
        if work.pixels is None and not self.decodes_here(work):
            started = time.monotonic()  # now, or the model would wait for them
            work.pixels = self.decode(work.image.encoded, work.check_alive)
            work.decode_s = time.monotonic() - started
        size, logits_size = work.image.size, self.loaded.logits_size
        work.prompts = check_prompts(work.request, size, logits_size, between=work.check_alive)

    def _open(self, work: Work) -> CachedImage:
        if not work.encoded:
            raise not_held(work.digest)
        encoded = work.copied.result()
        if (kept := self._kept(work)) is not None:
            features = {kept.kind: kept.features}
            return CachedImage(encoded, kept.size, features, kept.warnings)
        started = time.monotonic()
        warnings: list[str] = []
        work.pixels = self.decode(encoded, work.check_alive, warnings.append)
        work.decode_s = time.monotonic() - started
        height, width, _ = work.pixels.shape
        return CachedImage(encoded, (height, width), warnings=tuple(warnings))

    def _kept(self, work: Work) -> KeptPicture | None:
        """Read what the disk has of a picture, for the task that is asked."""
        task = read_task(work.request.task)
        if self.kept is None or task is None or not work.digest:
            return None
        kept = self.kept.read(work.digest, self.engine.features_kind(task))
        if kept is not None:
            check_size(kept.size[::-1], **self._limits())
        return kept

    def answer(self, work: Work) -> Steps[Answer]:
        """Encode the image if need be, then answer; yields between steps.

        A request that is not prepared yet is prepared first.
        """
        if work.image is None:
            started = time.monotonic()
            self.prepare(work)
            work.model_s -= time.monotonic() - started
        job = self.job(work)
        kind = self.engine.features_kind(job.task)
        features = self.features(work, job.task)
        image = work.image
        assert image is not None
        work.cache_hit = features is not None
        pixels = self._pixel_source(work)
        if features is None:
            decoded = pixels()
            started = time.monotonic()
            features = self.engine.embed(decoded, kind)
            work.encode_s = time.monotonic() - started
            work.encoder_ran = True
            image.features[kind] = features
            if self.kept is not None and work.digest:
                self.kept.write(
                    work.digest, KeptPicture(kind, features, image.size, image.warnings)
                )
        if work.digest:
            self.cache.put(work.digest, image)
        if work.encoder_ran:
            yield
        return (yield from self.engine.segment(features, pixels, job))

    def features(self, work: Work, task: Task) -> Features | None:
        """Return what is held of a prepared request's image for a task."""
        # Another request may have brought the same image while this one waited.
        image = work.image = self.cache.get(work.digest) or work.image
        assert image is not None
        return image.features.get(self.engine.features_kind(task))

    def batch_item(self, work: Work, wanted: Callable[[], bool]) -> BatchItem:
        """Make an item of a batch of a prepared request whose features are held."""
        job = self.job(work)
        features = self.features(work, job.task)
        assert features is not None
        assert work.image is not None
        work.cache_hit = True
        self.cache.put(work.digest, work.image)
        return BatchItem(features, self._pixel_source(work), job, wanted)

    def decodes_here(self, work: Work) -> bool:
        """Whether nothing has to be decoded before the model can work on a request, or so little
        that any thread may do it."""
        image = self.cache.get(work.digest)
        if image is None:
            return is_small(work.encoded)
        task = read_task(work.request.task)
        assert task is not None
        return self.engine.features_kind(task) in image.features or is_small(image.encoded)

    def decode(self, encoded: bytes, check: Callable[[], None], note: Note = ignore) -> Pixels:
        """Decode an image; ``check`` raises once the pixels are not wanted any more, and ``note``
        is that of ``images.decode``.

        Raises:
            ServiceError: see ``images.decode``.
        """
        if self.decoder is None or is_small(encoded):
            return decode(encoded, **self._limits(), note=note)
        return self.decoder.decode(encoded, self._limits(), check, note)

    def _limits(self) -> Limits:
        return Limits(
            max_pixels=self.settings.max_image_px,
            min_side=self.settings.min_side_px,
            max_aspect_ratio=self.settings.max_aspect_ratio,
        )

    def _pixel_source(self, work: Work) -> Callable[[], Pixels]:
        def pixels() -> Pixels:
            if work.pixels is None:
                assert work.image is not None
                started = time.monotonic()
                work.pixels = self.decode(work.image.encoded, work.check_alive)
                spent = time.monotonic() - started
                work.decode_s += spent
                work.model_s -= spent  # it is decoding although the model waits for it
            return work.pixels

        return pixels

    def job(self, work: Work) -> Job:
        """Make the engine's job of a prepared request, with every default filled in."""
        request, loaded = work.request, self.loaded
        task = read_task(request.task)
        assert task is not None
        output = read_output(request.output)
        default_score = 0.0 if task is Task.PROMPTED_SEGMENTATION else loaded.default_min_score
        output = replace(
            output,
            min_score=default_score if output.min_score is None else output.min_score,
            max_segments=output.max_segments or loaded.default_max_segments,
        )
        automatic: AutomaticOptions | None = None
        if loaded.default_automatic is not None:
            automatic = read_automatic(request.automatic, loaded.default_automatic)
        return Job(task, work.prompts, output, automatic)
