"""Moves plaintext secrets of the official chart's values into Secrets that the values then name. Pure.

Which value becomes which key of which Secret is what the chart's templates read (7.0.2: chat-deployment.yaml,
secret.yaml, _helpers.tpl; Bitnami's MongoDB chart: `auth.existingSecret`). Nothing else of the file is
touched: comments, order and layout stay. What has no place in the chart to be named from is left, and told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import yaml

from shared.deploy.chart.secret_scan import find_values_secrets
from shared.formats.chartyaml import read_values
from shared.formats.yaml_edit import TextEdits
from shared.kernel.errors import Refused
from shared.kernel.redact import holds_secret, names_secret

_AUTH_KEYS = {
    "mongodb-root-password": "rootPassword", "mongodb-passwords": "passwords",
    "mongodb-replica-set-key": "replicaSetKey",
}  # fmt: skip
_SMTP = ("username", "password", "host", "port")


@dataclass(frozen=True, slots=True)
class MovedSecrets:
    """The values without secrets, and the Secrets that they name.

    - `secrets`: by the Secret's name, its keys and values. Never shown.
    - `moved`: which value went where, in words; `left`: what stays in plain text, and why.
    """

    values: str
    secrets: Mapping[str, Mapping[str, str]] = field(repr=False)
    moved: tuple[str, ...]
    left: tuple[str, ...]

    def manifest(self, namespace: str) -> dict[str, Any]:
        """The Secrets as one list of Kubernetes objects."""
        items = [
            {
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
                "stringData": dict(keys),
            }
            for name, keys in self.secrets.items()
        ]  # fmt: skip
        return {"apiVersion": "v1", "kind": "List", "items": items}


def move_secrets(text: str, name: str, release: str) -> MovedSecrets:
    """What of one values file can be moved. Raises Refused for what is no YAML of values."""
    values = read_values(text, name).values
    # Sealed values are no plain text, and moving them would seal a ciphertext.
    if "sops" in values:
        raise Refused(f"{name} is encrypted already", hint="groundcrew secrets open shows it.")
    mover = _Mover(TextEdits(text, name), values, release)
    mover.move_all()
    changed = mover.edits.text()
    after = read_values(changed, name)
    # Looked at again after the move: what is still plain is told, and never called moved.
    rest = [
        f"{one.where}, line {one.line}" for one in find_values_secrets(after.values, after.lines, file=name)
    ]
    return MovedSecrets(changed, mover.secrets, tuple(mover.moved), (*mover.left, *rest))


@dataclass
class _Mover:
    edits: TextEdits
    values: Mapping[str, Any]
    release: str
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    moved: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def move_all(self) -> None:
        """Each by itself: one that cannot be moved keeps none of the others."""
        for move in (self._move_mongodb, self._move_uri, self._move_smtp, self._move_settings):
            move()

    def _move_mongodb(self) -> None:
        """All three keys or none: Bitnami's chart takes every password from the Secret then."""
        auth = _section(self.values, "mongodb", "auth")
        held = {key: _as_text(auth.get(value)) for key, value in _AUTH_KEYS.items()}
        # Nothing to move, or moved before: a second run changes nothing.
        if not any(held.values()) or auth.get("existingSecret"):
            return
        missing = [key for key, value in held.items() if not value]
        if missing:
            secret = f"{self.release}-mongodb"
            self.left.append(
                f"mongodb.auth: {', '.join(missing)} is not in the values, so the chart made it up; copy it"
                f" from the Secret {secret} first"
            )
            return
        name = f"{self.release}-mongodb-auth"
        paths = [("mongodb", "auth", value) for value in _AUTH_KEYS.values()]
        if not self._replace(paths, ("existingSecret", name), name, held):
            return
        if not self.values.get("externalMongodbUrl") and not self.values.get("existingMongodbSecret"):
            self._name_uri(auth, held["mongodb-passwords"])

    def _name_uri(self, auth: Mapping[str, Any], passwords: str) -> None:
        """The chart would put the URI together from a password that is no longer there."""
        mongodb = _section(self.values, "mongodb")
        user = _first(auth.get("usernames")) or "rocketchat"
        database = _first(auth.get("databases")) or "rocketchat"
        port = _section(mongodb, "service", "ports").get("mongodb") or 27017
        replica_set = mongodb.get("replicaSetName") or "rs0"
        # Percent-encoded: a password with `@` would end the host's part too early.
        credential = f"{quote(user, safe='')}:{quote(passwords.partition(',')[0], safe='')}"
        host = f"{self.release}-mongodb-headless:{port}"
        uri = f"mongodb://{credential}@{host}/{database}?replicaSet={replica_set}"
        name = f"{self.release}-mongodb-uri"
        self.secrets[name] = {"mongo-uri": uri}
        self.edits.append(f"existingMongodbSecret: {name}")
        self.moved.append(f"the URI that the chart made of them -> Secret {name}: mongo-uri")

    def _move_uri(self) -> None:
        uri = _as_text(self.values.get("externalMongodbUrl"))
        if uri and not self.values.get("existingMongodbSecret"):
            name = f"{self.release}-mongodb-uri"
            keys = {"mongo-uri": uri}
            self._replace([("externalMongodbUrl",)], ("existingMongodbSecret", name), name, keys)

    def _move_smtp(self) -> None:
        smtp = _section(self.values, "smtp")
        # Without a password there is no secret in it: a relay within the cluster asks for none.
        if not _as_text(smtp.get("password")) or smtp.get("existingSecret"):
            return
        user, password = (quote(_as_text(smtp.get(key)), safe="") for key in ("username", "password"))
        url = f"smtp://{user}:{password}@{_as_text(smtp.get('host'))}:{smtp.get('port') or 587}"
        name = f"{self.release}-smtp"
        paths = [("smtp", key) for key in _SMTP if key in smtp]
        self._replace(paths, ("existingSecret", name), name, {"mail-url": url})

    def _move_settings(self) -> None:
        """Variables with a secret, and the licence: all keys of one Secret become variables."""
        name = _as_text(self.values.get("extraSecret")) or f"{self.release}-settings"
        keys: dict[str, str] = {}
        license_ = _as_text(self.values.get("license"))
        # Only what could be taken out is added elsewhere: in both places it would still lie open.
        if license_ and self.edits.remove(("license",)):
            keys["ROCKETCHAT_LICENSE"] = license_
            self.moved.append(f"license -> Secret {name}: ROCKETCHAT_LICENSE")
        for index, variable, value in self._secret_variables():
            if self.edits.remove(("extraEnv", index)):
                keys[variable] = value
                self.moved.append(f"extraEnv: {variable} -> Secret {name}: {variable}")
        if not keys:
            return
        if self.values.get("extraSecret"):
            # There is such a Secret: ours would be another of its name.
            self.left.append(f"add to the Secret {name}, which is there already: {', '.join(sorted(keys))}")
        else:
            self.edits.append(f"extraSecret: {name}")
        self.secrets[name] = keys

    def _secret_variables(self) -> Iterator[tuple[int, str, str]]:
        listed = self.values.get("extraEnv")
        for index, one in enumerate(listed if isinstance(listed, Sequence) else ()):
            variable = _as_text(one.get("name")) if isinstance(one, Mapping) else ""
            value = _as_text(one.get("value")) if isinstance(one, Mapping) else ""
            # By name or by look, as the scanner judges: what it would find is what is moved.
            if variable and value and (names_secret(variable) or holds_secret(value)):
                yield index, variable, value

    def _replace(
        self, paths: Sequence[tuple[str, ...]], reference: tuple[str, str], name: str, keys: Mapping[str, str]
    ) -> bool:
        """The first value's line becomes the reference, the others go. False if the layout forbids it."""
        if not all(self.edits.can_remove(path) for path in paths):
            self.left.append(
                f"{'.'.join(map(str, paths[0]))}: written on one line with others; split it first"
            )
            return False
        self.edits.replace(paths[0], f"{reference[0]}: {reference[1]}")
        for path in paths[1:]:
            self.edits.remove(path)
        self.secrets[name] = dict(keys)
        words = ", ".join(".".join(map(str, path)) for path in paths)
        self.moved.append(f"{words} -> Secret {name}: {', '.join(keys)}")
        return True


def _section(values: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        inner = values.get(name)
        values = inner if isinstance(inner, Mapping) else {}
    return values


def _as_text(value: object) -> str:
    """A text or a number as it is, a list joined as Bitnami's Secret wants it; empty for anything else."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _first(value: object) -> str:
    return str(value[0]) if isinstance(value, list) and value else ""


def dump_manifest(manifest: Mapping[str, Any]) -> str:
    """The list of Secrets as YAML, to be sealed."""
    return yaml.safe_dump(dict(manifest), sort_keys=False, allow_unicode=True, width=1 << 20)
