"""The wiring of MongoDB's feature compatibility version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.kernel.errors import UsageError
from shared.settings import definitions
from shared.settings.environment import all_or_nothing, parse_setting, read_environment
from shared.wiring import load_policy, open_state, system_clock

if TYPE_CHECKING:
    from shared.deploy.features.decide import SealedBackup
    from shared.deploy.features.deps import FeatureDeps
    from shared.health.ports import Health
    from shared.mongodb.feature_port import FeatureCompatibility


def feature_deps() -> FeatureDeps:
    """What raising it depends on; works without deploys, too. Raises UsageError, Unavailable."""
    from shared.deploy.deps import lease_name
    from shared.deploy.features.deps import FeatureDeps
    from shared.deploy.records.watermarks import WatermarkStore
    from shared.wiring.deploy import compatible_mongodb
    from shared.wiring.notifications import build_notifier
    from shared.wiring.people import open_approvals

    read = all_or_nothing(
        server=_connect_server,
        state=open_state,
        notifications=build_notifier,
        compatible_mongodb=compatible_mongodb,
    )
    rules = load_policy().deploy
    return FeatureDeps(
        clock=system_clock(),
        approvals=open_approvals,
        approval_timeout=rules.approval_timeout,
        lease_name=lease_name(rules.namespace, rules.release),
        watermarks=WatermarkStore(read["state"], rules.namespace, rules.release),
        backups=_list_backups,
        chat_version=_deployed_version,
        chat_health=_check_chat,
        **read,
    )


def _connect_server() -> FeatureCompatibility:
    """As the user of GROUNDCREW_MONGODB_ADMIN_URI: that of backups may not set anything."""
    from shared.adapters.mongodb import connect_features

    admin = read_environment().secret(definitions.MONGODB_ADMIN)
    if not admin:
        example = f"For example: {definitions.MONGODB_ADMIN.example}"
        raise UsageError(f"{definitions.MONGODB_ADMIN.name} is not set", hint=example)
    return parse_setting(definitions.MONGODB_ADMIN, connect_features, admin.reveal())


def _list_backups() -> Sequence[SealedBackup]:
    """The good sets, newest first, back to the first that is older than the days that are looked at."""
    from shared.backup.catalogue import SetState
    from shared.deploy.features.decide import WELL_FOR, SealedBackup
    from shared.wiring.backup import trusted_catalogue

    backups: list[SealedBackup] = []
    # Newest first, and no further than needed: each entry is a manifest that is read and verified.
    for entry in trusted_catalogue().newest_first():
        if entry.state is not SetState.SEALED:
            continue
        server = entry.manifest.source.server_version
        backups.append(SealedBackup(entry.info.reference, entry.info.created, server))
        if system_clock().now() - entry.info.created > WELL_FOR:
            break
    return backups


def _deployed_version() -> str:
    from shared.deploy.records.deployed import DeployedLedger

    ledger, environments = DeployedLedger(open_state()), load_policy().deploy.environments
    # The environment that a merge goes to: this server is that one.
    return ledger.read(environments[0]).version


def _check_chat(version: str) -> Health:
    """Whether that version runs; where no deploy is on record, whether any does."""
    from shared.adapters.chat_probe.health import connect_health
    from shared.adapters.chat_probe.smoke import connect_smoke
    from shared.health.ports import Health

    url = read_environment().get(definitions.CHAT)
    if not url:
        # Unknown is not well: nobody could say what broke when the older MongoDB is gone.
        return Health(False, f"unknown, as {definitions.CHAT.name} is not set")
    if not version:
        return parse_setting(definitions.CHAT, connect_health, url).check()
    return parse_setting(definitions.CHAT, connect_smoke, url).check_release(version)
