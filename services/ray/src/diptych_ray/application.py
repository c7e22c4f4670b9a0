"""The application: a deployment for each model, and the directory that gateways ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from diptych_runtime.settings import SettingsError, read_settings

from . import directory
from .directory import Directory
from .model import STOP_RESERVE_S, DirectModel
from .options import ModelOptions, read_options
from .policy import LoadPolicy

_DRAIN = "DIPTYCH_DRAIN_S"
_DEVICE = "DIPTYCH_DEVICE"
_HEALTH_PERIOD_S = 2.0
_HEALTH_TIMEOUT_S = 10.0
_WAIT_S = 0.1
_LOOK_BACK_S = 20.0  # Serve wants more than the ten seconds between reports


def app(args: dict[str, Any]) -> Application:
    """Build the application, for ``serve run diptych_ray:app`` or ``import_path`` in a file.

    Args:
        args: See ``AppOptions``: ``{"models": {"sam-2": {"replicas": 2, "gpus": 1}}}``. Empty
            serves one replica of every model that is installed, without GPUs.

    Raises:
        SettingsError: an argument cannot be used.
    """
    models = {name: _deployed(name, chosen) for name, chosen in read_options(args).models.items()}
    deployment = serve.deployment(
        Directory,
        name=directory.NAME,
        num_replicas=1,
        max_ongoing_requests=1000,
        graceful_shutdown_wait_loop_s=_WAIT_S,
        health_check_period_s=_HEALTH_PERIOD_S,
        # Never where a GPU is waited for, and on any node.
        ray_actor_options={"num_cpus": 0},
        # Every replica speaks once a second.
        logging_config={"enable_access_log": False},
    )
    return deployment.bind(models)


def _deployed(model_id: str, chosen: ModelOptions) -> Application:
    variables = {_DEVICE: "cuda:0" if chosen.gpus else "cpu", **chosen.settings}
    # Serve ends what takes longer to stop, so that both have to know the same.
    drain_s = _drain_s(model_id, variables)
    variables[_DRAIN] = f"{drain_s:g}"
    return serve.deployment(
        DirectModel,
        name=model_id,
        **_scaling(chosen),
        health_check_period_s=_HEALTH_PERIOD_S,
        health_check_timeout_s=_HEALTH_TIMEOUT_S,
        # Requests do not come through Serve, which would wait for the end of those first.
        graceful_shutdown_wait_loop_s=_WAIT_S,
        graceful_shutdown_timeout_s=drain_s + STOP_RESERVE_S,
        ray_actor_options={
            "num_cpus": chosen.cpus,
            "num_gpus": chosen.gpus,
            "runtime_env": {"env_vars": variables},
        },
    ).bind(model_id)


def _drain_s(model_id: str, variables: Mapping[str, str]) -> float:
    if _DRAIN not in variables:
        return read_settings().drain_s
    try:
        seconds = float(variables[_DRAIN])
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 86400:
        raise SettingsError(
            f"models.{model_id}.settings.{_DRAIN}: expected seconds, got {variables[_DRAIN]!r}"
        )
    return seconds


def _scaling(chosen: ModelOptions) -> dict[str, Any]:
    if chosen.max_replicas in (None, chosen.replicas):
        return {"num_replicas": chosen.replicas}
    policy = AutoscalingPolicy(
        policy_function=LoadPolicy,
        policy_kwargs={"load_per_replica": chosen.load_per_replica},
    )
    scaling = AutoscalingConfig(
        min_replicas=chosen.replicas,
        max_replicas=chosen.max_replicas,
        upscale_delay_s=chosen.upscale_delay_s,
        downscale_delay_s=chosen.downscale_delay_s,
        look_back_period_s=_LOOK_BACK_S,
        policy=policy,
    )
    return {"autoscaling_config": scaling}
