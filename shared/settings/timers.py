"""The timers, and when each of them fires where no app setting says otherwise (NCRONTAB, with seconds)."""

from __future__ import annotations

# Timers run in UTC; what is to happen is computed from policy in its own time zone.
# Each at a minute or second of its own, so that a small plan does not start all of them in the same instant.
SCHEDULES = {
    "nightly_backup": "0 0 1 * * *",
    "catch_up": "0 */15 * * * *",
    "power_tick": "0 */5 * * * *",
    "snapshot_cycle": "30 */5 * * * *",
    "cost_report": "0 0 6 * * *",
    "drift_check": "0 30 6 * * *",
    "certificate_scan": "0 20 * * * *",
    "restore_drill": "0 0 3 * * *",
    "retention": "0 0 5 * * *",
    "secrets_rotation": "0 40 * * * *",
    "oplog_capture": "40 */5 * * * *",
    "hardening_audit": "0 10 5 * * *",
    "lockout_calendar": "0 25 8 * * *",
}
