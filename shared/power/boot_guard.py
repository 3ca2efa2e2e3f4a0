"""What keeps a machine from coming up well: judged before it stops, and after it started. Pure.

Before a stop, since a kernel that is installed runs at the next start only, and at 7 in the morning it is too
late to choose another one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.power.guest import CERTIFICATES

# MongoDB 8's allocator fails on kernels from 6.19 until 7.0.14: https://jira.mongodb.org/browse/SERVER-121912
_FATAL_FROM, _FATAL_BELOW = (6, 19, 0), (7, 0, 14)
_FIRST_FRAGILE_MONGODB = 8
# MicroK8s makes its certificates for a year and renews none (https://github.com/canonical/microk8s/issues/5576).
CERTIFICATE_LEAD = timedelta(days=21)
_KERNEL = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_IMAGE_MAJOR = re.compile(r":v?(\d+)\.\d+[^/]*$")
_CURES = {
    "kubelet": "`microk8s refresh-certs` does not renew this one: see docs/power.md",
    "ca": "`microk8s refresh-certs --cert ca.crt` makes all of them anew; kubeconfigs have to be taken again",
}


@dataclass(frozen=True, slots=True)
class GuestFinding:
    """A danger to the next start. `key` says what it is about; with `holds` the machine is not to stop."""

    key: str
    title: str
    text: str
    hint: str
    holds: bool = False


def judge_guest(facts: Mapping[str, str], now: datetime) -> list[GuestFinding]:
    """The dangers that a look at the guest before its stop shows."""
    problems = [_judge_kernel(facts)]
    problems += [_judge_certificate(name, facts.get(f"cert_{name}", ""), now) for name in CERTIFICATES]
    return [finding for finding in problems if finding is not None]


def is_fatal_kernel(kernel: str, image: str) -> bool:
    """Whether MongoDB of that image dies on the kernel; one whose version is not known may."""
    version = _KERNEL.match(kernel)
    if version is None:
        return False
    numbers = (int(version[1]), int(version[2]), int(version[3] or 0))
    major = _IMAGE_MAJOR.search(image)
    # An image by digest tells no version: held up for nothing costs a night's money, the other mistake the
    # database's start.
    fragile = major is None or int(major[1]) >= _FIRST_FRAGILE_MONGODB
    return fragile and _FATAL_FROM <= numbers < _FATAL_BELOW


def address_changed(before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Whether the machine came back with another address than it had: MicroK8s' certificates name the old."""
    old, new = before.get("address", ""), after.get("address", "")
    return bool(old and new and old != new)


def _judge_kernel(facts: Mapping[str, str]) -> GuestFinding | None:
    running, newest, image = facts.get("kernel", ""), facts.get("next_kernel", ""), facts.get("mongodb", "")
    # Where it runs already, the damage is done or is none.
    if not newest or newest == running or not is_fatal_kernel(newest, image):
        return None
    return GuestFinding(
        f"kernel/{newest}",
        f"the installed kernel {newest} would kill MongoDB at the next start",
        f"Kernel {running} runs now, {newest} is the newest one, and MongoDB is {image or 'not known'}. "
        "Kernels from 6.19 to before 7.0.14 kill MongoDB 8 (SERVER-121912). The machine is held up.",
        f"On the machine: `apt-get remove linux-image-{newest}`, or install 7.0.14 or newer.",
        holds=True,
    )


def _judge_certificate(name: str, ends: str, now: datetime) -> GuestFinding | None:
    try:
        end = datetime.strptime(" ".join(ends.split()), "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
    except ValueError:
        return None  # not to be seen here: the scan of certificates tells of what hosts show
    # Three weeks of evenings, one of which somebody has time in.
    if end - now > CERTIFICATE_LEAD:
        return None
    state = "has ended" if end <= now else f"ends on {end:%Y-%m-%d}"
    cure = _CURES.get(name, f"On the machine: `microk8s refresh-certs --cert {name}.crt`")
    return GuestFinding(
        f"certificate/{name}/{end:%Y%m%d}",
        f"MicroK8s' certificate {name}.crt {state}",
        "MicroK8s makes it for a year and does not renew it. Once it has ended the cluster does not start.",
        f"{cure}.",
    )
