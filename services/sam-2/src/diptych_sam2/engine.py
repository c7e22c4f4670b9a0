"""SAM 2 behind the engine protocol: still images and video."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np

from diptych import OutputOptions, Point, Prompt, Segment, Task
from diptych_runtime.engine import (
    Answer,
    BatchItem,
    BatchSteps,
    Fact,
    Features,
    Job,
    LoadedModel,
    Pixels,
    Reason,
    ServiceError,
    Steps,
    VideoOptions,
)
from diptych_runtime.settings import from_environment
from diptych_torch.card import with_facts
from diptych_torch.device import Compute, ComputeFields
from diptych_torch.faults import guarded_step, guarded_steps, load_errors

from .automatic import Candidate, Options, find_everything
from .card import StaticCard, read_card
from .network.build import build_model
from .network.image import ImageFeatures, Network
from .network.parts import assemble
from .network.video import VideoNetwork
from .packing import pack, unpack
from .prompts import DEFAULT_MAX_SEGMENTS, answer_batch, answer_prompts, batch_key
from .settings import EngineSettings, NetworkChoice
from .video.session import Sam2VideoSession
from .weights.checkpoints import WEIGHTS, Chosen, choose, size_fact

_IMAGE_TASKS = (Task.INSTANCE_SEGMENTATION, Task.OBJECT_DETECTION, Task.PROMPTED_SEGMENTATION)
_TASKS = (*_IMAGE_TASKS, Task.VIDEO_SEGMENTATION)
_KIND = "image"
_FEATURE_FRAMES = 2
_MIN_SCORE = 0.0


@load_errors()
def create() -> Sam2Engine:
    """Make an engine with the settings of the environment, not loaded yet.

    Raises:
        LoadError: a variable has a value that cannot be used.
    """
    return Sam2Engine(from_environment(EngineSettings))


class Sam2Engine:
    """Implements ``VideoEngine``, ``BatchingEngine`` and ``KeepingEngine`` of ``diptych_runtime``.

    Holds no image: features travel outside, sessions have memory of their own.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._network: Network | None = None
        self._video_network: VideoNetwork | None = None
        self._card: StaticCard | None = None

    @load_errors()
    def load(self) -> LoadedModel:
        """Build the network, put it on the device and run each part of it once.

        Raises:
            LoadError: settings, weights or a configuration that cannot be used.
        """
        compute = Compute.from_settings(self._settings)
        chosen = choose(self._settings)
        card = self._card = read_card(chosen.weights.section)
        checkpoint = chosen.weights.read()
        model = build_model(chosen.config, checkpoint.state, chosen.image_size)
        parts = assemble(model, compute.device, compute.tier, self._settings.sam_2_network)
        self._network = Network(parts)
        self._video_network = VideoNetwork(parts)
        self._warm_up()
        facts = _facts(chosen, self._network.image_size, checkpoint.left_out)
        return LoadedModel(
            **_card_fields(compute, self._settings.sam_2_network),
            card=with_facts(card.fields, facts),
            tasks=_TASKS,
            weights=(chosen.weights.loaded,),
            parameter_count=parts.parameter_count,
            default_min_score=_MIN_SCORE,
            default_max_segments=DEFAULT_MAX_SEGMENTS,
            variants=WEIGHTS.variants(chosen.weights),
            default_automatic=card.automatic,
            logits_size=self._network.logits_size,
            facts=facts,
        )

    def features_kind(self, task: Task) -> str:
        """Return the one kind there is: one encoder serves every task on images."""
        if task not in _IMAGE_TASKS:
            raise _unsupported(task)
        return _KIND

    @guarded_step
    def embed(self, pixels: Pixels, kind: str) -> Features:
        """Run the image encoder on one image, ``(height, width, 3)`` uint8 RGB."""
        features = self._loaded_network().encode(pixels)
        return Features(features, features.nbytes)

    def pack(self, features: Features) -> tuple[str, Sequence[memoryview]]:
        """Turn features into bytes, as ``KeepingEngine`` says."""
        assert isinstance(features.payload, ImageFeatures)
        return pack(features.payload)

    def unpack(self, kind: str, note: str, blocks: Sequence[memoryview]) -> Features:
        """Make features of bytes again; there is one kind.

        Raises:
            ValueError: another release packed them in another way.
        """
        features = unpack(note, blocks, self._loaded_network())
        return Features(features, features.nbytes)

    @guarded_steps
    def segment(self, features: Features, pixels: Callable[[], Pixels], job: Job) -> Steps[Answer]:
        """Answer one job; steps are batches of points, groups of masks, and crops."""
        if job.task not in _IMAGE_TASKS:
            raise _unsupported(job.task)
        assert isinstance(features.payload, ImageFeatures)
        if job.task is Task.PROMPTED_SEGMENTATION:
            return (
                yield from answer_prompts(
                    self._loaded_network(), features.payload, job.prompts, job.output
                )
            )
        return (yield from self._automatic(features.payload, pixels, job))

    def batch_key(self, features: Features, job: Job) -> Hashable | None:
        """Let prompts of one shape share a decoder batch, also those on different images."""
        if job.task is not Task.PROMPTED_SEGMENTATION:
            return None
        return batch_key(job.prompts, job.output)

    @guarded_steps
    def segment_batch(self, items: Sequence[BatchItem]) -> BatchSteps:
        """Answer prompts on several images; steps as in ``segment``."""
        yield from answer_batch(self._loaded_network(), items)

    def open_session(self, options: VideoOptions) -> Sam2VideoSession:
        """Open a session with memory of its own; the network is shared by all."""
        if self._video_network is None:
            raise RuntimeError("load() was not called")
        return Sam2VideoSession(
            self._video_network,
            options,
            max_conditioning_frames=self._settings.sam_2_conditioning_frames,
            feature_frames=_FEATURE_FRAMES,
        )

    def _automatic(
        self, features: ImageFeatures, pixels: Callable[[], Pixels], job: Job
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


def _facts(chosen: Chosen, image_size: int, left_out: Sequence[str]) -> tuple[Fact, ...]:
    return (
        *chosen.facts,
        size_fact(chosen, image_size),
        *((Fact("left out", ", ".join(left_out), "known"),) if left_out else ()),
    )


def _card_fields(compute: Compute, network: NetworkChoice) -> ComputeFields:
    """What the card says of device and software; a network that is not the default is named."""
    fields = compute.card_fields("sam2")
    if network != "quick":
        fields["software"] += f", {network} network"
    return fields


def _unsupported(task: Task) -> ServiceError:
    return ServiceError(
        Reason.TASK_UNSUPPORTED,
        f"task: sam-2 does not do {task.value} on a picture",
        metadata={"modelId": "sam-2", "task": task.value},
    )


def _answer(found: Sequence[Candidate], job: Job) -> Answer:
    """Candidates, best first, cut to what the job wants."""
    floor = _MIN_SCORE if job.output.min_score is None else job.output.min_score
    limit = DEFAULT_MAX_SEGMENTS if job.output.max_segments is None else job.output.max_segments
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
