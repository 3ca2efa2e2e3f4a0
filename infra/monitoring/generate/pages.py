"""What is on the three dashboards. Ages are computed in the query from instants, so that they grow between scrapes."""

from __future__ import annotations

from .dashboards import Dashboard, Panel, Row
from .settings import Objective

RATE = "$__rate_interval"
GREEN, YELLOW, RED = "green", "yellow", "red"
UP = (("0", "down"), ("1", "up"))
HOUR, DAY = 3600, 86400


def _stat(
    title: str, about: str, query: str, unit: str = "short", *steps: tuple[str, float | None], legend: str = ""
) -> Panel:
    mappings = UP if unit == "bool" else ()
    return Panel(title, about, ((query, legend),), "short" if mappings else unit, "stat", steps, mappings)


def rocketchat_page(goal: Objective) -> Dashboard:
    """Does it answer, who is on it, what is it busy with."""
    budget = 1 - goal.availability
    rows = (
        Row(
            "Does it answer",
            (
                _stat(
                    "Answers now",
                    "The probe's newest result, asked through DNS, certificate and ingress.",
                    'min(probe_success{job="rocketchat-probe"})',
                    "bool",
                    (RED, None),
                    (GREEN, 1),
                ),
                _stat(
                    "Availability, 30 days",
                    "Share of the probes in planned service that were answered. Planned downtime is left out.",
                    "avg_over_time(rocketchat:probe_success:in_service[30d])",
                    "percentunit",
                    (RED, None),
                    (GREEN, goal.availability),
                ),
                _stat(
                    "Error budget left",
                    "Share of the failures allowed in 30 days that is left; below zero the goal is missed.",
                    f"1 - (1 - avg_over_time(rocketchat:probe_success:in_service[30d])) / {budget:.4g}",
                    "percentunit",
                    (RED, None),
                    (YELLOW, 0),
                    (GREEN, 0.25),
                ),
                _stat(
                    "Certificate",
                    "Time until the certificate that the probe was shown expires.",
                    "min(probe_ssl_earliest_cert_expiry) - time()",
                    "s",
                    (RED, None),
                    (YELLOW, 3 * DAY),
                    (GREEN, 14 * DAY),
                ),
            ),
        ),
        Row(
            "Answers",
            (
                Panel(
                    "Duration of probes",
                    f"The goal is {goal.slow:g} s; gaps are planned downtime or missing probes.",
                    (('max(probe_duration_seconds{job="rocketchat-probe"})', "probe"),),
                    "s",
                ),
                Panel(
                    "Burn rate",
                    "Failures over what the goal allows; 1 uses up the budget in exactly 30 days.",
                    (
                        (f"rocketchat:availability_errors:ratio_1h / {budget:.4g}", "1 h"),
                        (f"rocketchat:availability_errors:ratio_6h / {budget:.4g}", "6 h"),
                    ),
                ),
                Panel(
                    "REST, mean duration",
                    "Rocket.Chat has no buckets: this is a mean, one slow call hides in many fast ones.",
                    (
                        (
                            f"sum(rate(rocketchat_rest_api_sum[{RATE}]))"
                            f" / sum(rate(rocketchat_rest_api_count[{RATE}]))",
                            "REST",
                        ),
                        (
                            f"sum(rate(rocketchat_meteor_methods_sum[{RATE}]))"
                            f" / sum(rate(rocketchat_meteor_methods_count[{RATE}]))",
                            "methods",
                        ),
                    ),
                    "s",
                ),
            ),
        ),
        Row(
            "People",
            (
                Panel(
                    "Connections",
                    "Live: sessions, signed-in sessions and distinct people.",
                    (
                        ("sum(rocketchat_ddp_sessions_count)", "sessions"),
                        ("sum(rocketchat_ddp_sessions_auth)", "signed in"),
                        ("sum(rocketchat_ddp_connected_users)", "people"),
                    ),
                ),
                Panel(
                    "Messages and notifications",
                    "Sent per second.",
                    (
                        (f"sum(rate(rocketchat_message_sent[{RATE}]))", "messages"),
                        (
                            f"sum by (notification_type) (rate(rocketchat_notification_sent[{RATE}]))",
                            "{{notification_type}}",
                        ),
                    ),
                    "ops",
                ),
                Panel(
                    "Users, rooms and messages in all",
                    "Once a day: Rocket.Chat refreshes these at its start and daily, so they lag by up to a day.",
                    (
                        ("max(rocketchat_users_total)", "users"),
                        ("max(rocketchat_rooms_total)", "rooms"),
                        ("max(rocketchat_messages_total)", "messages"),
                    ),
                ),
            ),
        ),
        Row(
            "Process",
            (
                Panel(
                    "Event loop lag",
                    "Above half a second people feel it.",
                    (("max by (pod) (nodejs_eventloop_lag_seconds)", "{{pod}}"),),
                    "s",
                ),
                Panel(
                    "Memory",
                    "Heap in use and the whole process.",
                    (
                        ("max by (pod) (nodejs_heap_size_used_bytes)", "heap {{pod}}"),
                        ('max by (pod) (process_resident_memory_bytes{namespace="rocketchat"})', "{{pod}}"),
                    ),
                    "bytes",
                ),
                Panel(
                    "CPU",
                    "Cores in use by container.",
                    (
                        (
                            "sum by (container) (rate(container_cpu_usage_seconds_total"
                            f'{{namespace="rocketchat", container!=""}}[{RATE}]))',
                            "{{container}}",
                        ),
                    ),
                ),
            ),
        ),
    )
    return Dashboard("groundcrew-rocketchat", "Rocket.Chat", "Whether it answers, for whom, and how busy it is", rows)


