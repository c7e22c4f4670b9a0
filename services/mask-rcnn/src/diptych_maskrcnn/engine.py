"""Mask R-CNN, and Keypoint R-CNN beside it, as an engine of the runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from diptych import OutputOptions, Task
from diptych_runtime.engine import (
    Answer,
    Features,
    Job,
    LoadedModel,
    Pixels,
    Reason,
    ServiceError,
    Steps,
    VideoEngine,
    VideoOptions,
)
from diptych_runtime.settings import from_environment
from diptych_torch.card import read_card, with_facts
from diptych_torch.device import Compute
from diptych_torch.faults import load_errors
from diptych_torch.weights import parameter_count

from .keypoints import answer_keypoints
from .network.detect import detect, fill_masks
from .network.pyramid import Pyramid, embed
from .network.rewrite import rewrite
from .prompts import answer_prompts
from .segments import (
    DEFAULT_MAX_SEGMENTS,
    DEFAULT_MIN_SCORE,
    Network,
    box_segment,
    mask_segment,
    select,
)
from .settings import EngineSettings
from .video.session import MaskRcnnVideoSession
from .weights.load import MASK_WEIGHTS, load_keypoint, load_mask

MASK = "mask"
KEYPOINT = "keypoint"
_IMAGE_TASKS = {
    MASK: (Task.INSTANCE_SEGMENTATION, Task.OBJECT_DETECTION, Task.PROMPTED_SEGMENTATION),
    KEYPOINT: (Task.KEYPOINT_DETECTION,),
}
_TASKS = _IMAGE_TASKS | {MASK: (*_IMAGE_TASKS[MASK], Task.VIDEO_SEGMENTATION)}
_WARM_UP_SHAPE = (16, 320, 3)  # rescaled to a narrow strip, a tenth of a usual image's work


class MaskRcnnEngine:
    """Implements ``VideoEngine`` of ``diptych_runtime``.

    Holds nothing of a request: what belongs to an image is in its ``Features``, and a session has
    memory of its own.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._networks: dict[str, Network] = {}

    @load_errors()
    def load(self) -> LoadedModel:
        """Load and warm up the networks.

        Raises:
            LoadError: the device or the weights are not there, or the weights do not fit.
        """
        compute = Compute.from_settings(self._settings)
        mask = load_mask(self._settings.mask_rcnn_weights)
        keypoint = load_keypoint(self._settings.keypoint_choice)
        self._networks = {MASK: mask} | ({KEYPOINT: keypoint} if keypoint else {})
        described = self._describe(compute)  # rewritten networks have other parameters
        for network in self._networks.values():
            rewrite(network.module.to(compute.device), compute.tier)
        self._warm_up()
        return described

    def features_kind(self, task: Task) -> str:
        """Return which network a task needs: body points come from one of their own."""
        for kind in self._networks:
            if task in _IMAGE_TASKS[kind]:
                return kind
        raise ServiceError(Reason.TASK_UNSUPPORTED, f"task: {task.value} is not served here")

    def embed(self, pixels: Pixels, kind: str) -> Features:
        """Make the feature pyramid of the network of that kind."""
        return embed(self._networks[kind].module, pixels)

    def segment(self, features: Features, pixels: Callable[[], Pixels], job: Job) -> Steps[Answer]:
        """Answer one job; a step is the box head, a batch of masks or of people, or one mask."""
        pyramid = features.payload
        assert isinstance(pyramid, Pyramid)
        network = self._networks[self.features_kind(job.task)]
        if job.task is Task.PROMPTED_SEGMENTATION:
            return answer_prompts(network, pyramid, job)
        if job.task is Task.KEYPOINT_DETECTION:
            return answer_keypoints(network, pyramid, job, category_ids=self._keypoint_ids())
        if job.task is Task.OBJECT_DETECTION:
            return _answer_boxes(network, pyramid, job)
        return _answer_masks(network, pyramid, job)

    def open_session(self, options: VideoOptions) -> MaskRcnnVideoSession:
        """Open a session with a memory of its own; the network is shared by all."""
        return MaskRcnnVideoSession(self._networks[MASK], options)

    def _keypoint_ids(self) -> dict[int, int]:
        """Numbers of the mask network's classes by the label that the keypoint network gives them,
        0 for what only that one knows."""
        numbers = {name: label for label, name in self._networks[MASK].categories.items()}
        known = self._networks[KEYPOINT].categories
        return {label: numbers.get(name, 0) for label, name in known.items()}

    def _warm_up(self) -> None:
        """Run everything once: first calls allocate and choose algorithms."""
        noise = np.random.default_rng(0).integers(0, 256, _WARM_UP_SHAPE, dtype=np.uint8)
        output = OutputOptions(min_score=0.0, max_segments=1)
        for kind in self._networks:
            job = Job(task=_IMAGE_TASKS[kind][0], prompts=(), output=output, automatic=None)
            for _ in self.segment(self.embed(noise, kind), lambda: noise, job):
                pass
        options = VideoOptions(output, track_all=True, max_objects=1, held_frames=1)
        session = self.open_session(options)
        for index in range(2):  # only the second one has something to link
            for _ in session.add_frame(index, noise):
                pass
        session.close()

    def _describe(self, compute: Compute) -> LoadedModel:
        mask, keypoint = self._networks[MASK], self._networks.get(KEYPOINT)
        networks = tuple(self._networks.values())
        sections = [network.weights.section for network in networks]
        of_points = keypoint.facts if keypoint else ()
        facts = (
            *mask.facts,
            *(replace(fact, name=f"keypoints: {fact.name}") for fact in of_points),
        )
        return LoadedModel(
            **compute.card_fields("torchvision"),
            card=with_facts(read_card("diptych_maskrcnn", sections), facts),
            tasks=tuple(task for kind in self._networks for task in _TASKS[kind]),
            weights=tuple(
                replace(network.weights.loaded, tasks=_TASKS[kind])
                for kind, network in self._networks.items()
            ),
            parameter_count=sum(parameter_count(network.module) for network in networks),
            default_min_score=DEFAULT_MIN_SCORE,
            default_max_segments=DEFAULT_MAX_SEGMENTS,
            categories=tuple(sorted(mask.categories.items())),
            variants=MASK_WEIGHTS.variants(mask.weights),
            keypoint_names=keypoint.keypoint_names if keypoint else (),
            keypoint_edges=keypoint.keypoint_edges if keypoint else (),
            facts=facts,
        )


@load_errors()
def create() -> VideoEngine:
    """Make an engine with the settings of the environment, not loaded yet.

    Raises:
        LoadError: a variable has a value that cannot be used.
    """
    return MaskRcnnEngine(from_environment(EngineSettings))


def _answer_boxes(network: Network, pyramid: Pyramid, job: Job) -> Steps[Answer]:
    found = detect(network.module, pyramid)
    yield
    chosen, omitted = select(found, job.output)
    segments = tuple(box_segment(network, found, index, pyramid.size) for index in chosen)
    return Answer(segments, omitted)


def _answer_masks(network: Network, pyramid: Pyramid, job: Job) -> Steps[Answer]:
    found = detect(network.module, pyramid)
    yield
    chosen, omitted = select(found, job.output)
    yield from fill_masks(network.module, pyramid, chosen)
    segments = []
    for index in chosen:
        segments.append(mask_segment(network, pyramid, found, index))
        yield
    return Answer(tuple(segments), omitted)
