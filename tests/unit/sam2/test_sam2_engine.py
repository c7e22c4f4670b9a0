"""The engine protocol: features without shared state, tasks, devices, faults."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sam2.utils.transforms import SAM2Transforms
from sam2_video_helpers import OPTIONS

from diptych import AutomaticOptions, Box, OutputOptions, Point, Prompt, Task
from diptych_runtime.engine import Job, LoadError, Reason, ServiceError
from diptych_sam2.engine import Sam2Engine, create
from diptych_sam2.masks import Upsampler
from diptych_sam2.network.image import normalised_square
from diptych_sam2.settings import EngineSettings

EVERYTHING = Job(
    Task.INSTANCE_SEGMENTATION, (), OutputOptions(), AutomaticOptions(points_per_side=6)
)


def giving(pixels: Any) -> Callable[[], Any]:
    return lambda: pixels


def prompt_job(*prompts: Prompt) -> Job:
    return Job(Task.PROMPTED_SEGMENTATION, prompts, OutputOptions(), None)


@pytest.mark.parametrize("side", [256, 1024])
def test_preprocessing_is_stock_bit_for_bit(side: int, wide: Any, photo: Any, scene: Any) -> None:
    stock = SAM2Transforms(side, mask_threshold=0.0)
    for pixels in (wide, photo, scene(0), photo[:1], photo[:, :1], photo[::-1]):
        expected = stock(np.ascontiguousarray(pixels))[None]
        assert torch.equal(normalised_square(pixels, side), expected)


def test_interleaved_work_on_two_pictures_answers_as_each_alone(
    engine: Sam2Engine, scene: Any, wide: Any, finish: Any
) -> None:
    pictures = [scene(0), wide, scene(5)]
    jobs = [prompt_job(*(Prompt(points=(Point(x, 80),)) for x in range(10, 150, 9))), EVERYTHING]
    alone = [
        finish(engine.segment(engine.embed(pixels, "image"), giving(pixels), job))[0]
        for pixels in pictures
        for job in jobs
    ]
    held = [engine.embed(pixels, "image") for pixels in pictures]
    running = [
        engine.segment(features, giving(pixels), job)
        for features, pixels in zip(held, pictures, strict=True)
        for job in jobs
    ]
    results: dict[int, Any] = {}
    order = random.Random(3)
    while len(results) < len(running):
        index = order.choice([i for i in range(len(running)) if i not in results])
        try:
            next(running[index])
        except StopIteration as end:
            results[index] = end.value
    assert [results[index] for index in range(len(running))] == alone


def test_a_mode_of_torch_does_not_leak_between_steps(engine: Sam2Engine, scene: Any) -> None:
    steps = engine.segment(engine.embed(scene(0), "image"), lambda: scene(0), EVERYTHING)
    next(steps)
    assert not torch.is_inference_mode_enabled()
    steps.close()


def test_features_count_all_memory_they_keep(engine: Sam2Engine, scene: Any) -> None:
    features = engine.embed(scene(0), "image")
    # 128 channels at 16x16 and three projections to half of them, 16 at 64x64 and 32 at 32x32,
    # float32.
    assert features.nbytes == 4 * ((128 + 3 * 64) * 16**2 + 16 * 64**2 + 32 * 32**2)


def test_what_is_loaded_is_described(engine: Sam2Engine) -> None:
    loaded = Sam2Engine(EngineSettings(device="cpu", threads=1)).load()
    assert loaded.tasks == (
        Task.INSTANCE_SEGMENTATION,
        Task.OBJECT_DETECTION,
        Task.PROMPTED_SEGMENTATION,
        Task.VIDEO_SEGMENTATION,
    )
    assert (loaded.device, loaded.dtype, loaded.tier) == ("cpu", "float32", "exact")
    assert loaded.logits_size == (64, 64)
    assert (loaded.default_min_score, loaded.default_max_segments) == (0.0, 1000)
    assert loaded.software.startswith("torch 2.")
    assert "sam2 1.1.0" in loaded.software
    assert loaded.parameter_count > 3_000_000
    assert loaded.variants[0].name == "sam2.1-hiera-tiny"
    assert len(loaded.variants) == 8
    (weights,) = loaded.weights
    assert (weights.name, weights.url, len(weights.sha256)) == ("demo", "", 32)
    assert loaded.default_automatic is not None
    assert None not in vars(loaded.default_automatic).values()


def test_other_tasks_are_refused(engine: Sam2Engine, scene: Any) -> None:
    with pytest.raises(ServiceError) as caught:
        engine.features_kind(Task.KEYPOINT_DETECTION)
    assert caught.value.reason is Reason.TASK_UNSUPPORTED
    features = engine.embed(scene(0), "image")
    job = Job(Task.KEYPOINT_DETECTION, (), OutputOptions(), None)
    with pytest.raises(ServiceError):
        next(engine.segment(features, lambda: scene(0), job))


def test_nothing_warns(scene: Any, finish: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine = Sam2Engine(EngineSettings(device="cpu", threads=1))
        engine.load()
        pixels = scene(0)
        pixels.flags.writeable = False
        features = engine.embed(pixels, "image")
        finish(engine.segment(features, lambda: pixels, prompt_job(Prompt(box=Box(9, 9, 99, 99)))))
        finish(engine.segment(features, lambda: pixels, EVERYTHING))


def test_memory_that_runs_out_between_steps_fails_the_request_only(
    engine: Sam2Engine, scene: Any, finish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = engine.embed(scene(0), "image")
    job = prompt_job(Prompt(points=(Point(99, 99),)))
    expected, _ = finish(engine.segment(features, lambda: scene(0), job))

    def exhausted(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    network = engine._network
    with monkeypatch.context() as patch:
        patch.setattr(network, "decode", lambda *_, **__: exhausted())
        with pytest.raises(ServiceError) as caught:
            finish(engine.segment(features, lambda: scene(0), job))
        assert caught.value.reason is Reason.DEVICE_MEMORY
    assert finish(engine.segment(features, lambda: scene(0), job))[0] == expected


@pytest.mark.parametrize("size", [(300, 451), (64, 64), (17, 900), (1200, 700), (5, 3)])
@pytest.mark.parametrize("level", [-20.0, -3.0, 0.0, 20.0])
def test_windows_hold_what_interpolation_gives(size: tuple[int, int], level: float) -> None:
    generator = torch.Generator().manual_seed(5)
    coarse = torch.randn(1, 1, 7, 7, generator=generator) * 4 + level
    low = torch.nn.functional.interpolate(coarse, (64, 64), mode="bicubic")
    full = torch.nn.functional.interpolate(low, size, mode="bilinear")[0, 0]
    window = Upsampler((64, 64), size, torch.device("cpu")).window(low[0, 0], 1.0)
    expected = torch.zeros(size, dtype=torch.bool)
    (left, top), (rows, columns) = window.corner, window.binary.shape
    expected[top : top + rows, left : left + columns] = window.binary
    # A pixel whose logit is 0 but for rounding may fall on either side.
    assert ((expected != (full > 0)) & (full.abs() > 1e-5)).sum() == 0
    assert window.inner == pytest.approx(int((full > 1).sum()), abs=2)
    assert window.outer == pytest.approx(int((full > -1).sum()), abs=2)
    if level == -20.0:
        assert window.binary.numel() == window.outer == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("DIPTYCH_SAM_2_CONDITIONING_FRAMES", "1"), ("DIPTYCH_SAM_2_NETWORK", "slow")],
)
def test_a_setting_of_this_engine_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(LoadError, match=f"{name}='{value}'"):
        create()


def test_the_environment_sets_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPTYCH_THREADS", "")
    monkeypatch.setenv("DIPTYCH_DEVICE", "cpu")
    monkeypatch.setenv("DIPTYCH_SAM_2_CONDITIONING_FRAMES", "2")
    engine = create()
    assert engine.load().weights[0].name == "demo"
    session = engine.open_session(OPTIONS)
    assert session._window.conditioning_frames == 2
