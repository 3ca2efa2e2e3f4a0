"""The scan of certificates: look at all, judge, keep, tell, and hold a machine up for a renewal.

Level-triggered: every scan looks at everything anew, so that one that was missed or killed costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from shared.certificates.decide import judge_certificates
from shared.certificates.deps import CertificateDeps
from shared.certificates.findings import add_finding
from shared.certificates.model import CertificateEntry, CertificateState, SourceKind, UptimeSpan
from shared.certificates.notices import notify_scan
from shared.certificates.observe import CertificateObserver
from shared.certificates.outlook import WakeRecord, judge_outlook, needs_wake, plan_wake
from shared.certificates.records import CertificateScan, load_last_scan, save_scan
from shared.kernel.errors import GroundcrewError
from shared.kernel.timestamps import format_minute
from shared.records.holds import Holds

log = logging.getLogger(__name__)

_LEASE = timedelta(seconds=60)
_OVERDUE = timedelta(minutes=70)  # the timer looks once an hour
# What could not be looked at, or is held up for, is looked at again by `catch_up`; events no more often.
_SOON = timedelta(minutes=10)
# A machine that was just started does not answer yet, and one lost packet is no alarm.
_BLIND_GRACE = timedelta(minutes=10)


def preview_scan(deps: CertificateDeps) -> CertificateScan:
    """Look and judge. Changes nothing."""
    return _scan(deps, load_last_scan(deps.state), _read_uptime(deps))


def run_scan(deps: CertificateDeps) -> CertificateScan:
    """Look, judge, tell, keep, and hold machines up where policy says so. Raises Locked."""
    with deps.state.lease("locks/certificates", duration=_LEASE) as lease:
        before, uptime = load_last_scan(deps.state), _read_uptime(deps)
        scan = _scan(deps, before, uptime)
        lease.check()
        # Told before it is kept: a run that dies in between tells twice rather than never.
        alarms = [entry for entry in scan.entries if _is_alarm(entry, scan.at)]
        notify_scan(deps, alarms, _find_recovered(scan, before), _find_deleted(scan, before))
        save_scan(deps.state, scan)
        _apply_holds(deps, scan, before)
    counts = {str(state): sum(one.state is state for one in scan.entries) for state in CertificateState}
    log.info("certificates.scanned", extra={"certificates": len(scan.entries), **counts})
    return scan


def run_tick(deps: CertificateDeps) -> str:
    """What the timer does; returns it in a sentence."""
    return describe_scan(run_scan(deps))


def run_overdue(deps: CertificateDeps) -> str:
    """What `catch_up` does: a scan that was missed, or that is to be repeated soon."""
    last = load_last_scan(deps.state)
    if last is None:
        return run_tick(deps)
    # A machine is held up and paid for, or something is hidden: an hour is too long for either.
    watched = bool(last.wakes) or any(_is_blind(entry) for entry in last.entries)
    age = deps.clock.now() - last.at
    if age < (_SOON if watched else _OVERDUE):
        return "nothing to do: last scan less than an hour ago"
    return run_tick(deps)


def handle_event(deps: CertificateDeps) -> str:
    """What an event about a certificate causes: a scan, since an event is only a hint; not one for each."""
    last = load_last_scan(deps.state)
    if last is not None and deps.clock.now() - last.at < _SOON:
        return "nothing to do: just scanned"
    return run_tick(deps)


def describe_scan(scan: CertificateScan) -> str:
    """`3 certificates: 2 good, 1 critical`."""
    counts = ((sum(one.state is state for one in scan.entries), state) for state in CertificateState)
    return f"{len(scan.entries)} certificates: " + (
        ", ".join(f"{count} {state}" for count, state in counts if count) or "none"
    )


def _scan(
    deps: CertificateDeps, before: CertificateScan | None, uptime: Sequence[UptimeSpan]
) -> CertificateScan:
    now = deps.clock.now()
    previous = before.by_key if before else {}
    observed = CertificateObserver(deps, previous.values()).observe()
    entries = judge_certificates(observed, deps.policy, now, previous, _offline_reason(uptime))
    looked_ahead = tuple(_look_ahead(deps, entry, uptime, now) for entry in entries)
    return CertificateScan(now, looked_ahead, _plan_wakes(deps, looked_ahead, before, uptime, now))


def _look_ahead(
    deps: CertificateDeps, entry: CertificateEntry, uptime: Sequence[UptimeSpan], now: datetime
) -> CertificateEntry:
    """With a warning of a planned stop; that one is told whether or not the machine is off now."""
    finding = judge_outlook(entry, uptime, deps.policy, now)
    if finding is None:
        return entry
    warned = add_finding(entry, finding)
    if deps.policy.when_vm_off == "wake" and entry.state is CertificateState.GOOD:
        return entry  # it is woken then: nobody has to do anything
    return warned


def _plan_wakes(
    deps: CertificateDeps,
    entries: Sequence[CertificateEntry],
    before: CertificateScan | None,
    uptime: Sequence[UptimeSpan],
    now: datetime,
) -> Mapping[str, WakeRecord]:
    earlier = before.wakes if before else {}
    return {
        entry.key: plan_wake(entry, earlier.get(entry.key), deps.policy, now)
        for entry in entries
        if needs_wake(entry, uptime, deps.policy, now)
    }


def _apply_holds(deps: CertificateDeps, scan: CertificateScan, before: CertificateScan | None) -> None:
    """Hold the machine up for each renewal that is planned so, and let it go for those that are over."""
    holds = Holds(deps.state, deps.clock)
    for key, wake in scan.wakes.items():
        # One that has ended stays on record for its pause, and holds nothing up.
        if wake.until > scan.at:
            what = f"renewal of {key}"
            holds.add_hold(_hold_name(key), what, wake.until - scan.at, needs_up=True)
            log.info("certificates.machine_held", extra={"certificate": key, "until": wake.until.isoformat()})
    for key in before.wakes if before else ():
        if key not in scan.wakes:
            holds.release_hold(_hold_name(key))


def _hold_name(key: str) -> str:
    return f"certificates/{key.partition('/')[2]}"


def _read_uptime(deps: CertificateDeps) -> Sequence[UptimeSpan]:
    """The plan of the machine; without it nothing is excused."""
    try:
        return deps.uptime()
    except GroundcrewError as error:
        log.warning("certificates.schedule_unknown", extra={"error": str(error)})
        return ()


def _offline_reason(uptime: Sequence[UptimeSpan]) -> str:
    if not uptime or uptime[0].up:
        return ""
    return f"the machine is off as planned until {format_minute(uptime[0].until)}"


def _is_blind(entry: CertificateEntry) -> bool:
    return entry.state is CertificateState.UNKNOWN and not entry.excused


def _is_alarm(entry: CertificateEntry, now: datetime) -> bool:
    """Whether people are told: of all but what is good, excused, or was seen a moment ago."""
    if entry.state is CertificateState.GOOD:
        return False
    if _is_blind(entry):
        return entry.since is not None and now - entry.since >= _BLIND_GRACE
    return not (entry.state is CertificateState.UNKNOWN and entry.excused)


def _find_deleted(scan: CertificateScan, before: CertificateScan | None) -> list[CertificateEntry]:
    """Objects that were there at the scan before. What could not be looked at is carried on: it is not here.

    A host that is looked at no longer was taken out of policy or of an Ingress, which is no loss.
    """
    kinds = (SourceKind.SECRET, SourceKind.CERTIFICATE, SourceKind.VAULT)
    known = scan.by_key
    earlier = before.entries if before else ()
    # What stands for a place that could not be looked at was never seen itself.
    return [entry for entry in earlier if entry.kind in kinds and entry.seen and entry.key not in known]


def _find_recovered(scan: CertificateScan, before: CertificateScan | None) -> list[CertificateEntry]:
    """What people were told of and is good now."""
    if before is None:
        return []
    alarmed = {entry.key for entry in before.entries if _is_alarm(entry, before.at)}
    return [one for one in scan.entries if one.state is CertificateState.GOOD and one.key in alarmed]
