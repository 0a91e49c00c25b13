"""What `doctor` says of a real cluster of Ray. What it makes of the answers: `tests/integration/cli`."""

from __future__ import annotations

from pathlib import Path

import pytest

from testkit import ray_cluster
from testkit.ray_cluster import RayCluster
from tests.integration.cluster.gateway_process import joined
from whisper_service.app import cluster_check
from whisper_service.app.self_test import Verdict
from whisper_service.config.schema import ClusterSettings, Config
from whisper_service.supervision.messages.cluster import Opened

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(ray_cluster.MISSING), reason=ray_cluster.MISSING or "there is one"),
    pytest.mark.timeout(600),
]


async def test_every_machine_is_tried_also_one_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = RayCluster()
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cluster_check, "ANSWER_S", 120.0)
    settings = ClusterSettings(engine="ray", address=cluster.address, node_ip=cluster.HEAD, cpus=1.0, gpus=0.0)
    try:
        cluster.start_head()
        cluster.start_node()
        first, *machines = await cluster_check.cluster(Config(cluster=settings), tmp_path)
        assert (first.name, first.verdict) == ("cluster", Verdict.OK)
        assert len(machines) == 2
        print(machines)
        for check in machines:
            assert check.verdict is Verdict.OK, check
            assert "MB of sound a second" in check.detail
        assert not any(cluster_check.BUSY in check.detail for check in machines)
        async with joined(cluster, tmp_path) as gateway:
            link = gateway.open()
            await gateway.until(Opened, link=link.link)
            _, *machines = await cluster_check.cluster(Config(cluster=settings), tmp_path)
            assert [check.verdict for check in machines] == [Verdict.OK, Verdict.OK]
            assert [cluster_check.BUSY in check.detail for check in machines].count(True) == 1
    finally:
        print(cluster.log())
        cluster.end()
