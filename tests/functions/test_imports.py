"""Which libraries the call of each trigger may import: a new one costs every fresh worker its CPU.

What a first call does import is less, and measured by `python -m bench --only package`.
"""

from __future__ import annotations

import pytest

from tests.support.reachable_imports import ImportWalk, list_libraries, list_triggers

# Blobs and queues need urllib3 alone; the others sign in on laptops, or are for a proxy.
STORAGE = "azure.core azure.identity certifi requests urllib3"
# Records are signed, and checked by schemas that the package has prepared without pydantic.
SEALS = "cryptography pydantic pydantic_core"
SETS = "bson fastcrc xxhash zstandard"
DATABASE = "bson pymongo"
# Only where a manifest is wrong.
SCHEMAS = "jsonschema referencing"
# Only where the policy cannot be read, of which every address is told.
UNREADABLE = "pydantic"

MAY_IMPORT = {
    "alerts": f"{STORAGE} {UNREADABLE} apprise",
    "send_notifications": f"{STORAGE} {UNREADABLE} apprise",
    "nightly_backup": f"{STORAGE} {SEALS} {SETS} {DATABASE} apprise azure.mgmt yaml",
    "backup_part": f"{STORAGE} {SEALS} {SETS} {DATABASE} apprise azure.mgmt yaml",
    "lockout_calendar": f"{STORAGE} {SEALS} {SETS} {DATABASE} apprise azure.mgmt yaml",
    "calendar_page": f"{STORAGE}",
    "calendar_feed": f"{STORAGE}",
    "certificate_scan": f"{STORAGE} {SEALS} apprise azure.mgmt yaml",
    "on_vault_event": f"{STORAGE} {SEALS} {SETS} {DATABASE} apprise azure.mgmt websocket yaml",
    "chatops": f"{STORAGE}",
    "chatops_signed_in": f"{STORAGE}",
    "chatops_answer": f"{STORAGE} {SEALS} {SETS} {DATABASE} {SCHEMAS} apprise azure.mgmt websocket yaml",
    "chat_command": f"{STORAGE} {SEALS} {SETS} {DATABASE} {SCHEMAS} apprise azure.mgmt websocket yaml",
    "cost_report": f"{STORAGE} {SEALS} apprise azure.mgmt",
    "github_webhook": f"{STORAGE} cryptography pydantic_core",
    "deploy_run": f"{STORAGE} {SEALS} {DATABASE} {SCHEMAS} xxhash zstandard apprise azure.mgmt websocket"
    " yaml",
    "drift_check": f"{STORAGE} {SEALS} {DATABASE} {SCHEMAS} xxhash zstandard apprise azure.mgmt websocket"
    " yaml",
    "deploy_page": f"{STORAGE}",
    "doctor": f"{STORAGE} {SEALS} {SETS} {DATABASE} {SCHEMAS} apprise azure.mgmt websocket yaml",
    "restore_drill": f"{STORAGE} {SEALS} {SETS} {DATABASE} {SCHEMAS} apprise azure.mgmt websocket yaml",
    "hardening_audit": f"{STORAGE} {DATABASE} {UNREADABLE} apprise azure.mgmt cryptography websocket yaml",
    "health": "",
    "health_report": f"{STORAGE} {SEALS} {SETS} {DATABASE} {SCHEMAS} apprise azure.mgmt websocket yaml",
    "health_page": f"{STORAGE} {SEALS} {SETS} {DATABASE} {SCHEMAS} apprise azure.mgmt websocket yaml",
    "oplog_capture": f"{STORAGE} {SEALS} {DATABASE} apprise azure.mgmt xxhash yaml zstandard",
    "power_tick": f"{STORAGE} {SEALS} {SETS} {DATABASE} apprise azure.mgmt websocket yaml",
    "on_vm_event": f"{STORAGE} {SEALS} {SETS} {DATABASE} apprise azure.mgmt websocket yaml",
    "wake": f"{STORAGE} {SEALS} {SETS} {DATABASE} apprise azure.mgmt websocket yaml",
    "rehearsal_run": f"{STORAGE} {SEALS} {SETS} {DATABASE} {SCHEMAS} apprise azure.mgmt websocket yaml",
    "retention": f"{STORAGE} {SEALS}",
    "secrets_rotation": f"{STORAGE} {SEALS} {SETS} {DATABASE} apprise azure.mgmt websocket yaml",
    "snapshot_cycle": f"{STORAGE} {DATABASE} {UNREADABLE} apprise azure.mgmt",
    "catch_up": f"{STORAGE} {SEALS} {SETS} {DATABASE} {SCHEMAS} apprise azure.mgmt websocket yaml",
    "tick": f"{STORAGE} {SEALS} {SETS} {DATABASE} {SCHEMAS} apprise azure.mgmt websocket yaml",
    "status": f"{STORAGE} {SEALS} {SETS}",
    "status_report": f"{STORAGE} {SEALS} {SETS}",
    "badge": f"{STORAGE} {SETS} cryptography",
    "metrics": f"{STORAGE} {SEALS} {SETS} prometheus_client",
}


def test_every_trigger_has_its_list() -> None:
    assert sorted(MAY_IMPORT) == sorted(list_triggers())


@pytest.mark.parametrize("trigger", sorted(MAY_IMPORT))
def test_a_trigger_imports_no_library_that_is_not_on_its_list(trigger: str) -> None:
    """Take off the list what it needs no more; put on it what is worth its CPU in each fresh worker."""
    assert sorted(list_libraries(trigger)) == sorted(set(MAY_IMPORT[trigger].split()))


def test_an_import_is_found_wherever_the_call_leads() -> None:
    assert "urllib3" in list_libraries("badge")  # of the adapter, in a method
    assert list_libraries("health") == set()
    walk = ImportWalk()
    walk.follow("shared.wiring", "open_state")
    assert "pymongo" not in walk.libraries
    walk.follow("shared.wiring.backup", "backup_deps")  # a lambda in what it gives
    assert "pymongo" in walk.libraries
