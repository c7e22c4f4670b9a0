"""SAM 2 behind the engine protocol: still pictures and video."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from importlib import metadata

import numpy as np
import torch

from diptych import OutputOptions, Point, Prompt, Segment, Task
from diptych_runtime.engine import (
    Answer,
    BatchItem,
    BatchSteps,
    Features,
    Job,
    LoadedModel,
    LoadError,
    Pixels,
    Reason,
    ServiceError,
    Steps,
    Tier,
    Variant,
    VideoOptions,
    choose_tier,
)
from diptych_runtime.settings import SettingsError, from_environment
from diptych_runtime.weights import WeightsError

from .automatic import Candidate, Options, find_everything
from .card import StaticCard, read_card
from .faults import device_guard
from .network.build import build_model
from .network.image import Network, PictureFeatures
from .network.parts import Parts, assemble
from .network.video import VideoNetwork
from .prompts import Question, answer_prompts, answer_questions, batch_key
from .settings import EngineSettings
from .video.session import Sam2VideoSession
from .weights.checkpoints import Chosen, choose, read_state
from .weights.official import OFFICIAL

_PICTURE_TASKS = (Task.INSTANCE_SEGMENTATION, Task.OBJECT_DETECTION, Task.PROMPTED_SEGMENTATION)
_TASKS = (*_PICTURE_TASKS, Task.VIDEO_SEGMENTATION)
_KIND = "picture"
_FEATURE_FRAMES = 2
_MIN_SCORE = 0.0
_MAX_SEGMENTS = 1000


def create() -> Sam2Engine:
    """An engine with the settings of the environment, not loaded yet.

    Raises:
        LoadError: a variable has a value that cannot be used.
    """
    try:
        return Sam2Engine(from_environment(EngineSettings))
    except SettingsError as error:
        raise LoadError(str(error)) from error


class Sam2Engine:
    """Implements ``VideoEngine`` and ``BatchingEngine`` of ``diptych_runtime``.

    Holds no picture: features travel outside, sessions have memory of their own.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._network: Network | None = None
        self._video_network: VideoNetwork | None = None
        self._card: StaticCard | None = None

    def load(self) -> LoadedModel:
        """Build the network, put it on the device and run each part of it once.

        Raises:
            LoadError: settings, weights or a configuration that cannot be used.
        """
        if self._settings.threads is not None:
            torch.set_num_threads(self._settings.threads)
        device = _device(self._settings.device)
        # Convolutions on a GPU round to TF32 unless told otherwise; what is float32 stays exact.
        torch.backends.cudnn.allow_tf32 = False
        try:
            chosen = choose(self._settings)
            state = read_state(chosen)
        except WeightsError as error:
            raise LoadError(str(error)) from error
        self._card = read_card(chosen.card)
        model = build_model(chosen.config, state)
        tier = choose_tier(self._settings.tier, _capability(device))
        parts = assemble(model, device, tier)
        self._network = Network(parts)
        self._video_network = VideoNetwork(parts)
        self._warm_up()
        return _loaded(parts, tier, self._card, chosen)

    def features_kind(self, task: Task) -> str:
        """One encoder serves every task."""
        if task not in _PICTURE_TASKS:
            raise _unsupported(task)
        return _KIND

    def embed(self, pixels: Pixels, kind: str) -> Features:
        """Run the image encoder on one picture."""
        with device_guard():
            features = self._loaded_network().encode(pixels)
        return Features(features, features.nbytes)

    def segment(self, features: Features, pixels: Callable[[], Pixels], job: Job) -> Steps[Answer]:
        """Answer one job; steps are batches of points, groups of masks, and crops."""
        if job.task not in _PICTURE_TASKS:
            raise _unsupported(job.task)
        assert isinstance(features.payload, PictureFeatures)
        with device_guard():
            if job.task is Task.PROMPTED_SEGMENTATION:
                segments = yield from answer_prompts(
                    self._loaded_network(), features.payload, job.prompts, job.output
                )
                return Answer(segments)
            return (yield from self._automatic(features.payload, pixels, job))

    def batch_key(self, features: Features, job: Job) -> Hashable | None:
        """Prompts of one form share a call of the decoder, also those on different pictures."""
        if job.task is not Task.PROMPTED_SEGMENTATION:
            return None
        return batch_key(job.prompts, job.output)

    def segment_batch(self, items: Sequence[BatchItem]) -> BatchSteps:
        """Answer prompts on several pictures; steps as in ``segment``."""
        questions = [_question(item) for item in items]
        with device_guard():
            for told in answer_questions(self._loaded_network(), questions):
                yield None if told is None else (told[0], Answer(told[1]))

    def open_session(self, options: VideoOptions) -> Sam2VideoSession:
        """A session of its own memory; the network is shared by all."""
        if self._video_network is None:
            raise RuntimeError("load() was not called")
        return Sam2VideoSession(
            self._video_network,
            options,
            max_conditioning_frames=self._settings.sam_2_conditioning_frames,
            feature_frames=_FEATURE_FRAMES,
        )

    def _automatic(
        self, features: PictureFeatures, pixels: Callable[[], Pixels], job: Job
    ) -> Steps[Answer]:
        assert self._card is not None
        found = yield from find_everything(
            self._loaded_network(),
            features,
            pixels,
            Options.filled(job.automatic, self._card.automatic),
            with_logits=job.output.low_res_logits,
        )
        return _answer(found, job)

    def _loaded_network(self) -> Network:
        if self._network is None:
            raise RuntimeError("load() was not called")
        return self._network

    def _warm_up(self) -> None:
        """First calls allocate and choose kernels, which would fall on the first request."""
        side = self._loaded_network().image_size
        features = self._loaded_network().encode(np.zeros((side, side, 3), np.uint8))
        prompts = (Prompt(points=(Point(side / 2, side / 2),)),)
        for _ in answer_prompts(self._loaded_network(), features, prompts, OutputOptions()):
            pass
        options = VideoOptions(OutputOptions(), track_all=False, max_objects=1, held_frames=1)
        session = self.open_session(options)
        frame = np.zeros((side, side, 3), np.uint8)
        # The second frame is the first that is found by memory.
        for steps in (
            session.add_frame(0, frame),
            session.prompt(0, 0, prompts[0]),
            session.add_frame(1, frame),
        ):
            for _ in steps:
                pass
        session.close()


