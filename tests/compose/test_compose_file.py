"""What compose itself makes of the files: profiles, GPUs, ports."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from containers import Project, run
from service_list import MODELS

FILES = ("docker-compose.yml", "docker-compose.two-sam-2.yml")
pytestmark = pytest.mark.usefixtures("engine")


def config(*files: str, **variables: str) -> dict[str, Any]:
    """The services of a profile, by name, as compose understands them."""
    profile = variables.pop("profile", "gpu")
    found = yaml.safe_load(Project(*files, profile=profile, **variables).compose("config"))
    return {
        name: service
        for name, service in found["services"].items()
        if profile in service.get("profiles", [profile])
    }


def devices(service: dict[str, Any]) -> list[dict[str, Any]]:
    reservations = service.get("deploy", {}).get("resources", {}).get("reservations", {})
    found = reservations.get("devices", [])
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    ("variables", "mask_rcnn", "sam_2"),
    [
        ({}, "0", "1"),
        ({"DIPTYCH_MASK_RCNN_GPU": "3", "DIPTYCH_SAM_2_GPU": "2"}, "3", "2"),
        ({"DIPTYCH_SAM_2_GPU": "0"}, "0", "0"),
        ({"DIPTYCH_SAM_2_GPU": "GPU-8a56a4bc"}, "0", "GPU-8a56a4bc"),
    ],
    ids=["default", "chosen", "shared", "by-uuid"],
)
def test_each_model_is_pinned_to_its_gpu(
    variables: dict[str, str], mask_rcnn: str, sam_2: str
) -> None:
    services = config(**variables)
    for name, gpu in (("mask-rcnn", mask_rcnn), ("sam-2", sam_2)):
        (device,) = devices(services[name])
        assert device == {"driver": "nvidia", "device_ids": [gpu], "capabilities": ["gpu"]}
        assert services[name]["environment"]["DIPTYCH_DEVICE"] == "cuda:0"


def test_the_example_pins_a_third_gpu() -> None:
    services = config(*FILES, DIPTYCH_SAM_2_B_GPU="5")
    gpus = {name: [d["device_ids"] for d in devices(s)] for name, s in services.items()}
    listed = {name: [[str(service.gpu)]] for name, service in MODELS.items()}
    assert gpus == {"gateway": [], **listed, "sam-2-b": [["5"]]}
    aliases = [services[name]["networks"]["models"]["aliases"] for name in ("sam-2", "sam-2-b")]
    assert aliases == [["sam-2"], ["sam-2"]]


def test_the_cpu_profile_asks_for_no_gpu() -> None:
    services = config(profile="cpu")
    assert list(services) == ["gateway", *(f"{name}-cpu" for name in MODELS)]
    for service in services.values():
        assert not devices(service)
    assert {services[n]["environment"]["DIPTYCH_DEVICE"] for n in list(services)[1:]} == {"cpu"}


def test_both_profiles_run_the_same_images() -> None:
    gpu, cpu = config(), config(profile="cpu")
    for name in MODELS:
        assert gpu[name]["image"] == cpu[f"{name}-cpu"]["image"]
        assert gpu[name]["build"] == cpu[f"{name}-cpu"]["build"]


def test_settings_of_the_shell_reach_the_containers() -> None:
    services = config(DIPTYCH_SAM_2_WEIGHTS="sam2.1-hiera-tiny", DIPTYCH_DRAIN_S="3")
    assert services["sam-2"]["environment"]["DIPTYCH_SAM_2_WEIGHTS"] == "sam2.1-hiera-tiny"
    assert {str(s["environment"]["DIPTYCH_DRAIN_S"]) for s in services.values()} == {"3"}
    assert services["sam-2"]["environment"]["DIPTYCH_CACHE_BYTES"] is None  # not an empty text


@pytest.mark.gpu
def test_a_process_sees_exactly_one_gpu(images: dict[str, str]) -> None:
    if "nvidia" not in run(["docker", "info", "--format", "{{.Runtimes}}"]).stdout:
        pytest.skip("needs a container engine with NVIDIA's runtime")
    project = Project(profile="gpu", DIPTYCH_SAM_2_GPU="0")
    program = "import torch; print(torch.cuda.device_count())"
    try:
        said = project.compose("run", "--rm", "--entrypoint", "python", "sam-2", "-c", program)
    finally:
        project.down()
    assert said.strip() == "1"
