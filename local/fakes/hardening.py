"""What is audited, in memory: a chat, a cluster, a network. `failure` is raised by every call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from local.rocketchat.rest.state import DEFAULTS
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

    def set_setting(self, setting: str, value: Any) -> None:
        """See `ChatSettingsWriter.set_setting`."""
        if setting not in self.seen.settings:
            raise NotFound("Rocket.Chat has no such setting, or hides it", value=setting)
        self.written.append((setting, value))
        if setting not in self.overwritten:
            self.seen = replace(self.seen, settings={**self.seen.settings, setting: value})


class MemoryPosture:
    """`ClusterPosture` and `NetworkPosture`."""

    def __init__(self) -> None:
        self.namespaces: dict[str, ObservedNamespace] = {}
        self.network = ObservedNetwork((), ())
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
