"""A day of the exporters' series, made from a seed: what Prometheus would scrape where there is a cluster.

Names and labels are those of infra/monitoring/metrics.yaml, which says where each was read. The values are
made: a working day with its peak, a probe that fails for some minutes. They show how a dashboard looks, and
that each of its queries finds its series; they are no measurement.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

STEP: Final = timedelta(minutes=1)
GIB: Final = float(1 << 30)
_DAY: Final = 86400.0
# The machine that the generated files name, and its pods.
_CHAT: Final = {"namespace": "rocketchat", "pod": "rocketchat-rocketchat-6d9f7c5b8-x2x9k"}
_MONGODB: Final = {"namespace": "rocketchat", "pod": "rocketchat-mongodb-0"}
_NODE: Final = {"instance": "rocketchat", "job": "node-exporter"}
_PROBE: Final = {"job": "rocketchat-probe", "instance": "https://chat.example.org/api/info"}

Curve = Callable[[float, random.Random], float]
"""The value at a time of day (0 to 1, midnight UTC at 0); the randomness is the series' own."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series: a gauge's values, or with `rate` a counter that grows by them each second."""

    name: str
    curve: Curve
    labels: Mapping[str, str] = field(default_factory=dict)
    rate: bool = False


def write_openmetrics(until: datetime, *, seed: int = 1, length: timedelta = timedelta(days=1)) -> str:
    """The text that `promtool tsdb create-blocks-from openmetrics` reads: a sample a minute, up to `until`.

    https://prometheus.io/docs/prometheus/latest/storage/#backfilling-from-openmetrics-format
    """
    lines: list[str] = []
    # A family's series stand together, as the format wants it.
    for index, series in enumerate(sorted(list_series(until), key=lambda one: one.name)):
        lines += _samples(series, until - length, until, random.Random(f"{seed}/{index}"))
    return "\n".join([*lines, "# EOF", ""])


def _samples(series: Series, since: datetime, until: datetime, rng: random.Random) -> Iterator[str]:
    labels = ",".join(f'{name}="{value}"' for name, value in series.labels.items())
    total, at = 0.0, since
    while at <= until:
        seconds = at.timestamp()
        value = series.curve(seconds % _DAY / _DAY, rng)
        total += value * STEP.total_seconds()
        yield f"{series.name}{{{labels}}} {total if series.rate else value:.6g} {seconds:.0f}"
        at += STEP


def list_series(until: datetime) -> list[Series]:
    """All of them; instants such as a certificate's end are told from `until`."""
    return [*_probe(until), *_chat(), *_mongodb(until), *_node()]


def _busy(low: float, high: float, noise: float = 0.05) -> Curve:
    """Low at night, high at two in the afternoon."""

    def value(day: float, rng: random.Random) -> float:
        work = max(0.0, math.sin(math.pi * (day - 0.25) / 0.6)) if 0.25 < day < 0.85 else 0.0
        return (low + (high - low) * work) * (1 + noise * rng.uniform(-1, 1))

    return value


def _flat(value: float) -> Curve:
    return lambda _day, _rng: value


def _probe(until: datetime) -> Iterator[Series]:
    def success(day: float, _: random.Random) -> float:
        return 0.0 if 0.4 < day < 0.403 else 1.0  # four minutes around ten in the morning

    yield Series("probe_success", success, _PROBE)
    yield Series("probe_duration_seconds", _busy(0.12, 0.4, 0.4), _PROBE)
    yield Series("probe_ssl_earliest_cert_expiry", _flat(until.timestamp() + 41 * _DAY), _PROBE)


