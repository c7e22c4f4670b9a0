"""A container that is set up wrongly ends with one line that says what to change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from containers import Project, run

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(1900)  # the first one may build


@pytest.fixture
def project(images: dict[str, str]) -> Project:
    return Project()


def ends(project: Project, *arguments: str) -> str:
    """The one line for a person from a container that ends by itself with status 2."""
    try:
        done = project.try_compose("run", "--rm", *arguments, timeout_s=120)
    finally:
        project.down()
    assert done.returncode == 2, done.stdout + done.stderr
    said = (done.stdout + done.stderr).strip()
    assert "Traceback" not in said
    assert '"event": "serving"' not in said
    (line,) = (line.strip() for line in said.splitlines() if line.startswith("diptych-"))
    return line


def test_weights_that_are_not_in_the_volume(project: Project) -> None:
    variable = "DIPTYCH_SAM_2_WEIGHTS=sam2.1-hiera-tiny"
    line = ends(project, "-e", variable, "sam-2-cpu")
    assert line == (
        "diptych-sam-2: the weights 'sam2.1-hiera-tiny' are not in /var/lib/diptych/weights; "
        "run: diptych-sam-2 pull sam2.1-hiera-tiny"
    )


def test_a_device_that_is_not_there(project: Project) -> None:
    line = ends(project, "-e", "DIPTYCH_DEVICE=cuda:0", "mask-rcnn-cpu")
    assert line == (
        "diptych-mask-rcnn: DIPTYCH_DEVICE='cuda:0': this process sees no CUDA device; "
        "use auto or cpu"
    )


def test_models_that_are_not_written_as_they_should(project: Project) -> None:
    line = ends(project, "-e", "DIPTYCH_MODELS=sam-2", "gateway")
    assert line.startswith("diptych-gateway: change DIPTYCH_MODELS='sam-2': write 'sam-2' as ")


def test_pull_writes_to_the_volume(project: Project) -> None:
    """As far as a machine without the publisher gets: the volume is ours, the download fails."""
    mirror = "DIPTYCH_WEIGHTS_MIRROR=http://127.0.0.1:9"
    line = ends(project, "-e", mirror, "sam-2-cpu", "pull", "sam2.1-hiera-tiny")
    assert line.startswith("diptych-sam-2: ")
    assert "http://127.0.0.1:9" in line
    assert "cannot keep weights" not in line


def test_what_a_stack_with_a_bad_setting_shows(images: dict[str, str]) -> None:
    """It is started again and again, never healthy, and its log says why."""
    project = Project(DIPTYCH_KEYPOINT_WEIGHTS="no/such.safetensors")
    try:
        project.compose("up", "-d", "mask-rcnn-cpu")
        state = project.container("mask-rcnn-cpu")
        while state["RestartCount"] < 1:
            assert state["State"].get("Health", {}).get("Status") != "healthy"
            state = project.container("mask-rcnn-cpu")
        said = run(["docker", "logs", state["Id"]]).stderr.splitlines()
    finally:
        project.down()
    lines = [line for line in said if not line.startswith("{")]
    assert all(line.startswith("diptych-mask-rcnn: ") for line in lines), lines
    assert "no/such.safetensors" in lines[0]
    assert not [
        line for line in said if line.startswith("{") and json.loads(line)["event"] == "serving"
    ]
