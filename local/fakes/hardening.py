"""What is audited, in memory: a chat, a cluster, a network. `failure` is raised by every call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from local.rocketchat.rest.state import DEFAULTS, PROVIDER_DEFAULTS
from shared.hardening.host import ObservedHost
from shared.hardening.model import ObservedChat, ObservedNamespace, ObservedNetwork
from shared.kernel.errors import GroundcrewError, NotFound, Unavailable


class MemoryChatPosture:
    """`ChatPosture` and `ChatSettingsWriter`; `seen` is what is there, the server's defaults at first.

    Settings in `overwritten` go back to what they were as soon as they are set.
    """

    def __init__(self) -> None:
        self.seen = ObservedChat(dict(DEFAULTS), {}, (), ())
        self.failure: GroundcrewError | None = None
        self.overwritten: set[str] = set()
        self.written: list[tuple[str, Any]] = []

    def read_chat(self, settings: Sequence[str]) -> ObservedChat:
        """See `ChatPosture.read_chat`."""
        if self.failure is not None:
            raise self.failure
        wanted = {name: value for name, value in self.seen.settings.items() if _is_asked(name, settings)}
        return replace(self.seen, settings=wanted)

    def add_provider(self, name: str) -> None:
        """See `ChatSettingsWriter.add_provider`."""
        base = f"Accounts_OAuth_Custom-{name[:1].upper()}{name[1:]}"
        fresh = {f"{base}{end}": value for end, value in PROVIDER_DEFAULTS.items()}
        self.seen = replace(self.seen, settings={**fresh, **self.seen.settings})

    def set_setting(self, setting: str, value: Any) -> None:
        """See `ChatSettingsWriter.set_setting`."""
        if setting not in self.seen.settings:
            raise NotFound("Rocket.Chat has no such setting, or hides it", value=setting)
        self.written.append((setting, value))
        if setting not in self.overwritten:
            self.seen = replace(self.seen, settings={**self.seen.settings, setting: value})


class MemoryPosture:
    """`ClusterPosture`, `NetworkPosture` and `HostPosture`."""

    def __init__(self) -> None:
        self.namespaces: dict[str, ObservedNamespace] = {}
        self.network = ObservedNetwork((), ())
        self.machines: dict[str, ObservedHost] = {}
        self.failure: GroundcrewError | None = None

    def read_namespace(self, namespace: str) -> ObservedNamespace:
        """See `ClusterPosture.read_namespace`."""
        if self.failure is not None:
            raise self.failure
        return self.namespaces[namespace]

    def read_network(self) -> ObservedNetwork:
        """See `NetworkPosture.read_network`."""
        if self.failure is not None:
            raise self.failure
        return self.network

    def read_host(self, name: str) -> ObservedHost:
        """See `HostPosture.read_host`."""
        if self.failure is not None:
            raise self.failure
        if name not in self.machines:
            raise NotFound("there is no machine of this name", value=name)
        return self.machines[name]


class MemoryMetadata:
    """`MetadataSource`: what each address answers with."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}

    def fetch_metadata(self, url: str) -> bytes:
        """See `MetadataSource.fetch_metadata`."""
        if url not in self.documents:
            raise Unavailable("the provider does not answer", value=url)
        return self.documents[url]


def _is_asked(name: str, settings: Sequence[str]) -> bool:
    return name in settings or name.startswith(("Accounts_OAuth_Custom-", "SAML_Custom_Default"))
