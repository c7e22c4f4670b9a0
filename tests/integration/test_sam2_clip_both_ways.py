"""A clip that is followed to both ends: the masks of stock's ``propagate_in_video``, both ways."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sam2_video_stock import Clip, Stock, stock_of
from serving_helpers import running_service

from diptych import AsyncClient, Mask, Prompt, VideoFrameResult, VideoPrompt
from diptych_sam2.settings import EngineSettings
from diptych_sam2.weights.checkpoints import choose

SCENES = Path(__file__).parents[2] / "demo-weights"
SIZE, COUNT, SHOWN = (192, 320), 40, 20


def make_clip(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Clip:
    monkeypatch.syspath_prepend(str(SCENES))
    scenes = importlib.import_module("scenes")
    frames, labels = [], []
    for number, (picture, label) in enumerate(scenes.clip(7, COUNT, speed=5)):
        image = Image.fromarray(picture).resize(SIZE[::-1], Image.Resampling.BILINEAR)
        # Stock takes .jpg only; Pillow looks at the content, and PNG is exact.
        image.save(folder / f"{number:05d}.jpg", format="PNG")
        frames.append(np.asarray(image))
        values = Image.fromarray(label).resize(SIZE[::-1], Image.Resampling.NEAREST)
        labels.append(np.asarray(values))
    return Clip(frames, labels, folder)


def by_stock(clip: Clip, prompts: dict[int, Prompt]) -> dict[int, dict[int, Mask]]:
    """Stock's masks of both ways, each from the prompts alone: after the way forward, the same
    state would have its frames among the memory of the way back."""
    chosen = choose(EngineSettings())
    torch.set_num_threads(1)
    predictor = stock_of(chosen.config, chosen.weights.read_state())
    found: dict[int, dict[int, Mask]] = {}
    for reverse in (False, True):
        stock = Stock(predictor, clip)
        for object_id, prompt in prompts.items():
            stock.prompt(object_id, SHOWN, prompt)
        for shown in predictor.propagate_in_video(stock.state, reverse=reverse):
            stock._keep(*shown)
        for frame, masks in stock.masks.items():
            found[frame] = {number: Mask.from_array(mask) for number, mask in masks.items()}
    return found


async def test_both_ends_of_a_clip_are_those_of_stock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIPTYCH_THREADS", "1")
    monkeypatch.setenv("DIPTYCH_DEVICE", "cpu")
    clip = make_clip(tmp_path, monkeypatch)
    shown = [value for value in np.unique(clip.labels[SHOWN]) if value][:2]
    prompts = {int(value): Prompt(box=clip.box(SHOWN, value)) for value in shown}
    asked = [VideoPrompt(object_id, SHOWN, prompt) for object_id, prompt in prompts.items()]
    files = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    async with (
        running_service("diptych_sam2.engine:create") as service,
        AsyncClient(f"127.0.0.1:{service.port}", timeout=120) as client,
    ):
        found = [event async for event in client.track_clip(files, prompts=asked)]
    assert [event.frame_index for event in found] == list(range(COUNT))
    expected = by_stock(clip, prompts)
    ious = []
    for event in found:
        assert isinstance(event, VideoFrameResult)
        assert [each.object_id for each in event.objects] == sorted(prompts)
        for each in event.objects:
            wanted, mask = expected[event.frame_index][each.object_id], each.segment.mask
            if mask is not None and (wanted.area or mask.area):
                ious.append(wanted.iou(mask))
            else:
                assert wanted.area == 0
    print(f"least IoU {min(ious):.6f} of {len(ious)}")
    assert len(ious) > COUNT
    assert min(ious) >= 0.999
