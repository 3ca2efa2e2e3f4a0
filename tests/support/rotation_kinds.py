"""One world for each kind of secret whose rules are ours: the real authority over its system in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from local.fakes.secret_systems import MemoryCredentials, MemoryIssuer, MemoryStorageKeys, MemoryTokenCluster
from local.fakes.secrets import MemoryHomes, MemoryReaders
from shared.formats.agekeys import generate_identity, parse_identities
from shared.formats.manifest import Signer
from shared.kernel.errors import GroundcrewError
from shared.kernel.secret import Secret
from shared.secrets_rotation import job
from shared.secrets_rotation.authorities.app_keys import AppPrivateKeys, split_keys
from shared.secrets_rotation.authorities.cluster_certificates import ClusterCertificates
from shared.secrets_rotation.authorities.cluster_tokens import ServiceAccountTokens
from shared.secrets_rotation.authorities.mail_passwords import MailPasswords
from shared.secrets_rotation.authorities.recipients import BackupRecipients
from shared.secrets_rotation.authorities.signing_keys import DrillKeys, SigningKeys
from shared.secrets_rotation.authorities.storage_keys import StorageKeys
from shared.secrets_rotation.deps import RotationDeps
from shared.secrets_rotation.model import RotationJournal
from shared.secrets_rotation.ports import CredentialAuthority
from tests.support.certificates import issue
from tests.support.rotation_world import CHAT, FIRST, NAME, NOW, World, entry

KINDS = (
    "signing-key", "drill-key", "storage-key", "service-account-token", "github-app-key", "smtp",
    "age-recipient", "tls",
)  # fmt: skip
LISTED = "key-vault:kv-chat/public"
KUBECONFIG = "users: [{name: groundcrew, user: {token: %s}}]"
MAIL = "smtp://chat:%s@mail.example.org:587"


@dataclass
class Side:
    """The other side of one kind.

    - `first`, `given`: what the home holds at first, and what a person gives; `listed`: the public halves.
    - `accepts`: whether who holds the value gets in; `is_void`: whether the first one is worth nothing now.
    """

    first: str
    authority: Callable[[Callable[[], list[Secret]], MemoryHomes], CredentialAuthority]
    accepts: Callable[[str, str], bool]
    is_void: Callable[[], bool] = lambda: True
    given: str = ""
    listed: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    others: Callable[[MemoryHomes], None] = lambda _homes: None  # what they do between two ticks


class KindWorld(World):
    """A secret with one home and one reader, and its public half where it has one."""

    def __init__(self, kind: str) -> None:
        self.kind, self.side = kind, SIDES[kind]()
        published = {"published": (LISTED,)} if self.side.listed else {}
        changes: dict[str, object] = {
            "kind": kind, "homes": (FIRST,), "readers": (CHAT,), "users": (), "automatic": False,
            "rotate_every": timedelta(days=90), **published, **self.side.fields,
        }  # fmt: skip
        super().__init__(entries=(entry(**changes),))
        values = {FIRST: self.side.first, **({LISTED: self.side.listed} if self.side.listed else {})}
        self.homes = MemoryHomes(self.clock, values)
        self.readers = MemoryReaders(self.homes, {CHAT: FIRST})
        self.authority: Any = self.side.authority(lambda: [Secret(self.listed)], self.homes)

    @property
    def listed(self) -> str:
        """What the list of public halves holds now."""
        return self.homes.value(LISTED) if self.side.listed else ""

    def rotate(self, deps: RotationDeps) -> RotationJournal:
        """As a person begins it."""
        given = Secret(self.side.given) if self.side.given else None
        return job.rotate_secret(deps, NAME, by="anna", given=given)

    def lockouts(self) -> list[str]:
        """Who would not get in now."""
        values = {CHAT: self.readers.running[CHAT], FIRST: self.homes.value(FIRST)}
        return [name for name, value in values.items() if not self.side.accepts(value, self.listed)]


def _signing() -> Side:
    first = Signer.generate()
    other = Signer.generate().public_text()

    def trusted(value: str, listed: str) -> bool:
        # An app trusts its own key; everybody else goes by the list.
        return Signer.parse(value).public_text() in listed or value == first.secret_text()

    return Side(first.secret_text(), lambda lists, _: SigningKeys(lists), trusted, listed=other)


def _drill() -> Side:
    secret, public = generate_identity(post_quantum=False)
    owner = generate_identity(post_quantum=False)[1]

    def opens(value: str, listed: str) -> bool:
        mine = {one.recipient() for one in parse_identities(value)}
        return bool(mine & set(listed.split(",")))

    return Side(secret, lambda lists, _: DrillKeys(lists), opens, listed=f"{owner},{public}")


def _storage() -> Side:
    keys = MemoryStorageKeys()
    connection = "DefaultEndpointsProtocol=https;AccountName=stchat;AccountKey=%s"
    first = keys.keys["key1"]

    def accepts(value: str, _listed: str) -> bool:
        return any(key in value for key in keys.keys.values())

    return Side(
        connection % first, lambda _lists, _homes: StorageKeys("stchat", keys, keys.open_account), accepts,
        lambda: first not in keys.keys.values(), fields={"account": "stchat"},
    )  # fmt: skip


def _token() -> Side:
    cluster = MemoryTokenCluster()
    first = KUBECONFIG % cluster.add_token("rocketchat", "groundcrew", "groundcrew-token-first")

    def accepts(value: str, _listed: str) -> bool:
        try:
            return bool(cluster.connect(Secret(value)).whoami())
        except GroundcrewError:
            return False

    return Side(
        first, lambda _lists, _homes: ServiceAccountTokens("rocketchat/groundcrew", cluster.connect), accepts,
        lambda: not accepts(first, ""), fields={"service_account": "rocketchat/groundcrew"},
    )  # fmt: skip


def _app() -> Side:
    pem = (
        "-----BEGIN RSA PRIVATE KEY-----\n%s\n-----END RSA PRIVATE KEY-----"  # groundcrew:allow-secret no key
    )
    first, second = pem % "first", pem % "second"
    github = MemoryCredentials(first, second)

    def accepts(value: str, _listed: str) -> bool:
        return any(github.is_accepted(key) for key in split_keys(Secret(value)))

    authority = AppPrivateKeys(github.is_accepted, lambda key: f"key {len(key.reveal())}")
    return Side(first + "\n", lambda _lists, _homes: authority, accepts, given=second)


def _mail() -> Side:
    first, second = MAIL % "first", MAIL % "second%2F"
    server = MemoryCredentials(first, second)

    def accepts(value: str, _listed: str) -> bool:
        return server.is_accepted(Secret(value))

    return Side(first, lambda _lists, _homes: MailPasswords(server.signs_in), accepts, given="second/")


def _recipient() -> Side:
    old, new, drill = (generate_identity(post_quantum=False)[1] for _ in range(3))
    authority = BackupRecipients(lambda: [new], [drill])

    def accepts(value: str, _listed: str) -> bool:
        return bool({old, new} & set(value.split(",")))

    return Side(f"{old},{drill}", lambda _lists, _homes: authority, accepts, given=new)


def _certificate() -> Side:
    def make() -> str:
        return issue("chat.example.org", start=NOW - timedelta(days=1)).pem.decode()

    issuer = MemoryIssuer(make)

    def connect(_lists: object, homes: MemoryHomes) -> CredentialAuthority:
        return ClusterCertificates(
            "rocketchat/chat", issuer.renew, lambda: Secret(homes.value(FIRST)), lambda: NOW
        )

    def write(homes: MemoryHomes) -> None:
        if issued := issuer.take_issued():
            homes.put(FIRST, issued, NOW)

    def accepts(value: str, _listed: str) -> bool:
        return "BEGIN CERTIFICATE" in value

    return Side(make(), connect, accepts, fields={"certificate": "rocketchat/chat"}, others=write)


SIDES: dict[str, Callable[[], Side]] = {
    "signing-key": _signing, "drill-key": _drill, "storage-key": _storage, "service-account-token": _token,
    "github-app-key": _app, "smtp": _mail, "age-recipient": _recipient, "tls": _certificate,
}  # fmt: skip
assert set(SIDES) == set(KINDS)
