"""What the gateway tells Prometheus of several replicas: no counter falls, each has figures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Any

import pytest
from counters import fallen, samples

from diptych import ModelStats, StageTime
from diptych.segment import v1 as pb
from diptych.wire.stats import read_stats, stats_message, stats_request
from diptych_gateway import replica_figures
from diptych_gateway.backend.addresses import Name
from diptych_gateway.backend.discovery import Discovery
from diptych_gateway.backend.images import ImageCache
from diptych_gateway.backend.registry import Registry
from diptych_gateway.backend.replicas import Replicas
from diptych_gateway.metrics import Metrics


class Counting:
    """A replica that counts as it is told; a restart makes it begin again."""

    def __init__(self, fake: Any, count: int) -> None:
        self.fake = fake
        self.count = count
        self.answers = True
        self.since = datetime.now(timezone.utc)
        fake.GetModelStats = self._stats

    async def _stats(self, request: Any, context: Any) -> pb.GetModelStatsResponse:
        if not self.answers:
            await asyncio.sleep(3600)
        return stats_message(
            ModelStats(
                outcomes={"OK": self.count},
                stages={"queue": StageTime(self.count, self.count / 8)},
                batch_sizes={1: self.count},
                encoder_run_count=self.count,
                image_cache_hit_count=self.count,
                engine_restart_count=self.count,
                device_s=self.count / 4,
                queue_length=2,
                queue_wait_s=self.count / 10,
                counting_since=self.since,
            )
        )

    async def restart(self) -> None:
        await self.fake.stop()
        self.count, self.since = 0, datetime.now(timezone.utc)
        await self.fake.start()


class Watched:
    """A model with replicas, and the page on which a gateway tells of it."""

    def __init__(self, replicas: list[Counting]) -> None:
        self.replicas = replicas
        self.addresses = [each.fake.address for each in replicas]
        self.model = Replicas("one", self.addresses)
        self.registry = Registry([self.model], refresh_s=0.05)
        self.metrics = Metrics(self.registry, ImageCache(0))

    async def up(self, count: int) -> None:
        while sum(each.is_up for each in self.model.replicas) != count:
            await asyncio.sleep(0.01)

    async def page(self) -> str:
        return (await self.metrics.text()).decode()


@asynccontextmanager
async def watched(stage: Any, *counts: int) -> AsyncIterator[Watched]:
    replicas = []
    for count in counts:
        fake = await stage.model("one")
        await fake.stop()
        replicas.append(Counting(fake, count))
        await fake.start()
    model = Watched(replicas)
    model.registry.start()
    await model.up(len(counts))
    yield model
    await model.registry.close()


@pytest.mark.parametrize("counts", [(10, 1000), (10, 1000, 3)])
async def test_over_twenty_scrapes_no_counter_falls(stage: Any, counts: tuple[int, ...]) -> None:
    async with watched(stage, *counts) as one:
        before = await one.page()
        first, second = one.replicas[:2]
        for scrape in range(20):
            first.count += 1
            second.count += 2
            if scrape == 5:
                await second.restart()  # the next scrape comes while it is away
            if scrape in (8, 14):
                await one.up(len(counts) if scrape == 8 else len(counts) - 1)
            if scrape == 10:
                one.model.set_addresses(one.addresses[1:])  # the first one leaves
            if scrape == 16:
                one.model.set_addresses(one.addresses)
                await one.up(len(counts))
            if scrape == 18:
                await asyncio.gather(*(each.restart() for each in one.replicas))
            after = await one.page()
            assert fallen(before, after) == []
            before = after
        await one.up(len(counts))
        last = await one.page()
        assert fallen(before, last) == []
    whole = samples(last)["diptych_model_encoder_runs_total", "model=one"]
    # Counted anew since the restarts, and all before them but what was not scraped in between.
    assert sum(counts) + 20 < whole <= sum(counts) + 20 * 3


async def test_each_replica_has_its_own_figures(stage: Any) -> None:
    async with watched(stage, 10, 1000) as one:
        for _ in range(4):
            await one.model.call("GetModelCard", b"", timeout_s=30)
        figures = samples(await one.page())
        names = {each.address: each.name for each in one.model.replicas}
        shown = [f"replica={names[address]}" for address in one.addresses]
        waits = [figures["diptych_replica_queue_seconds", "model=one", name] for name in shown]
        assert waits == [1.0, 100.0]
        assert figures["diptych_model_queue_seconds", "model=one"] == 100.0
        assert figures["diptych_model_queue_length", "model=one"] == 4
        for name, replica in zip(shown, one.replicas, strict=True):
            assert figures["diptych_replica_up", "model=one", name] == 1
            since = figures["diptych_replica_counting_since_seconds", "model=one", name]
            assert since == pytest.approx(replica.since.timestamp())
        calls = [
            figures.get(("diptych_replica_calls_total", "code=OK", "model=one", name), 0)
            for name in shown
        ]
        assert sum(calls) == 4

        for address, name in zip(one.addresses, shown, strict=True):
            assert figures["diptych_replica_info", f"address={address}", "model=one", name] == 1

        await one.replicas[0].fake.stop()
        await one.up(1)
        after = samples(await one.page())
        assert [after["diptych_replica_up", "model=one", name] for name in shown] == [0, 1]
        assert after["diptych_model_up", "model=one"] == 1


async def test_one_that_says_nothing_does_not_keep_what_others_say(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diptych_gateway.backend.totals._ANSWER_S", 0.2)
    async with watched(stage, 10, 1000) as one:
        before = await one.page()
        one.replicas[1].answers = False
        one.replicas[0].count += 5
        after = await one.page()
        assert fallen(before, after) == []
        assert samples(after)["diptych_model_encoder_runs_total", "model=one"] == 1015
        one.replicas[1].answers = True


async def test_replicas_with_other_weights_are_counted(stage: Any) -> None:
    async with watched(stage, 1, 1) as one:
        key = ("diptych_model_weights", "model=one")
        assert samples(await one.page())[key] == 1
        one.replicas[1].fake.more_of_card = pb.ModelCard(weights=[pb.Weights(sha256=b"other")])
        while samples(await one.page())[key] != 2:
            await asyncio.sleep(0.05)


async def test_a_client_is_told_the_same_sums(stage: Any) -> None:
    async with watched(stage, 10, 1000) as one:
        request = stats_request("one").SerializeToString()
        for _ in range(3):
            raw = await one.model.call("GetModelStats", request, timeout_s=30)
            stats = read_stats(pb.GetModelStatsResponse.FromString(raw))
            assert (stats.encoder_run_count, stats.outcomes) == (1010, {"OK": 1010})


async def test_where_replicas_are_is_told_only_to_who_may_know_it(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(stage, 1, 1) as one:
        page = await one.page()
        assert all(address in page for address in one.addresses)
        monkeypatch.setattr(replica_figures, "may_know_addresses", lambda: False)
        page = await one.page()
        assert not any(address in page for address in one.addresses)
        assert page.count("diptych_replica_up{") == 2


async def test_a_lookup_that_fails_is_told() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    discovery = Discovery("one", Name("nowhere.test", 1), resolver=resolve)
    metrics = Metrics(Registry([], discoveries={"one": discovery}), ImageCache(0))
    key = ("diptych_model_lookup_fails", "model=one")
    assert samples((await metrics.text()).decode())[key] == 0
    await discovery.look()
    assert samples((await metrics.text()).decode())[key] == 1