def _chat() -> Iterator[Series]:
    gauges = {
        "rocketchat_ddp_sessions_count": _busy(14, 190),
        "rocketchat_ddp_sessions_auth": _busy(12, 170),
        "rocketchat_ddp_connected_users": _busy(9, 120),
        "nodejs_eventloop_lag_seconds": _busy(0.004, 0.03, 0.6),
        "nodejs_heap_size_used_bytes": _busy(0.35 * GIB, 0.8 * GIB),
        "process_resident_memory_bytes": _busy(0.7 * GIB, 1.3 * GIB, 0.01),
        # Written once a day, so a straight line.
        "rocketchat_users_total": _flat(240),
        "rocketchat_rooms_total": _flat(410),
        "rocketchat_messages_total": _flat(1_280_000),
    }
    for name, curve in gauges.items():
        yield Series(name, curve, _CHAT)
    yield Series("rocketchat_message_sent", _busy(0.01, 1.4, 0.3), _CHAT, rate=True)
    for kind, most in {"mobile": 0.9, "desktop": 0.6, "email": 0.1}.items():
        labels = {**_CHAT, "notification_type": kind}
        yield Series("rocketchat_notification_sent", _busy(0.01, most, 0.3), labels, rate=True)
    for name, mean in {"rocketchat_rest_api": 0.06, "rocketchat_meteor_methods": 0.02}.items():
        yield Series(f"{name}_count", _busy(0.5, 20), _CHAT, rate=True)
        yield Series(f"{name}_sum", _busy(0.5 * mean, 26 * mean), _CHAT, rate=True)
    for container, most in {"rocketchat": 0.9, "mongodb": 0.5}.items():
        labels = {**(_CHAT if container == "rocketchat" else _MONGODB), "container": container}
        yield Series("container_cpu_usage_seconds_total", _busy(0.05, most, 0.2), labels, rate=True)


def _mongodb(until: datetime) -> Iterator[Series]:
    midnight = until.timestamp() // _DAY * _DAY

    def head(day: float, _: random.Random) -> float:
        return midnight + day * _DAY

    yield Series("mongodb_up", _flat(1), _MONGODB)
    yield Series("mongodb_mongod_replset_my_state", _flat(1), {**_MONGODB, "set": "rs0"})
    yield Series("mongodb_mongod_replset_oplog_head_timestamp", head, _MONGODB)
    yield Series(
        "mongodb_mongod_replset_oplog_tail_timestamp", lambda d, r: head(d, r) - 2.6 * _DAY, _MONGODB
    )
    # Two members more, as on AKS: a single one has no lag.
    for number in (1, 2):
        name = f"rocketchat-mongodb-{number}:27017"
        labels = {**_MONGODB, "name": name, "state": "SECONDARY", "set": "rs0"}
        yield Series("mongodb_mongod_replset_member_replication_lag", _busy(0, 1.5, 0.8), labels)
    for kind, most in {
        "query": 60,
        "insert": 4,
        "update": 18,
        "delete": 1,
        "getmore": 45,
        "command": 80,
    }.items():
        labels = {**_MONGODB, "legacy_op_type": kind}
        yield Series("mongodb_ss_opcounters", _busy(most / 20, most, 0.2), labels, rate=True)
    yield Series("mongodb_ss_connections", _busy(28, 64), {**_MONGODB, "conn_type": "current"})
    yield Series("mongodb_ss_connections", _flat(0), {**_MONGODB, "conn_type": "rejected"})
    for kind in ("regular", "warning", "msg", "user"):
        rate = 0.02 if kind == "user" else 0.0
        yield Series("mongodb_ss_asserts", _busy(0, rate), {**_MONGODB, "assert_type": kind}, rate=True)
    yield Series("mongodb_ss_wt_cache_maximum_bytes_configured", _flat(3 * GIB), _MONGODB)
    yield Series(
        "mongodb_ss_wt_cache_bytes_currently_in_the_cache", _busy(2.1 * GIB, 2.5 * GIB, 0.02), _MONGODB
    )
    labels = {**_MONGODB, "container": "mongodb"}
    yield Series("container_memory_working_set_bytes", _busy(3.4 * GIB, 3.9 * GIB, 0.01), labels)


def _node() -> Iterator[Series]:
    for mount, size, free in (("/", 64, 38), ("/var/snap", 256, 141)):
        labels = {**_NODE, "device": "/dev/sda1", "fstype": "ext4", "mountpoint": mount}
        yield Series("node_filesystem_size_bytes", _flat(size * GIB), labels)
        yield Series("node_filesystem_avail_bytes", _flat(free * GIB), labels)
