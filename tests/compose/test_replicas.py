"""Two containers under one name share the load, and one that stops costs no request."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from containers import Project, docker, run

from diptych import Client

FILES = ("docker-compose.yml", "docker-compose.two-sam-2.yml")
REPLICAS = ("sam-2-cpu", "sam-2-b-cpu")
_numbers = itertools.count()
pytestmark = pytest.mark.timeout(1900)  # the first one may build


@pytest.fixture(scope="module")
def pair(images: dict[str, str]) -> Iterator[Project]:
    """A gateway and two SAM 2 under one alias, with the example file."""
    project = Project(*FILES)
    try:
        project.compose("up", "-d", "gateway", *REPLICAS)
        project.wait_healthy("gateway", *REPLICAS)
        yield project
    finally:
        project.down()


@pytest.fixture
def client(pair: Project) -> Iterator[Client]:
    with Client(pair.address, timeout=60) as client:
        yield client


def answered(project: Project) -> dict[str, int]:
    """Pictures that each replica has answered so far, by its log.

    A replica that is asked first whether it holds a picture answers with NOT_FOUND.
    """
    containers = project.containers()
    logs = {s: run(["docker", "logs", containers[s]["Id"]]).stderr for s in REPLICAS}
    return {service: sum(map(is_answer, log.splitlines())) for service, log in logs.items()}


def is_answer(line: str) -> bool:
    return '"method": "Segment", ' in line and '"code": "OK"' in line


def ask(client: Client) -> int:
    """Segments of a picture that nobody has asked about, so that no replica is better suited."""
    pixels = np.random.default_rng(next(_numbers)).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    return len(client.segment(pixels, model="sam-2", points=[(32, 32)]).segments)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 180) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds:g} s: {what}"
        time.sleep(0.5)


def both_answer(pair: Project, client: Client) -> bool:
    """Whether both answer some of the next requests."""
    before = answered(pair)
    for _ in range(6):
        ask(client)
    after = answered(pair)
    return all(after[service] > before[service] for service in REPLICAS)


def test_they_share_the_load(pair: Project, client: Client) -> None:
    wait_until(lambda: both_answer(pair, client), "both are found")
    before = answered(pair)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: ask(client), range(200))) == [1] * 200
    after = answered(pair)
    shares = [after[service] - before[service] for service in REPLICAS]
    assert sum(shares) == 200
    assert all(80 <= share <= 120 for share in shares), shares


def test_one_that_stops_costs_no_request_and_is_found_again(pair: Project, client: Client) -> None:
    wait_until(lambda: both_answer(pair, client), "both are found")
    stopped = threading.Event()

    def ask_on() -> list[int]:
        found = []
        while not stopped.is_set():
            found.append(ask(client))
        return found + [ask(client) for _ in range(10)]

    replica = pair.container(REPLICAS[0])["Id"]
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(ask_on) for _ in range(4)]
        try:
            time.sleep(2)
            docker("stop", replica)
        finally:
            stopped.set()
        results = [found for call in calls for found in call.result()]  # raises what failed
    assert set(results) == {1}
    state = pair.container(REPLICAS[0])["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)
    docker("start", replica)
    wait_until(lambda: both_answer(pair, client), "the one that came back is found")
