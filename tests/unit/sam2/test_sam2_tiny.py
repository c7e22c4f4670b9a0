"""The published tiny architecture with random weights: same numbers as the sam2 package, and the
whole way of a published checkpoint from a server into a loaded engine."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sam2.build_sam import build_sam2
from sam2.sam2_image_predictor import SAM2ImagePredictor
from torch import Tensor

from diptych_runtime.engine import LoadError
from diptych_runtime.weights import OfficialWeights, file_sha256, pull
from diptych_sam2.engine import Sam2Engine
from diptych_sam2.network.build import build_model
from diptych_sam2.network.image import Network, PromptBatch
from diptych_sam2.network.parts import assemble
from diptych_sam2.settings import EngineSettings
from diptych_sam2.weights.checkpoints import packaged_config
from diptych_torch.weights import CONVERTER

CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"
NAME = "sam2.1-hiera-tiny"


@pytest.fixture(scope="module")
def state() -> Mapping[str, Tensor]:
    """Random weights of the tiny architecture, always the same."""
    torch.manual_seed(20240729)
    made: Mapping[str, Tensor] = build_model(packaged_config(CONFIG)).state_dict()
    return made


@pytest.mark.slow
def test_logits_of_points_equal_those_of_stock(state: Any, photo: Any) -> None:
    network = Network(assemble(build_model(packaged_config(CONFIG), state), torch.device("cpu")))
    stock_model = build_sam2(CONFIG, device="cpu")
    stock_model.load_state_dict(state)
    predictor = SAM2ImagePredictor(stock_model)
    predictor.set_image(photo)
    features = network.encode(photo)
    assert network.logits_size == (256, 256)
    assert features.nbytes == 22 * 2**20
    # Two points and labels, and whether three masks are asked for: the single mask takes the way
    # through dynamic_multimask_via_stability, which build_sam2 turns on.
    height, width = photo.shape[:2]
    for points, labels, multimask in (
        ([[200.0, 150.0]], [1], True),
        ([[200.0, 150.0]], [1], False),
        ([[320.0, 80.0], [50.0, 220.0]], [1, 0], False),
    ):
        _, quality, logits = predictor.predict(
            np.array(points), np.array(labels), multimask_output=multimask
        )
        square = torch.tensor([points]) / torch.tensor([width, height]) * 1024
        prompts = PromptBatch(square, torch.tensor([labels], dtype=torch.int32), None)
        ours = network.decode(features, prompts, multimask=multimask)
        assert np.abs(logits).max() > 0.01
        np.testing.assert_allclose(ours.logits[0].numpy(), logits, atol=1e-3)
        np.testing.assert_allclose(ours.quality[0].numpy(), quality, atol=1e-4)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and its address on a local HTTP server."""
    folder = tmp_path / "published"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


@pytest.mark.slow
def test_a_published_checkpoint_is_pulled_converted_and_loaded(
    state: Any,
    server: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, address = server
    checkpoint = folder / "sam2.1_hiera_tiny.pt"
    torch.save({"model": state}, checkpoint)
    size = checkpoint.stat().st_size
    url = f"{address}/{checkpoint.name}"
    weights = OfficialWeights(NAME, url, size, 38_962_498, file_sha256(checkpoint))
    cache = tmp_path / "cache"
    monkeypatch.setenv("DIPTYCH_WEIGHTS_DIR", str(cache))
    path = pull(weights, converter=CONVERTER, progress=False)

    # The network runs at its full size in the test above, and a warm-up in every other engine's.
    monkeypatch.setattr(Sam2Engine, "_warm_up", lambda _: None)
    engine = Sam2Engine(EngineSettings(sam_2_weights=NAME, device="cpu", threads=1))
    loaded = engine.load()
    assert loaded.parameter_count == 38_962_498
    assert loaded.logits_size == (256, 256)
    assert loaded.default_automatic is not None
    assert loaded.default_automatic.points_per_side == 32
    (entry,) = loaded.weights
    assert (entry.name, entry.url) == (NAME, url)
    assert entry.sha256.hex() == file_sha256(path)


def test_weights_that_were_not_pulled_say_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIPTYCH_WEIGHTS_DIR", str(tmp_path))
    for name in (NAME, "sam2-hiera-large"):
        with pytest.raises(LoadError, match=f"diptych-sam-2 pull {name}$"):
            Sam2Engine(EngineSettings(sam_2_weights=name, device="cpu")).load()