def mongodb_page() -> Dashboard:
    """Is it up, can it be written, how far does the oplog reach, is there room."""
    rows = (
        Row(
            "State",
            (
                _stat("Up", "The exporter reaches MongoDB.", "min(mongodb_up)", "bool", (RED, None), (GREEN, 1)),
                _stat(
                    "Primaries",
                    "Exactly one member is primary; with none nothing can be written.",
                    "count(max by (namespace, pod) (mongodb_mongod_replset_my_state) == 1) or vector(0)",
                    "short",
                    (RED, None),
                    (GREEN, 1),
                    (RED, 2),
                ),
                _stat(
                    "Oplog window",
                    "From the oldest to the newest entry; the capture must read an entry before it leaves.",
                    "max(mongodb_mongod_replset_oplog_head_timestamp) - max(mongodb_mongod_replset_oplog_tail_timestamp)",
                    "s",
                    (RED, None),
                    (YELLOW, 6 * HOUR),
                    (GREEN, DAY),
                ),
                _stat(
                    "Disk free",
                    "Of the fullest file system of the machine.",
                    'min(node_filesystem_avail_bytes{fstype=~"ext4|xfs"} / node_filesystem_size_bytes{fstype=~"ext4|xfs"})',
                    "percentunit",
                    (RED, None),
                    (YELLOW, 0.1),
                    (GREEN, 0.2),
                ),
            ),
        ),
        Row(
            "Work",
            (
                Panel(
                    "Operations",
                    "Per second by kind.",
                    (
                        (
                            f"sum by (legacy_op_type) (rate(mongodb_ss_opcounters[{RATE}]))",
                            "{{legacy_op_type}}",
                        ),
                    ),
                    "ops",
                ),
                Panel(
                    "Connections",
                    "Open now; the limit is what is open and available together.",
                    (('max by (pod) (mongodb_ss_connections{conn_type="current"})', "{{pod}}"),),
                ),
                Panel(
                    "Refused connections and asserts",
                    "Per second; both should be zero.",
                    (
                        (
                            f'sum(rate(mongodb_ss_connections{{conn_type="rejected"}}[{RATE}]))',
                            "refused connections",
                        ),
                        (f"sum by (assert_type) (rate(mongodb_ss_asserts[{RATE}]))", "{{assert_type}}"),
                    ),
                    "ops",
                ),
            ),
        ),
        Row(
            "Memory and replication",
            (
                Panel(
                    "Cache",
                    "Share of WiredTiger's cache in use; about 80 % is normal, near 100 % it evicts while it serves.",
                    (
                        (
                            "max by (pod) (mongodb_ss_wt_cache_bytes_currently_in_the_cache)"
                            " / max by (pod) (mongodb_ss_wt_cache_maximum_bytes_configured)",
                            "{{pod}}",
                        ),
                    ),
                    "percentunit",
                ),
                Panel(
                    "Container memory",
                    "Working set of MongoDB's container.",
                    (('max by (pod) (container_memory_working_set_bytes{container="mongodb"})', "{{pod}}"),),
                    "bytes",
                ),
                Panel(
                    "Replication lag",
                    "None with a single member.",
                    (("max by (name) (mongodb_mongod_replset_member_replication_lag)", "{{name}}"),),
                    "s",
                ),
            ),
        ),
    )
    return Dashboard("groundcrew-mongodb", "MongoDB", "Up, writable, with an oplog that is long enough", rows)


