"""Models in the Helm chart: GPUs, weights, one more, one less, one elsewhere, and upgrades."""

from __future__ import annotations

import importlib
import json

import pytest
from helm_chart import (
    Object,
    Schemas,
    containers,
    deployment,
    example,
    of_kind,
    rendered,
    variables,
)
from kube_consistency import faults
from service_list import MODELS

from diptych_gateway.settings import Settings as GatewaySettings

THIRD = ("--set-json", 'models.bright={"env": {"DIPTYCH_MAX_SESSIONS": "2"}}')
EVERYTHING = (
    *("--set", "networkPolicies=true", "--set", "monitoring.podMonitors=true"),
    *("--set", "autoscaling.enabled=true", "--set", "autoscaling.prometheus=http://prometheus"),
)


def test_a_gpu_is_asked_for_where_one_is_wanted(schemas: Schemas) -> None:
    for name, gpu in (("gpu", 1), ("cpu", None)):
        for model in MODELS:
            pod = deployment(rendered(*example(name)), model)["spec"]["template"]["spec"]
            limits = pod["containers"][0]["resources"]["limits"]
            assert limits.get("nvidia.com/gpu") == gpu
            assert ("tolerations" in pod) is bool(gpu)
    assert pod.get("runtimeClassName") is None
    mig = rendered("--set", "models.sam-2.gpu=nvidia.com/mig-1g.10gb")
    limits = containers(deployment(mig, "sam-2"))[-1]["resources"]["limits"]
    assert {k for k in limits if k.startswith("nvidia")} == {"nvidia.com/mig-1g.10gb"}


def test_published_weights_are_pulled_before_they_are_loaded(schemas: Schemas) -> None:
    found = rendered(*example("gpu"))
    for model, package in ((name, MODELS[name].package) for name in MODELS):
        module = importlib.import_module(f"{package}.weights.official")
        official = {weights.name for weights in module.OFFICIAL}
        (job,) = (job for job in of_kind(found, "Job").values() if f"eyes-{model}-w" in _name(job))
        pulled = [container["args"] for container in containers(job)]
        assert {"pull"} == {word for word, _ in pulled}
        names = {name for _, name in pulled}
        assert names <= official
        waits, _ = containers(deployment(found, model))
        assert names <= set(waits["command"])
        chosen = {v for v in variables(deployment(found, model)).values() if v in official}
        assert chosen == names


def _name(thing: Object) -> str:
    return str(thing["metadata"]["name"])


def test_a_third_model_is_one_entry(schemas: Schemas) -> None:
    before, after = rendered(*EVERYTHING), rendered(*EVERYTHING, *THIRD)
    assert schemas.faults(after) == []
    assert faults(after) == []
    kinds = [thing["kind"] for thing in after if thing not in before and "bright" in _name(thing)]
    assert sorted(kinds) == sorted(
        thing["kind"] for thing in before if _name(thing) == "eyes-sam-2"
    )
    assert sorted(kinds) == [
        *("Deployment", "NetworkPolicy", "PodDisruptionBudget"),
        *("PodMonitor", "ScaledObject", "Service"),
    ]
    changed = {_name(thing) for thing in after if thing not in before}
    assert changed == {"eyes-bright", "eyes-gateway"}
    assert "bright=eyes-bright:" in variables(deployment(after, "gateway"))["DIPTYCH_MODELS"]


def test_a_model_can_be_left_out(schemas: Schemas) -> None:
    less = ("--set", "models.mask-rcnn=null", "--set-json", "gateway.cascades=[]")
    found = rendered(*less)
    assert set(of_kind(found, "Deployment")) == {"eyes-gateway", "eyes-sam-2"}
    assert faults(found) == []


def test_models_may_be_elsewhere(schemas: Schemas, monkeypatch: pytest.MonkeyPatch) -> None:
    where = {"bright": "http://head:8000/replicas", "grey": "10.0.0.1:50061|10.0.0.2:50061"}
    found = rendered("--set-json", f"gateway.elsewhere={json.dumps(where)}", *EVERYTHING)
    entries = frozenset(f"{name}={address}" for name, address in where.items())
    assert faults(found, entries) == []
    monkeypatch.setenv("DIPTYCH_MODELS", variables(deployment(found, "gateway"))["DIPTYCH_MODELS"])
    assert {e.model_id for e in GatewaySettings().models} == {*MODELS, *where}
    assert set(of_kind(found, "Deployment")) == {"eyes-gateway", *(f"eyes-{m}" for m in MODELS)}


def test_names_are_short_enough_and_stay(schemas: Schemas) -> None:
    long = ("--set-json", "models." + "m" * 40 + '={"weights": {"pull": ["demo"]}}')
    for release in ("e", "r" * 53):
        found = rendered(*EVERYTHING, *long, release=release)
        assert faults(found) == []
        assert schemas.faults(found) == []
    names = {(t["kind"], _name(t)) for t in rendered(*example("gpu")) if t["kind"] != "Job"}
    newer = rendered(*example("gpu"), "--set", "image.tag=v9", "--set", "drainSeconds=60")
    assert names == {(t["kind"], _name(t)) for t in newer if t["kind"] != "Job"}


def test_what_an_upgrade_cannot_change_does_not_change(schemas: Schemas) -> None:
    """Selectors of Deployments, and Jobs: a Job that would differ has another name."""
    changes = ("--set", "image.tag=v9", "--set", "drainSeconds=60", "--set", "models.sam-2.env.A=b")
    before, after = rendered(*example("gpu")), rendered(*example("gpu"), *changes)
    for name, thing in of_kind(before, "Deployment").items():
        assert thing["spec"]["selector"] == of_kind(after, "Deployment")[name]["spec"]["selector"]
    jobs = of_kind(before, "Job")
    assert jobs
    assert not jobs.keys() & of_kind(after, "Job").keys()
    assert jobs == of_kind(rendered(*example("gpu"), "--set", "drainSeconds=60"), "Job")


def test_a_lost_engine_leaves_nothing_behind(schemas: Schemas) -> None:
    """Its decoder goes to process 1, and the process that listens would not collect it."""
    for model in MODELS:
        assert deployment(rendered(), model)["spec"]["template"]["spec"]["shareProcessNamespace"]
