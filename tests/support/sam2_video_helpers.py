"""Small video sessions, and what can be seen of them from outside."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from steps import finished

from diptych import Box, OutputOptions, Point, Prompt
from diptych_runtime.engine import FrameAnswer, Pixels, Tier, VideoOptions
from diptych_sam2.network.build import build_model
from diptych_sam2.network.parts import assemble
from diptych_sam2.network.video import VideoNetwork
from diptych_sam2.settings import EngineSettings
from diptych_sam2.video.session import Sam2VideoSession
from diptych_sam2.weights.checkpoints import choose

SIZE = (96, 128)
BOX = Prompt(box=Box(20, 20, 60, 70))
POINT = Prompt(points=(Point(40, 45),))
OPTIONS = VideoOptions(OutputOptions(), track_all=False, max_objects=3, held_frames=4)


def demo_network(tier: Tier = Tier.EXACT) -> VideoNetwork:
    """The demo weights as they are."""
    chosen = choose(EngineSettings())
    return VideoNetwork(
        assemble(build_model(chosen.config, chosen.weights.read_state()), torch.device("cpu"), tier)
    )


def small_network(tier: Tier = Tier.EXACT) -> VideoNetwork:
    """The demo weights at 64 pixels: a sixteenth of the work, and always an object in sight."""
    chosen = choose(EngineSettings())
    tree = OmegaConf.load(chosen.config)
    tree.model.image_size = 64
    state = chosen.weights.read_state()
    bias = "sam_mask_decoder.pred_obj_score_head.layers.2.bias"
    state[bias] = torch.full_like(state[bias], 20.0)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "small.yaml"
        OmegaConf.save(tree, config)
        return VideoNetwork(assemble(build_model(config, state), torch.device("cpu"), tier))


def feed(session: Sam2VideoSession, index: int) -> FrameAnswer:
    """Adds a frame of noise that depends on its index only."""
    return finished(session.add_frame(index, noise(index)))


def noise(index: int, size: tuple[int, int] = SIZE) -> Pixels:
    return np.random.default_rng(index).integers(0, 256, (*size, 3), dtype=np.uint8)


def state_of(session: Sam2VideoSession) -> tuple[Any, ...]:
    """All that a message could leave behind."""
    tracks = {
        object_id: (
            dict(track.answers),
            track.memory.pending,
            sorted(track.memory.conditioning),
            sorted(track.memory.tracked),
        )
        for object_id, track in session._tracks.items()
    }
    return (
        tracks,
        set(session._ids.removed),
        session._frames.indices,
        session._size,
        session.nbytes,
    )