def groundcrew_page() -> Dashboard:
    """May I sleep: the newest backup, its proof, the capture; then machines, deploys, jobs."""
    rows = (
        Row(
            "May I sleep",
            (
                _age("Newest good backup", "Age of its data.", "groundcrew_backup_last_success_timestamp_seconds", 36 * HOUR),
                _age("Newest proven backup", "Age of the newest data that a drill restored.", "groundcrew_drill_proven_backup_timestamp_seconds", 8 * DAY),
                _age("Oplog captured until", "Any second before it can be restored.", "groundcrew_oplog_captured_until_timestamp_seconds", HOUR),
                _stat("Gap in the capture", "0 is good; a new base closes a gap.", "max(groundcrew_oplog_gap)", "short", (GREEN, None), (RED, 1)),
                _stat("Critical alerts", "Firing now.", 'count(ALERTS{alertstate="firing", severity="critical"}) or vector(0)', "short", (GREEN, None), (RED, 1)),
            ),
        ),
        Row(
            "Backups and drills",
            (
                Panel("Size as stored", "Of the newest good set; a sudden change wants a look.", (("groundcrew_backup_stored_bytes", "stored"),), "bytes"),
                Panel(
                    "Durations",
                    "How long the newest backup and the newest restore took (RTO), and what a restore would have lost (RPO).",
                    (
                        ("groundcrew_backup_duration_seconds", "backup"),
                        ("groundcrew_drill_restore_duration_seconds", "restore"),
                        ("groundcrew_drill_data_loss_seconds", "data loss"),
                    ),
                    "s",
                ),
                Panel("Sets by state", "Foreign ones were not written by us.", (("groundcrew_backup_sets", "{{state}}"),)),
            ),
        ),
        Row(
            "Snapshots and certificates",
            (
                Panel("Age of the newest snapshot", "By disk.", (("time() - groundcrew_snapshot_last_success_timestamp_seconds", "{{disk}}"),), "s"),
                Panel("Snapshots", "Good ones by disk.", (("groundcrew_snapshots", "{{disk}}"),)),
                Panel("Certificates expire in", "By host, as scanned from outside.", (("groundcrew_certificate_expiry_timestamp_seconds - time()", "{{host}}"),), "s"),
            ),
        ),
        Row(
            "Machines and deploys",
            (
                Panel(
                    "Planned and running",
                    "Both lines together: it runs when it should, and not longer.",
                    (
                        ("groundcrew_power_planned_up", "planned {{machine}}"),
                        ('groundcrew_power_state{state="running"}', "running {{machine}}"),
                    ),
                ),
                Panel("Next change in", "When the plan changes next.", (("groundcrew_power_next_change_timestamp_seconds - time()", "{{machine}}"),), "s", "stat"),
                Panel(
                    "Deploys",
                    "Time since the newest that succeeded, and since the newest that failed.",
                    (
                        ("time() - groundcrew_deploy_last_success_timestamp_seconds", "succeeded {{release}}"),
                        ("time() - groundcrew_deploy_last_failure_timestamp_seconds", "failed {{release}}"),
                    ),
                    "s",
                    "stat",
                ),
                Panel("Drifted objects", "Changed by hand since the last deploy.", (("groundcrew_deploy_drifted_objects", "{{release}}"),), "short", "stat"),
            ),
        ),
        Row(
            "Jobs",
            (
                Panel("Time since the last success", "By job.", (("time() - groundcrew_job_last_success_timestamp_seconds", "{{job_name}}"),), "s"),
                Panel("Poison messages", "Each failed five times.", (("groundcrew_queue_poison_messages", "{{queue}}"),)),
                Panel("State that could not be read", "0 where Groundcrew could not read its own state.", (("groundcrew_collector_success", "{{collector}}"),)),
                Panel("Version", "Which version answers.", (("groundcrew_build_info", "{{version}}"),), "short", "table"),
            ),
        ),
    )  # fmt: skip
    return Dashboard("groundcrew", "Groundcrew", "Backups, proofs, machines, deploys and jobs", rows, since="now-7d")


def _age(title: str, about: str, instant: str, alarm: int) -> Panel:
    return _stat(title, about, f"time() - max({instant})", "s", (GREEN, None), (YELLOW, alarm * 0.75), (RED, alarm))


def pages(goal: Objective) -> tuple[Dashboard, ...]:
    """All dashboards."""
    return (rocketchat_page(goal), mongodb_page(), groundcrew_page())
