"""Which replica is asked: the real choosing with clocks and replicas that are none."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import OrderedDict
from dataclasses import dataclass, field

import pytest

from diptych_gateway.backend.homes import Homes, ranked
from diptych_gateway.backend.replicas import Route

ENCODER_S, PROMPT_S, THINK_S = 0.1, 0.01, 3.0
PROMPTS = 6
HELD = 160
HOT = b"hot"


@dataclass
class Seen:
    """A replica as one gateway sees it."""

    address: str
    calls: int = 0
    is_up: bool = True
    is_full: bool = False
    is_failing: bool = False
    was: bool = True

    def was_up(self, within_s: float) -> bool:
        return self.is_up or self.was


def seen(count: int) -> list[Seen]:
    return [Seen(f"10.0.0.{number}:50061") for number in range(count)]


def digest(image: object) -> bytes:
    return hashlib.sha256(str(image).encode()).digest()


@dataclass
class Gateway:
    """One that shares nothing with others."""

    replicas: list[Seen]
    homes: Homes = field(default_factory=Homes)
    files: set[bytes] = field(default_factory=set)


class Fleet:
    """Replicas that each answer one call after the other, and hold the images of the last."""

    def __init__(self, replicas: int, gateways: int, seed: int) -> None:
        self.chance = random.Random(seed)
        self.gateways = [Gateway(seen(replicas)) for _ in range(gateways)]
        self.held: dict[str, OrderedDict[bytes, None]] = {
            each.address: OrderedDict() for each in self.gateways[0].replicas
        }
        self.free_s = dict.fromkeys(self.held, 0.0)
        self.queued_s = dict.fromkeys(self.held, 0.0)
        self.by_digest = self.hits = self.encoder_runs = 0

    def ask(self, gateway: Gateway, image: bytes, *, first: bool) -> Seen:
        """Find a replica as a gateway does; the first call of a session has the file."""
        if first:
            gateway.files.add(image)
        at_hand = image in gateway.files
        route = Route[Seen](gateway.homes, image, is_named=not first, is_at_hand=at_hand)
        while True:
            replica = route.choose(gateway.replicas)
            if route.wants_file:  # if it is not at hand, the client sends it again
                gateway.files.add(image)
                break
            if first or image in self.held[replica.address]:
                break
            route.lacks(replica)
        route.answered(replica)
        return replica

    def work(self, replica: Seen, image: bytes, now_s: float, *, first: bool) -> float:
        """Answer; returns when that is done."""
        held = self.held[replica.address]
        is_held = image in held
        self.by_digest += not first
        self.hits += is_held and not first
        self.encoder_runs += not is_held
        held[image] = None
        held.move_to_end(image)
        if len(held) > HELD:
            held.popitem(last=False)
        begin_s = max(now_s, self.free_s[replica.address])
        end_s = begin_s + PROMPT_S + ENCODER_S * (not is_held)
        self.free_s[replica.address] = end_s
        self.queued_s[replica.address] += end_s - now_s
        return end_s

    def run(self, sessions: int, hot: float) -> None:
        """Have users open images and prompt them, at 0.6 of what the replicas can do; a share
        ``hot`` of them the same one."""
        chance, rate = self.chance, 0.6 * len(self.held) / (ENCODER_S + PROMPT_S * PROMPTS)
        events: list[tuple[float, int, bytes, int, Seen | None]] = []
        at_s, number = 0.0, 0
        for number in range(sessions):
            at_s += chance.expovariate(rate)
            prompts = max(1, int(chance.expovariate(1 / PROMPTS) + 0.5))
            image = digest(HOT if chance.random() < hot else number)
            events.append((at_s, number, image, -prompts, None))
        while events:
            now_s, _, image, prompts, answering = heapq.heappop(events)
            if answering:
                answering.calls -= 1
                continue
            first, number = prompts < 0, number + 2
            replica = self.ask(chance.choice(self.gateways), image, first=first)
            replica.calls += 1
            end_s = self.work(replica, image, now_s, first=first)
            heapq.heappush(events, (end_s, number, image, 0, replica))
            if abs(prompts) > 1:
                think_s = chance.expovariate(1 / THINK_S)
                heapq.heappush(events, (end_s + think_s, number + 1, image, abs(prompts) - 1, None))


@pytest.mark.parametrize("hot", [0.0, 0.1, 0.3])
def test_gateways_that_share_nothing_find_images_and_no_queue_is_long(
    hot: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diptych_gateway.backend.homes.random", random.Random(1))
    fleet = Fleet(replicas=64, gateways=8, seed=1)
    fleet.run(sessions=4000, hot=hot)
    assert fleet.hits / fleet.by_digest >= 0.99
    mean_s = sum(fleet.queued_s.values()) / len(fleet.queued_s)
    assert max(fleet.queued_s.values()) <= 2 * mean_s


def test_one_image_that_all_ask_about_at_once_fills_no_replica() -> None:
    replicas, homes = seen(8), Homes()
    for _ in range(300):
        Route[Seen](homes, digest(HOT)).choose(replicas).calls += 1
    assert max(each.calls for each in replicas) <= min(64, 2 * 300 / 8)


def test_many_images_at_once_fill_no_replica() -> None:
    replicas, homes = seen(8), Homes()
    for number in range(300):
        Route[Seen](homes, digest(number)).choose(replicas).calls += 1
    assert max(each.calls for each in replicas) <= 1.5 * 300 / 8


def chosen(homes: Homes, replicas: list[Seen], image: object = 0) -> Seen:
    return Route[Seen](homes, digest(image)).choose(replicas)


def test_a_new_image_goes_to_the_home_with_fewer_calls_and_stays() -> None:
    replicas, homes = seen(5), Homes()
    first, second, *_ = ranked(digest(0), replicas)
    assert chosen(homes, replicas) is first
    first.calls = 1
    assert chosen(homes, replicas) is second
    homes.remember(digest(0), second.address)
    first.calls, second.calls = 0, 3
    assert chosen(homes, replicas) is second
    second.calls = 4
    assert chosen(homes, replicas) is first


def test_a_replica_that_joins_or_leaves_moves_few_images() -> None:
    five, four = seen(5), seen(4)
    images = [digest(number) for number in range(500)]
    firsts = [ranked(image, five)[0].address for image in images]
    moved = sum(ranked(i, four)[0].address != f for i, f in zip(images, firsts, strict=True))
    assert moved == firsts.count(five[4].address)
    assert 60 < moved < 140
    assert ranked(images[0], five[::-1]) == ranked(images[0], five)


def test_an_unknown_digest_is_asked_of_both_homes_before_the_file_is_sent() -> None:
    replicas, homes = seen(5), Homes()
    route = Route[Seen](homes, digest(0), is_named=True, is_at_hand=True)
    asked = []
    while not route.wants_file:
        replica = route.choose(replicas)
        if not route.wants_file:
            asked.append(replica)
            route.lacks(replica)
    assert asked == list(ranked(digest(0), replicas)[:2])
    assert replica is asked[0]


def test_who_lost_it_is_forgotten() -> None:
    replicas, homes = seen(2), Homes()
    first, second = ranked(digest(0), replicas)
    homes.remember(digest(0), second.address)
    route = Route[Seen](homes, digest(0), is_named=True)
    assert route.choose(replicas) is second
    route.lacks(second)
    assert route.choose(replicas) is first
    assert not route.wants_file
    assert homes.holders(digest(0)) == ()


def test_a_busy_home_is_left_with_the_file_if_that_is_at_hand() -> None:
    replicas, homes = seen(2), Homes()
    first, second = ranked(digest(0), replicas)
    homes.remember(digest(0), first.address)
    first.calls = 10
    for at_hand, replica in ((True, second), (False, first)):
        route = Route[Seen](homes, digest(0), is_named=True, is_at_hand=at_hand)
        assert (route.choose(replicas), route.wants_file) == (replica, at_hand)


def test_who_is_down_or_full_is_passed_over() -> None:
    replicas, homes = seen(4), Homes()
    order = ranked(digest(0), replicas)
    order[0].is_up = False
    assert chosen(homes, replicas) is order[1]
    order[1].is_full = True
    assert chosen(homes, replicas) is order[2]
    for each in order[2:]:
        each.is_up = False
    assert chosen(homes, replicas) is order[1]
    order[1].is_up = False
    assert chosen(homes, replicas) is order[0]


def test_a_refusal_is_tried_where_there_may_be_room() -> None:
    replicas = seen(3)
    route = Route[Seen](Homes(), digest(0))
    tried = [route.choose(replicas)]
    while route.refused(tried[-1], replicas):
        tried.append(route.choose(replicas))
    assert tried == list(ranked(digest(0), replicas))
    for each in replicas:
        each.is_full = True
    assert not Route[Seen](Homes(), digest(0)).refused(tried[0], replicas)


def test_failures_are_tried_elsewhere_three_times_in_all() -> None:
    replicas = seen(5)
    route = Route[Seen](Homes(), digest(0))
    pauses = []
    while (pause_s := route.failed(route.choose(replicas), replicas)) is not None:
        pauses.append(pause_s)
    assert pauses == [0.0, 0.0]


def test_one_alone_is_tried_again_after_a_pause_unless_it_fails_always() -> None:
    (replica,) = replicas = seen(1)
    route = Route[Seen](Homes(), b"")
    pauses = []
    while (pause_s := route.failed(route.choose(replicas), replicas)) is not None:
        pauses.append(pause_s)
    assert pauses == [pytest.approx(0.02, rel=0.21), pytest.approx(0.06, rel=0.21)]
    replica.is_failing = True
    assert Route[Seen](Homes(), b"").failed(replica, replicas) is None


def test_the_next_of_several_is_waited_for_once() -> None:
    replicas = seen(2)
    route = Route[Seen](Homes(), digest(0))
    while route.failed(route.choose(replicas), replicas) is not None:
        pass
    for each in replicas:
        each.is_up = False
    assert route.may_wait(replicas)
    assert not route.begins_again(replicas)
    replicas[1].is_up = True
    assert route.begins_again(replicas)
    assert route.choose(replicas) is replicas[1]
    assert route.failed(replicas[1], replicas) is not None
    assert not route.may_wait(replicas)


def test_who_was_not_up_lately_or_is_alone_is_not_waited_for() -> None:
    gone = [Seen("10.0.0.1:50061", is_up=False, was=False) for _ in range(2)]
    assert not Route[Seen](Homes(), digest(0)).may_wait(gone)
    assert not Route[Seen](Homes(), digest(0)).may_wait(seen(1))


def test_one_that_fails_always_does_not_end_the_wait() -> None:
    replicas = seen(2)
    replicas[0].is_up = False
    replicas[1].is_failing = True
    assert not Route[Seen](Homes(), digest(0)).begins_again(replicas)


def test_second_tries_go_to_none_that_fails_always() -> None:
    replicas = seen(3)
    order = ranked(digest(0), replicas)
    order[1].is_failing = True
    route = Route[Seen](Homes(), digest(0))
    assert route.failed(route.choose(replicas), replicas) == 0.0
    assert route.choose(replicas) is order[2]


def test_what_is_known_of_images_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diptych_gateway.backend.homes._MOST_KNOWN", 10)
    homes = Homes()
    for number in range(1000):
        homes.remember(digest(number), "a:1")
    assert [bool(homes.holders(digest(number))) for number in (989, 990, 999)] == [0, 1, 1]
    assert len(homes._recent) <= 256
    assert len(homes._counts) <= 256
