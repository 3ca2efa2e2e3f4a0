"""The wiring of rotations: for each kind of secret, who says which credential is valid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from shared.kernel.errors import Refused, UsageError
from shared.settings import chat_definitions, definitions
from shared.settings.environment import read_environment
from shared.wiring import open_state, system_clock

if TYPE_CHECKING:
    from shared.kernel.secret import Secret
    from shared.policy import SecretEntry
    from shared.secrets_rotation.ports import CredentialAuthority, SecretHomes
    from shared.settings.setting import Setting


def connect_authority(entry: SecretEntry, homes: SecretHomes) -> CredentialAuthority:
    """Raises UsageError for what is missing to rotate a secret of this kind."""
    connectors: dict[str, Callable[[SecretEntry, SecretHomes], CredentialAuthority]] = {
        "mongodb-user": lambda one, _: _connect_mongodb_users(one),
        "rocketchat-token": lambda one, _: _connect_chat_tokens(one),
        "rocketchat-webhook": lambda one, _: _connect_outgoing_webhook(one),
        "github-webhook": lambda one, _: _connect_webhook(one),
        "github-app-key": lambda _one, _: _connect_app_keys(),
        "service-account-token": lambda one, _: _connect_cluster_tokens(one),
        "storage-key": lambda one, _: _connect_storage_keys(one),
        "signing-key": _connect_signing_keys,
        "drill-key": _connect_signing_keys,
        "age-recipient": lambda _one, _: _connect_recipients(),
        "smtp": lambda _one, _: _connect_mail(),
        "tls": _connect_certificates,
    }
    if entry.kind not in connectors:
        hint = "docs/runbooks/rotate-secrets.md says how it is done by hand."
        raise UsageError(f"a {entry.kind} is not rotated by Groundcrew", value=entry.name, hint=hint)
    return connectors[entry.kind](entry, homes)


def _require(setting: Setting) -> str:
    """A setting that a kind needs. Raises UsageError."""
    value = read_environment().get(setting)
    if not value:
        raise UsageError(f"{setting.name} is not set", hint=f"For example: {setting.example}")
    return value


def _connect_mongodb_users(entry: SecretEntry) -> CredentialAuthority:
    from shared.adapters.mongodb import connect_users

    # Another user than the one that is rotated: that one cannot change itself once its password is wrong.
    _require(definitions.MONGODB_ADMIN)
    return connect_users(read_environment().secret(definitions.MONGODB_ADMIN), entry.users)


def _connect_chat_tokens(entry: SecretEntry) -> CredentialAuthority:
    from shared.adapters.chat_admin import AccessTokens, connect_chat
    from shared.kernel.secret import Secret

    address = _require(definitions.CHAT)
    # Its own token is read from the homes, at each step anew.
    password = read_environment().secret(chat_definitions.ROCKETCHAT_PASSWORD)
    return AccessTokens(connect_chat(address, entry.user_id, Secret(""), password))


def _connect_outgoing_webhook(entry: SecretEntry) -> CredentialAuthority:
    """As the bot that Groundcrew answers as, which has to be allowed to change the webhook."""
    from shared.adapters.chat_admin import connect_chat
    from shared.adapters.chat_admin.outgoing_webhooks import OutgoingTokens, post_json

    address, user = _require(definitions.CHAT), _require(chat_definitions.ROCKETCHAT_USER)
    _require(chat_definitions.ROCKETCHAT_USER_TOKEN)
    env = read_environment()
    token, password = (
        env.secret(chat_definitions.ROCKETCHAT_USER_TOKEN), env.secret(chat_definitions.ROCKETCHAT_PASSWORD),
    )  # fmt: skip
    return OutgoingTokens(connect_chat(address, user, token, password), entry.integration, post_json)


def _connect_webhook(entry: SecretEntry) -> CredentialAuthority:
    from shared.adapters.github.hooks import connect_webhook
    from shared.wiring.deploy import github_credentials

    repository, _, hook = entry.hook.rpartition("/")
    url = read_environment().get(definitions.GITHUB)
    return connect_webhook(repository, hook, github_credentials(), system_clock(), url=url)


def _connect_app_keys() -> CredentialAuthority:
    from shared.adapters.github.app_keys import fingerprint_key, key_tester
    from shared.secrets_rotation.authorities.app_keys import AppPrivateKeys

    app, url = _require(definitions.GITHUB_APP), read_environment().get(definitions.GITHUB)
    return AppPrivateKeys(key_tester(app, system_clock(), url=url), fingerprint_key)


def _connect_cluster_tokens(entry: SecretEntry) -> CredentialAuthority:
    from shared.adapters.kubernetes.tokens import connect_tokens
    from shared.secrets_rotation.authorities.cluster_tokens import ServiceAccountTokens

    return ServiceAccountTokens(entry.service_account, connect_tokens, entry.lifetime)


def _connect_storage_keys(entry: SecretEntry) -> CredentialAuthority:
    from shared.adapters.storage_keys import account_opener, connect
    from shared.secrets_rotation.authorities.storage_keys import StorageKeys
    from shared.wiring.azure import build_credential

    env = read_environment()
    keys = connect(
        build_credential(), _require(definitions.SUBSCRIPTION), entry.account,
        group=_require(definitions.RESOURCE_GROUP), base_url=env.get(definitions.RESOURCE_MANAGER),
    )  # fmt: skip
    return StorageKeys(entry.account, keys, account_opener(entry.account), entry.lifetime)


def _connect_signing_keys(entry: SecretEntry, homes: SecretHomes) -> CredentialAuthority:
    from shared.secrets_rotation.authorities.signing_keys import DrillKeys, SigningKeys
    from shared.secrets_rotation.model import parse_home

    # Called at each step: another rotation may have changed a list meanwhile.
    def read_lists() -> Sequence[Secret]:
        return [homes.read(parse_home(text)).value for text in entry.published]

    return SigningKeys(read_lists) if entry.kind == "signing-key" else DrillKeys(read_lists)


def _connect_recipients() -> CredentialAuthority:
    """The owner's recipient; those of restore drills stay in the list beside it."""
    from shared.secrets_rotation.authorities.recipients import BackupRecipients
    from shared.wiring.restore import drill_recipients

    def drilled() -> Sequence[str]:
        from shared.backup.key_drill import read_key_drill

        # A recipient is active only after somebody opened a backup with its key: asked each time, as that is
        # the proof.
        last = read_key_drill(open_state())
        return last.recipients if last else ()

    return BackupRecipients(drilled, drill_recipients())


def _connect_mail() -> CredentialAuthority:
    from shared.adapters.mail_server import sign_in
    from shared.secrets_rotation.authorities.mail_passwords import MailPasswords

    return MailPasswords(sign_in)


def _connect_certificates(entry: SecretEntry, homes: SecretHomes) -> CredentialAuthority:
    from shared.adapters.kubernetes.certificates import connect_certificates
    from shared.secrets_rotation.authorities.cluster_certificates import ClusterCertificates
    from shared.secrets_rotation.model import parse_home
    from shared.wiring.kubernetes import read_kubeconfig

    # Renewed by cert-manager: a certificate that was put in by hand has no renewal to trigger.
    namespace, _, name = entry.certificate.partition("/")
    home = parse_home(entry.homes[0])
    # cert-manager writes both keys of it, and by the certificate one sees which is the new one.
    if home.key != "tls.crt":
        raise Refused("the home of a certificate is tls.crt of its Secret", value=home)
    cluster = connect_certificates(read_kubeconfig())
    return ClusterCertificates(
        entry.certificate,
        lambda: cluster.trigger_renewal(namespace, name, system_clock().now()),
        lambda: homes.read(home).value,
        system_clock().now,
    )
