"""The metrics of `GET /api/metrics` by name: labels and help texts of infra/monitoring/metrics.yaml.

The contract is not part of what is deployed, so its texts stand here once more; a test compares them.
"""

from __future__ import annotations

from typing import NamedTuple


class MetricSpec(NamedTuple):
    """Help text and label names of a gauge."""

    help: str
    labels: tuple[str, ...] = ()


# Instants, sizes and durations in base units, as https://prometheus.io/docs/practices/naming/ wants them.
METRICS = {
    "groundcrew_build_info": MetricSpec(
        "Always 1; the label tells which version answers.",
        ("version",),
    ),
    "groundcrew_collector_success": MetricSpec(
        "Whether this part of the state could be read for this answer (1) or not (0); its"
        " metrics are absent then.",
        ("collector",),
    ),
    "groundcrew_backup_last_success_timestamp_seconds": MetricSpec(
        "When the newest good backup set was begun, that is the moment whose data it holds.",
    ),
    "groundcrew_backup_last_failure_timestamp_seconds": MetricSpec(
        "When the newest backup set that failed was given up.",
    ),
    "groundcrew_backup_alarm_after_seconds": MetricSpec(
        "Age of the newest good backup set that is an alarm, backup.alarm_after of the policy.",
    ),
    "groundcrew_backup_duration_seconds": MetricSpec(
        "From begin to seal of the newest good backup set.",
    ),
    "groundcrew_backup_stored_bytes": MetricSpec(
        "Size of the newest good backup set as stored, compressed and encrypted.",
    ),
    "groundcrew_backup_sets": MetricSpec(
        "Backup sets in the container by state.",
        ("state",),
    ),
    "groundcrew_lockout_timestamp_seconds": MetricSpec(
        "When the earliest of what ends does so, by what it is; what renews itself in time is left out.",
        ("kind",),
    ),
    "groundcrew_lockout_warning_timestamp_seconds": MetricSpec(
        "The day on which 14 powered-on days are left before the earliest end of a kind.",
        ("kind",),
    ),
    "groundcrew_namespace_size_bytes": MetricSpec(
        "Bytes of BSON that the newest backup counted in a collection; only of the ten largest and the ten"
        " that grow fastest.",
        ("namespace",),
    ),
    "groundcrew_namespace_growth_bytes": MetricSpec(
        "Bytes a day by which such a collection grew between the newest two backups.",
        ("namespace",),
    ),
    "groundcrew_namespace_others_size_bytes": MetricSpec(
        "Bytes of BSON that the newest backup counted in all other collections together.",
    ),
    "groundcrew_oplog_captured_bytes": MetricSpec(
        "Stored bytes a day that the capture of the oplog took on the last complete days.",
    ),
    "groundcrew_probe_success": MetricSpec(
        "Whether a probe of what people do worked at the newest look (1) or not (0); absent if that is not"
        " known.",
        ("probe",),
    ),
    "groundcrew_probe_timestamp_seconds": MetricSpec(
        "When the chat was last looked at as people use it.",
    ),
    "groundcrew_drill_last_run_timestamp_seconds": MetricSpec(
        "When the newest restore drill ended, whatever its result.",
    ),
    "groundcrew_drill_last_success_timestamp_seconds": MetricSpec(
        "When the newest restore drill that proved its backup set ended.",
    ),
    "groundcrew_drill_proven_backup_timestamp_seconds": MetricSpec(
        "When the newest backup set that a drill has proven was begun.",
    ),
    "groundcrew_drill_alarm_after_seconds": MetricSpec(
        "Time without a successful drill that is an alarm.",
    ),
    "groundcrew_drill_restore_duration_seconds": MetricSpec(
        "Recovery time that the newest successful drill measured (RTO).",
    ),
    "groundcrew_drill_data_loss_seconds": MetricSpec(
        "Data loss that the newest successful drill measured (RPO).",
    ),
    "groundcrew_key_drill_timestamp_seconds": MetricSpec(
        "When the offline key was last noted to open the newest backup set.",
    ),
    "groundcrew_key_drill_alarm_after_seconds": MetricSpec(
        "Time without a key drill that the status tells, backup.drill.key_alarm_after of the policy.",
    ),
    "groundcrew_oplog_captured_until_timestamp_seconds": MetricSpec(
        "End of the newest oplog slice that follows the newest base without a gap.",
    ),
    "groundcrew_oplog_gap": MetricSpec(
        "Whether slices are missing since the newest base (1) or not (0).",
    ),
    "groundcrew_oplog_alarm_after_seconds": MetricSpec(
        "Lateness of the oplog capture that is an alarm.",
    ),
    "groundcrew_snapshot_last_success_timestamp_seconds": MetricSpec(
        "When the newest good snapshot of the disk was taken.",
        ("disk",),
    ),
    "groundcrew_snapshots": MetricSpec(
        "Good snapshots of the disk.",
        ("disk",),
    ),
    "groundcrew_snapshot_alarm_after_seconds": MetricSpec(
        "Age of a disk's newest good snapshot that is an alarm.",
    ),
    "groundcrew_certificate_expiry_timestamp_seconds": MetricSpec(
        "When the certificate that the host showed at the newest scan expires.",
        ("host",),
    ),
    "groundcrew_certificate_warning_timestamp_seconds": MetricSpec(
        "From when on what is left of the certificate's lifetime is a warning, by policy.",
        ("host",),
    ),
    "groundcrew_certificate_critical_timestamp_seconds": MetricSpec(
        "From when on what is left of the certificate's lifetime is critical, by policy.",
        ("host",),
    ),
    "groundcrew_certificate_valid": MetricSpec(
        "Whether chain and name of the certificate were valid at the newest scan (1) or not (0).",
        ("host",),
    ),
    "groundcrew_deploy_last_success_timestamp_seconds": MetricSpec(
        "When the newest deploy of the release that succeeded ended.",
        ("release",),
    ),
    "groundcrew_deploy_last_failure_timestamp_seconds": MetricSpec(
        "When the newest deploy of the release that failed or was rolled back ended.",
        ("release",),
    ),
    "groundcrew_deploy_started_timestamp_seconds": MetricSpec(
        "When the deploy that is running now was started; absent if none is running.",
        ("release",),
    ),
    "groundcrew_deploy_alarm_after_seconds": MetricSpec(
        "Duration of a running deploy that is an alarm.",
    ),
    "groundcrew_deploy_drifted_objects": MetricSpec(
        "Objects of the release that differ from what was deployed, at the newest drift check.",
        ("release",),
    ),
    "groundcrew_rehearsal_state": MetricSpec(
        "1 for the state of the newest rehearsal of an upgrade, 0 for the others.",
        ("state",),
    ),
    "groundcrew_rehearsal_timestamp_seconds": MetricSpec(
        "When the newest rehearsal of an upgrade ended, or last said what it does.",
    ),
    "groundcrew_rehearsal_downtime_seconds": MetricSpec(
        "Downtime of the upgrade that the newest rehearsal measured; absent unless it passed.",
    ),
    "groundcrew_power_planned_up": MetricSpec(
        "Whether the machine should run now (1) or not (0) by schedule, orders and work in flight.",
        ("machine",),
    ),
    "groundcrew_power_planned_since_timestamp_seconds": MetricSpec(
        "Since when groundcrew_power_planned_up has its value.",
        ("machine",),
    ),
    "groundcrew_power_next_change_timestamp_seconds": MetricSpec(
        "When groundcrew_power_planned_up changes next; absent if no change is in sight.",
        ("machine",),
    ),
    "groundcrew_power_state": MetricSpec(
        "1 for the state that the machine is in, 0 for the others.",
        ("machine", "state"),
    ),
    "groundcrew_power_settle_seconds": MetricSpec(
        "Time after which a start or stop without effect has failed, power.settle of the policy.",
    ),
    "groundcrew_job_last_run_timestamp_seconds": MetricSpec(
        "When the newest run of the job ended, whatever its result.",
        ("job_name",),
    ),
    "groundcrew_job_last_success_timestamp_seconds": MetricSpec(
        "When the newest run of the job that succeeded ended.",
        ("job_name",),
    ),
    "groundcrew_job_alarm_after_seconds": MetricSpec(
        "Time without a successful run that is an alarm, two of the job's intervals and its longest run.",
        ("job_name",),
    ),
    "groundcrew_queue_poison_messages": MetricSpec(
        "Messages in the queue's poison queue, each tried five times.",
        ("queue",),
    ),
    "groundcrew_notification_last_success_timestamp_seconds": MetricSpec(
        "When a message was last delivered over the route.",
        ("route",),
    ),
    "groundcrew_notification_last_failure_timestamp_seconds": MetricSpec(
        "When the route last failed to deliver a message.",
        ("route",),
    ),
    "groundcrew_alert_heartbeat_timestamp_seconds": MetricSpec(
        "When POST /api/alerts last received Alertmanager's Watchdog.",
    ),
}
