"""What programs do with the client of before, in a process that has that client.

    PYTHONPATH=FOLDER_OF_THAT_CLIENT python client_of_before.py GATEWAY PICTURE

It uses what was public then, and ends with 0 if all of it works.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import diptych
from diptych import AsyncClient, Client, ModelOutcome, OutputOptions, Prompt, Task

MODELS = ("mask-rcnn", "sam-2")


def still(client: Client, picture: Path) -> None:
    """Ask about pictures: one, many, by digest, of several models."""
    for model in MODELS:
        assert client.model_card(model).id == model
        found = client.segment(picture, model=model)
        assert found.segments[0].mask.to_array().shape == found.image_size
        assert found.provenance[0].weights_sha256
    pixels = np.asarray(Image.open(picture).convert("RGB").resize((640, 480)))
    logits = OutputOptions(low_res_logits=True)
    first = client.segment(pixels, model="sam-2", points=[(300, 200)], output=logits)
    refined = Prompt(box=first.segments[0].box, mask=first.segments[0].low_res_logits)
    second = client.segment(pixels, model="sam-2", prompts=[refined])
    assert second.provenance[0].image_cache_hit
    both = client.compare(picture, task=Task.INSTANCE_SEGMENTATION)
    assert [outcome.error for outcome in both.results] == [None, None]
    assert both.agreements[0].matches
    events = list(client.stream_compare(picture, boxes=[(20, 20, 120, 120)]))
    assert sum(isinstance(event, ModelOutcome) for event in events) == len(MODELS)
    many = [picture, b"no picture", picture]
    errors = [item.error for item in client.segment_many(many, model="mask-rcnn")]
    assert [error is None for error in errors] == [True, False, True]
    assert client.model_stats("sam-2").encoder_run_count


def refused(client: Client, picture: Path) -> None:
    """Meet refusals as the exceptions that they were."""
    cases: list[tuple[type[diptych.DiptychError], str, dict[str, Any]]] = [
        (diptych.InvalidRequestError, "PROMPT_INVALID", {"model": "sam-2", "points": [(9e3, 9)]}),
        (diptych.ModelNotFoundError, "MODEL_UNKNOWN", {"model": "sam-3"}),
        (
            diptych.UnsupportedTaskError,
            "TASK_UNSUPPORTED",
            {"model": "sam-2", "task": Task.KEYPOINT_DETECTION},
        ),
    ]
    for kind, reason, ask in cases:
        (item,) = client.segment_many([picture], **ask)
        assert isinstance(item.error, kind)
        assert (item.error.reason, bool(item.error.request_id)) == (reason, True)


def video(client: Client, picture: Path) -> None:
    """Follow an object through frames."""
    box = client.segment(picture, model="mask-rcnn").segments[0].box
    frames = [np.roll(np.asarray(Image.open(picture).convert("RGB")), n, axis=1) for n in range(4)]
    for model in MODELS:
        with client.video(model=model) as session:
            session.send(frames[0])
            session.prompt(1, box=box.xyxy)
            results = list(session.track(frames[1:]))
        assert [result.frame_index for result in results][-3:] == [1, 2, 3]
        assert results[-1].objects[0].segment.mask is not None


async def without_blocking(address: str, picture: Path) -> None:
    """Do with the other client what is left to do."""
    async with AsyncClient(address, timeout=60) as client:
        assert (await client.segment(picture, model="sam-2", points=[(70, 90)])).segments


def main() -> None:
    """Do all of it."""
    address, picture = sys.argv[1], Path(sys.argv[2])
    assert Path(diptych.__file__).is_relative_to(os.environ["PYTHONPATH"]), diptych.__file__
    with Client(address, timeout=60) as client:
        assert client.health() is diptych.ServingStatus.SERVING
        assert {known.model_id for known in client.model_cards()} == set(MODELS)
        still(client, picture)
        refused(client, picture)
        video(client, picture)
    asyncio.run(without_blocking(address, picture))
    ask = ["segment", str(picture), "--model", "mask-rcnn", "--json", "--address", address]
    done = subprocess.run(
        [sys.executable, "-m", "diptych.cli", *ask], check=True, capture_output=True
    )
    assert json.loads(done.stdout)["segments"]


if __name__ == "__main__":
    main()
