"""The outside systems that contract tests talk to, started once for the session and only if a test asks."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from local.azurite import Azurite
from shared.storage_account import StorageAccount


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Microsoft's emulator of Azure Storage."""
    with Azurite(tmp_path_factory.mktemp("azurite")) as running:
        yield running


@pytest.fixture(scope="session")
def storage(request: pytest.FixtureRequest) -> StorageAccount:
    """The real account of GROUNDCREW_TEST_STORAGE (a connection string) if that is set, else Azurite."""
    real = os.environ.get("GROUNDCREW_TEST_STORAGE")
    return StorageAccount.by_connection_string(real or request.getfixturevalue("azurite").connection_string)


@pytest.fixture
def container(storage: StorageAccount) -> Iterator[str]:
    """The name of a container made for one test."""
    from azure.storage.blob import ContainerClient

    name = f"test-{uuid.uuid4().hex[:20]}"
    with ContainerClient.from_connection_string(storage.connection_string, name) as client:
        client.create_container()
        yield name
        client.delete_container()
