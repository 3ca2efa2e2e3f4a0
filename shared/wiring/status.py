"""The wiring of the status: from which stores each part is read, and who may ask for the metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from shared.kernel.errors import UsageError
from shared.kernel.version import VERSION
from shared.settings import definitions
from shared.settings.environment import read_environment
from shared.wiring import connect_queues, load_policy, open_backups, open_state, system_clock
from shared.wiring.backup import trusted_catalogue
from shared.wiring.jobs import QUEUES, read_settings_report

if TYPE_CHECKING:
    from shared.backup.catalogue import SetCatalogue
    from shared.kernel.ports import Blobs
    from shared.kernel.secret import Secret
    from shared.status.collect import Readers
    from shared.status.model import Status


def read_status() -> dict[str, Any]:
    """The status, with the machines where a subscription is named. Raises UsageError without any storage."""
    from shared.status.job import build_status

    more: dict[str, Callable[[], Any]] = {"jobs": read_settings_report}
    if read_environment().values.get(definitions.SUBSCRIPTION.name):
        more["machines"] = _list_machines
    return build_status(trusted_catalogue, open_state(), system_clock(), more)


def current_status() -> Status:
    """What is known now; what cannot be read says so in its own part."""
    from shared.status.collect import collect_status

    return collect_status(_readers(), system_clock().now(), VERSION)


@cache
def metrics_tokens() -> tuple[Secret, ...]:
    """The bearer tokens that open the metrics; none closes them."""
    from shared.web.bearer import parse_tokens

    try:
        return parse_tokens(read_environment().get(definitions.METRICS_TOKEN))
    except UsageError:  # a reference into the vault that was not resolved
        return ()


def _readers() -> Readers:
    """A reader for each part. Policy and stores are opened by the reader, so that what fails is that part."""
    from shared.kernel.read_once import ReadOnceBlobs
    from shared.status import readers

    kept = cache(lambda: ReadOnceBlobs(open_state()))
    return {
        "backup": lambda: readers.read_backup(_read_once_catalogue(kept()), load_policy().backup),
        "snapshots": lambda: readers.read_snapshots(kept(), load_policy().snapshots),
        "certificates": lambda: readers.read_certificates(kept()),
        "deploy": lambda: readers.read_deploy(kept(), system_clock(), load_policy().deploy),
        "power": lambda: readers.read_power(kept(), load_policy().power),
        "queues": lambda: readers.read_poison_queues(connect_queues(), QUEUES),
    }


def _read_once_catalogue(kept: Blobs) -> SetCatalogue:
    """The catalogue over views that ask for each listing and each record once."""
    from shared.backup.seals import SealLog
    from shared.kernel.read_once import ReadOnceBlobs

    trusting = trusted_catalogue()
    return replace(trusting, blobs=ReadOnceBlobs(open_backups()), seals=SealLog(kept, trusting.trusted))


def _list_machines() -> list[dict[str, str]]:
    from shared.power.job import preview_tick
    from shared.wiring.power import power_deps

    return [
        {"machine": o.machine, "state": str(o.state), "decision": str(o.decision)}
        for o in preview_tick(power_deps())
    ]
