"""``diptych-mask-rcnn check`` and ``diptych-sam-2 check``: what a file is, and why it is none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from own_rcnn import CLASSES, TOLD, masks, resnet

from diptych_maskrcnn import __main__ as mask_rcnn
from diptych_maskrcnn.weights.load import BUNDLED
from diptych_sam2 import __main__ as sam_2
from diptych_sam2.settings import EngineSettings
from diptych_sam2.weights.checkpoints import choose

Check = Callable[..., tuple[int, str, str]]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    monkeypatch.setenv("DIPTYCH_DEVICE", "cpu")

    def run(main: Callable[[], None], *arguments: str) -> tuple[int, str, str]:
        for name in ("MASK_RCNN_WEIGHTS", "SAM_2_WEIGHTS", "KEYPOINT_WEIGHTS"):
            monkeypatch.setenv(f"DIPTYCH_{name}", "")  # so that what is set is set back
            monkeypatch.delenv(f"DIPTYCH_{name}")
        monkeypatch.setattr(sys, "argv", ["diptych", "check", *arguments])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "tuned.pth"
    torch.manual_seed(0)
    torch.save(masks(resnet("resnet18")).state_dict(), path)
    path.with_suffix(".classes.txt").write_text("\n".join(CLASSES))
    return path


def test_a_file_is_described_and_answers(check: Check, own: Path) -> None:
    own.with_suffix(".model.toml").write_text(TOLD)
    code, out, err = check(mask_rcnn.main, str(own))
    assert (code, err) == (0, "")
    lines = {line.strip().partition("  ")[0]: line for line in out.splitlines()}
    assert out.startswith("Mask R-CNN (own weights)\n")
    assert lines["classes"].endswith("1 cat, 2 dog")
    assert lines["network"].endswith("resnet18, frozen batch norms, 5 levels of 256 channels")
    assert lines["min_size"].endswith(" 96 (told)")
    assert lines["batch_norm_eps"].endswith(" 1e-05")
    assert lines["anchor_sizes"].endswith("(ASSUMED; say it in tuned.model.toml)")
    assert "segments: 12" in lines["answer"]


def test_what_is_wrong_is_one_line_and_the_exit_status(check: Check, own: Path) -> None:
    own.with_suffix(".model.toml").write_text("minsize = 3")
    code, out, err = check(mask_rcnn.main, str(own))
    assert (code, out) == (2, "")
    assert err.startswith(
        "diptych-mask-rcnn: tuned.model.toml: minsize is no key; did you mean min"
    )
    own.with_suffix(".model.toml").unlink()
    code, _, err = check(sam_2.main, str(own))
    assert code == 2
    expected = "no weights of SAM 2 as the sam2 package names them: sam_mask_decoder.mask_tokens"
    assert expected in err


def test_a_keypoint_file_has_a_switch_of_its_own(check: Check) -> None:
    path = str(BUNDLED / "keypoint-demo.safetensors")
    code, _, err = check(mask_rcnn.main, path)
    assert code == 2
    assert "these weights have no mask head; Mask R-CNN weights are needed" in err
    code, out, _ = check(mask_rcnn.main, "--keypoints", path)
    assert code == 0
    assert "keypoint-detection, segments: " in out


def test_sam_2_has_it_too(check: Check, tmp_path: Path) -> None:
    chosen = choose(EngineSettings())
    path = tmp_path / "tuned.safetensors"
    path.write_bytes(chosen.weights.path.read_bytes())
    path.with_suffix(".model.toml").write_text(f'config = "{chosen.config}"')
    code, out, _ = check(sam_2.main, str(path))
    assert code == 0
    assert "configuration    demo.yaml (told)" in out
    assert "prompted-segmentation, segments: 1" in out
