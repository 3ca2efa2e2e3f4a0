"""The outside systems of the audit: what the chat, the cluster and the network are set to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from shared.hardening.host import ObservedHost
from shared.hardening.model import ObservedChat, ObservedNamespace, ObservedNetwork


class ChatPosture(Protocol):
    """Reads the chat's database. Raises `Unavailable`, `Refused`."""

    def read_chat(self, settings: Sequence[str]) -> ObservedChat:
        """These settings and those of sign-on, permissions, administrators, tokens, webhooks. No secret."""
        ...


class ClusterPosture(Protocol):
    """Reads the cluster. Raises `Unavailable`, `Refused`, `NotFound`."""

    def read_namespace(self, namespace: str) -> ObservedNamespace:
        """The namespace's pod security level, and its workloads."""
        ...


class NetworkPosture(Protocol):
    """Reads the network around the machine. Raises `Unavailable`, `Refused`."""

    def read_network(self) -> ObservedNetwork:
        """Its security groups and interfaces."""
        ...


class HostPosture(Protocol):
    """Looks into machines. Raises `Unavailable`, `Refused` (one that is off), `Conflict`, `NotFound`."""

    def read_host(self, name: str) -> ObservedHost:
        """What the machine of that name says of itself. Changes nothing on it."""
        ...


class MetadataSource(Protocol):
    """Fetches what providers of sign-on publish. Raises `Unavailable`, `Refused`."""

    def fetch_metadata(self, url: str) -> bytes:
        """The document at an https address: bounded, and without following redirects."""
        ...


class ChatSettingsWriter(Protocol):
    """Changes settings of the chat. Raises `Refused`, `NotFound`, `Unavailable`."""

    def add_provider(self, name: str) -> None:
        """Make the settings of a provider of OAuth; one that is there stays as it is."""
        ...

    def set_setting(self, setting: str, value: Any) -> None:
        """As an administrator would in its pages."""
        ...