def _question(item: BatchItem) -> Question:
    features, job = item.features.payload, item.job
    assert isinstance(features, PictureFeatures)
    return Question(features, job.prompts, job.output, item.wanted)


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if wanted != "cpu" and not torch.cuda.is_available():
        raise LoadError(
            f"DIPTYCH_DEVICE={wanted!r}: this process sees no CUDA device; use auto or cpu"
        )
    return torch.device(wanted)


def _peak_bytes(device: torch.device) -> int:
    """The most memory of a GPU that this process has taken; 0 for the processor."""
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else 0


def _capability(device: torch.device) -> tuple[int, int] | None:
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else None


def _loaded(parts: Parts, tier: Tier, card: StaticCard, chosen: Chosen) -> LoadedModel:
    device = str(parts.device)
    if parts.device.type == "cuda":
        device = f"{device} {torch.cuda.get_device_name(parts.device)}"
    side = parts.model.image_size // 4
    return LoadedModel(
        card=card.fields,
        tasks=_TASKS,
        weights=(chosen.weights,),
        parameter_count=parts.parameter_count,
        device=device,
        dtype=str(parts.dtype).removeprefix("torch."),
        tier=tier,
        software=f"torch {torch.__version__}, sam2 {metadata.version('sam2')}",
        default_min_score=_MIN_SCORE,
        default_max_segments=_MAX_SEGMENTS,
        variants=tuple(Variant(w.name, w.parameter_count, w.size_bytes) for w in OFFICIAL),
        default_automatic=card.automatic,
        logits_size=(side, side),
        peak_device_bytes=partial(_peak_bytes, parts.device),
    )


def _unsupported(task: Task) -> ServiceError:
    return ServiceError(
        Reason.TASK_UNSUPPORTED,
        f"task: sam-2 does not do {task.value} on a picture",
        metadata={"modelId": "sam-2", "task": task.value},
    )


def _answer(found: Sequence[Candidate], job: Job) -> Answer:
    """Candidates, best first, cut to what the job wants."""
    floor = _MIN_SCORE if job.output.min_score is None else job.output.min_score
    limit = _MAX_SEGMENTS if job.output.max_segments is None else job.output.max_segments
    with_masks = job.task is Task.INSTANCE_SEGMENTATION
    wanted = [
        candidate
        for candidate in found
        if candidate.score >= floor and (with_masks or candidate.shape.box is not None)
    ]
    segments = tuple(
        Segment(
            score=candidate.score,
            box=candidate.shape.box,
            mask=candidate.shape.mask if with_masks else None,
            area=candidate.shape.area,
            stability_score=candidate.stability,
            low_res_logits=candidate.logits,
        )
        for candidate in wanted[:limit]
    )
    return Answer(segments, omitted=len(wanted) - len(segments))
