"""The contract's own tests, against a gateway whose models Ray runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from integration import test_end_to_end
from ray_nodes import CPU, Nodes, running_gateway
from service_list import MODELS

from diptych import Client

OWN_PROCESSES = {
    "test_a_killed_engine_process_comes_back",
    "test_a_killed_service_leaves_the_others_answer",
}
"""They kill processes that the test has started itself; here a whole node is killed."""

globals().update(
    {
        name: test
        for name, test in vars(test_end_to_end).items()
        if name.startswith("test_") and name not in OWN_PROCESSES
    }
)


@dataclass
class OnRay:
    """What those tests need to know of a stack."""

    nodes: Nodes
    gateway: str

    def address(self, name: str) -> str:
        """Where a part listens."""
        return self.gateway if name == "gateway" else self.nodes.listed()[name][0]


@pytest.fixture(scope="module")
def stack(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnRay]:
    """All models with their demo weights."""
    nodes.deploy({model: {"cpus": 1, "settings": CPU} for model in MODELS}, timeout_s=180)
    log = tmp_path_factory.mktemp("gateway") / "gateway.log"
    with running_gateway([*MODELS], nodes.directory, log) as gateway:
        yield OnRay(nodes, gateway)


@pytest.fixture
def client(stack: OnRay) -> Iterator[Client]:
    """A client of the gateway."""
    with Client(stack.address("gateway"), timeout=60) as client:
        yield client


def test_those_tests_are_here() -> None:
    assert set(vars(test_end_to_end)) >= OWN_PROCESSES
    assert "test_both_models_find_the_objects_of_the_scenes" in globals()
