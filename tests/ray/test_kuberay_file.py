"""The file for KubeRay says what the code reads; it needs no cluster, and never saw one."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings
from ray.serve.schema import ServeDeploySchema
from service_list import MODELS

from diptych_gateway.settings import Settings as GatewaySettings
from diptych_ray.application import STOP_RESERVE_S
from diptych_ray.options import read_options
from diptych_runtime.settings import RuntimeSettings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "deploy" / "kuberay" / "rayservice.yaml").read_text()
WEIGHTS_DIR = "DIPTYCH_WEIGHTS_DIR"


def names(settings: type[BaseSettings]) -> set[str]:
    return {f"DIPTYCH_{name.upper()}" for name in settings.model_fields}


def read_by(model_id: str) -> set[str]:
    """Variables that a model's service and engine read."""
    engine = importlib.import_module(f"{MODELS[model_id].package}.settings").EngineSettings
    return names(RuntimeSettings) | names(engine)


def documents(text: str) -> dict[str, Any]:
    return {each["kind"]: each for each in yaml.safe_load_all(text)}


def containers(found: dict[str, Any]) -> Iterator[tuple[dict[str, Any], set[str]]]:
    """Every container, and the variables that may be set there."""
    cluster = found["RayService"]["spec"]["rayClusterConfig"]
    of_nodes = {WEIGHTS_DIR, "RAY_USAGE_STATS_ENABLED"} | names(RuntimeSettings)
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        for container in group["template"]["spec"]["containers"]:
            yield container, of_nodes
    for container in found["Deployment"]["spec"]["template"]["spec"]["containers"]:
        yield container, names(GatewaySettings)


def faults(text: str) -> list[str]:
    """What the code would not read, or read as something else."""
    found = documents(text)
    wrong: list[str] = []
    serve = yaml.safe_load(found["RayService"]["spec"]["serveConfigV2"])
    # Ray takes names that it does not know and does nothing with them.
    wrong += [f"serve: {key}" for key in serve if key not in ServeDeploySchema.model_fields]
    (application,) = ServeDeploySchema.model_validate(serve).applications
    module, _, name = application.import_path.partition(":")
    if not callable(getattr(importlib.import_module(module), name, None)):
        wrong.append(f"import_path: {application.import_path}")
    try:
        models = read_options(application.args).models
    except Exception as error:
        return [*wrong, str(error)]
    for model_id, options in models.items():
        wrong += [f"{model_id}: {key}" for key in options.settings if key not in read_by(model_id)]
    for container, known in containers(found):
        wrong += [each["name"] for each in container["env"] if each["name"] not in known]
    variables = {
        each["name"]: each["value"]
        for each in found["Deployment"]["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    settings = GatewaySettings(
        models=variables["DIPTYCH_MODELS"], cascades=variables["DIPTYCH_CASCADES"]
    )
    dialled = {endpoint.model_id for endpoint in settings.models}
    if dialled != set(models):
        wrong.append(f"the gateway asks for {dialled}, the application has {set(models)}")
    return wrong


def test_the_file_says_what_the_code_reads() -> None:
    assert faults(TEXT) == []


@pytest.mark.parametrize(
    ("right", "wrong", "named"),
    [
        ("diptych_ray:app", "diptych_ray:apps", "apps"),
        ("load_per_replica", "load_per_replika", "load_per_replika"),
        ("max_replicas: 4", "max_replicas: 0", "max_replicas"),
        ("            sam-2:\n", "            sam2:\n", "sam2"),
        ("DIPTYCH_SAM_2_WEIGHTS", "DIPTYCH_SAM2_WEIGHTS", "DIPTYCH_SAM2_WEIGHTS"),
        ("name: DIPTYCH_WEIGHTS_DIR", "name: DIPTYCH_WEIGHT_DIR", "DIPTYCH_WEIGHT_DIR"),
        ("name: DIPTYCH_CASCADES", "name: DIPTYCH_CASCADE", "DIPTYCH_CASCADE"),
        ("proxy_location", "proxy_locations", "proxy_locations"),
        ("value: mask-rcnn=", "value: mask=", "mask"),
    ],
)
def test_a_planted_typo_is_found(right: str, wrong: str, named: str) -> None:
    assert TEXT.count(right) == 1
    try:
        found = faults(TEXT.replace(right, wrong))
    except Exception as error:
        found = [str(error)]
    assert any(named in fault for fault in found), found


def test_versions_and_times_fit() -> None:
    cluster = documents(TEXT)["RayService"]["spec"]["rayClusterConfig"]
    assert f"ray=={cluster['rayVersion']}\n" in (ROOT / "constraints.txt").read_text()
    drain_s = RuntimeSettings.model_fields["drain_s"].default + STOP_RESERVE_S
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert group["template"]["spec"]["terminationGracePeriodSeconds"] > drain_s
