"""Alerts speak of what the product says of itself, and each fault fires the one that is its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from alert_faults import FAULTS, FAULTS_SEEN, document, rules

from diptych_runtime.figures.process import memory_limit

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs/tools"))
from metrics_tables import gateway_page, service_page

# Of Prometheus itself, and those that only a container with a limit has.
_NOT_OURS = {"up", "ALERTS"}
_IN_CONTAINERS = {"diptych_gateway_memory_limit_bytes", "diptych_memory_limit_bytes"}
_NAME = re.compile(r"\b(?:diptych|process)_[a-z_]+\b|\bup\b|\bALERTS\b")


async def exported() -> set[str]:
    """Names of all series that a gateway and a model service export, those with labels too."""
    text = await gateway_page() + await service_page()
    return set(re.findall(r"^([a-z_]+)(?:\{| )", text, re.MULTILINE))


async def test_alerts_name_only_what_is_exported() -> None:
    used = {name for rule in rules() for name in _NAME.findall(rule["expr"])}
    assert used
    limited = _IN_CONTAINERS if memory_limit() == 0 else set()
    assert used - _NOT_OURS - limited <= await exported()


async def test_faults_are_told_in_series_that_are_exported() -> None:
    told = {re.split(r"[{ ]", series)[0] for fault in FAULTS_SEEN for series in fault.series}
    assert told - _NOT_OURS - _IN_CONTAINERS <= await exported()


def test_every_alert_has_a_fault_of_its_own() -> None:
    fired = {fault.alert for fault in FAULTS_SEEN if fault.alert}
    assert fired == {rule["alert"] for rule in rules()}


def test_the_file_for_promtool_is_current() -> None:
    assert FAULTS.read_text() == document(), "run: python tests/support/alert_faults.py"


def test_each_fault_fires_its_alert_and_no_other() -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing; install the package prometheus (Debian, Ubuntu)"
    checked = subprocess.run(
        [promtool, "test", "rules", str(FAULTS)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_is_in_the_documentation() -> None:
    page = (FAULTS.parents[3] / "docs/deploy.md").read_text()
    for rule in rules():
        assert f"| `{rule['alert']}` |" in page
