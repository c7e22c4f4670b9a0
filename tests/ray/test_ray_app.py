"""What the application may be told, what it makes of it, and how its parts decide; no cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from service_list import MODELS

from diptych_ray import app
from diptych_ray.directory import SILENT_TICKS, Replicas
from diptych_ray.options import read_options, spec_of
from diptych_ray.policy import LoadPolicy
from diptych_runtime.settings import SettingsError


def test_importing_every_module_loads_no_torch() -> None:
    program = (
        "import importlib, pkgutil, sys, diptych_ray as package\n"
        "for module in pkgutil.walk_packages(package.__path__, 'diptych_ray.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(sorted({'torch', 'torchvision', 'sam2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_without_arguments_every_installed_model_is_served() -> None:
    assert set(MODELS) <= set(read_options({}).models)
    assert [spec_of(name).model_id for name in MODELS] == [*MODELS]


def test_a_command_line_names_models() -> None:
    assert list(read_options({"models": "sam-2"}).models) == ["sam-2"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"modls": {}}, "modls={}: Extra inputs are not permitted"),
        ({"models": {}}, "models={}: "),
        ({"models": 7}, "models=7: "),
        ({"models": {"sam-9": None}}, "which are installed here, got sam-9"),
        ({"models": {"sam-2": {"gpu": 1}}}, "models.sam-2.gpu=1: "),
        ({"models": {"sam-2": {"gpus": 2}}}, "an engine drives one device: expected gpus up to 1"),
        ({"models": {"sam-2": {"replicas": 0}}}, "models.sam-2.replicas=0: "),
        (
            {"models": {"sam-2": {"replicas": 3, "max_replicas": 2}}},
            "expected max_replicas of at least replicas, 3, got 2",
        ),
        ({"models": {"sam-2": {"cpus": float("nan")}}}, "models.sam-2.cpus=nan: "),
        (
            {"models": {"sam-2": {"settings": {"diptych threads": 1}}}},
            "expected names of variables such as DIPTYCH_THREADS",
        ),
        (
            {"models": {"sam-2": {"settings": {"DIPTYCH_DRAIN_S": "soon"}}}},
            "models.sam-2.settings.DIPTYCH_DRAIN_S: expected seconds, got 'soon'",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(args: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=r"^[^\n]+$") as caught:
        app(args)
    assert said in str(caught.value)


def deployment(options: dict[str, Any]) -> Any:
    """The deployment that options of one model make."""
    (models,) = app({"models": {"sam-2": options}})._bound_deployment.init_args
    return models["sam-2"]._bound_deployment


def test_serve_waits_for_the_drain() -> None:
    assert deployment({})._deployment_config.graceful_shutdown_timeout_s == 25 + 15
    longer = deployment({"settings": {"DIPTYCH_DRAIN_S": 60}})
    assert longer._deployment_config.graceful_shutdown_timeout_s == 60 + 15
    variables = longer.ray_actor_options["runtime_env"]["env_vars"]
    assert variables == {"DIPTYCH_DRAIN_S": "60", "DIPTYCH_DEVICE": "cpu"}


def test_a_gpu_is_asked_of_ray_and_told_to_the_engine() -> None:
    found = deployment({"gpus": 0.5}).ray_actor_options
    assert found["num_gpus"] == 0.5
    assert found["runtime_env"]["env_vars"]["DIPTYCH_DEVICE"] == "cuda:0"


def test_one_number_of_replicas_is_not_scaled() -> None:
    assert deployment({"replicas": 2, "max_replicas": 2})._deployment_config.num_replicas == 2
    scaled = deployment({"replicas": 2, "max_replicas": 3})._deployment_config.autoscaling_config
    assert (scaled.min_replicas, scaled.max_replicas) == (2, 3)


@pytest.mark.parametrize(
    ("reported", "wanted"),
    [(None, 3), ({}, 3), ({"a": 0.0}, 1), ({"a": 4.0}, 1), ({"a": 4.1, "b": 0.2}, 2)],
)
def test_load_says_how_many_replicas_there_ought_to_be(
    reported: dict[str, float] | None, wanted: int
) -> None:
    metrics = None if reported is None else {"in_service": reported}
    context: Any = SimpleNamespace(aggregated_metrics=metrics, target_num_replicas=3)
    assert LoadPolicy(load_per_replica=4)(context) == (wanted, {})


def test_who_is_silent_is_not_listed_unless_all_are() -> None:
    replicas = Replicas(["sam-2", "other"])
    for address in ("a:1", "b:1", "c:1"):
        replicas.announce("sam-2", address)
    for _ in range(SILENT_TICKS):
        assert replicas.listed() == {"sam-2": ["a:1", "b:1", "c:1"], "other": []}
        replicas.tick()
        replicas.announce("sam-2", "a:1")
    assert replicas.complete
    replicas.tick()
    assert replicas.listed()["sam-2"] == ["a:1"]
    for _ in range(2 * SILENT_TICKS):
        replicas.tick()
    assert replicas.listed()["sam-2"] == ["a:1"]
    replicas.announce("sam-2", "d:1")
    replicas.tick()
    assert replicas.listed()["sam-2"] == ["d:1"]
    replicas.leave("sam-2", "d:1")
    replicas.leave("sam-2", "never:1")
    assert replicas.listed()["sam-2"] == []


def test_a_directory_that_has_just_started_knows_that() -> None:
    replicas = Replicas(["sam-2"])
    assert not replicas.complete


@pytest.mark.parametrize(
    ("words", "variables", "code", "said"),
    [
        ("--version", {}, 0, "diptych-ray, version "),
        ("--check", {}, 0, "diptych-ray: the settings can be used"),
        ("--check", {"DIPTYCH_PORT": "x"}, 2, "diptych-ray: DIPTYCH_PORT='x': "),
        ("--check", {"DIPTYCH_TIER": "quick"}, 2, "diptych-ray: DIPTYCH_TIER='quick': "),
    ],
)
def test_its_command_says_its_version_and_checks_settings(
    words: str, variables: dict[str, str], code: int, said: str
) -> None:
    command = (sys.executable, "-m", "diptych_ray", words)
    environment = {name: value for name, value in os.environ.items() if name[:8] != "DIPTYCH_"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment | variables)
    assert done.returncode == code, done.stderr
    assert (done.stdout + done.stderr).startswith(said)
