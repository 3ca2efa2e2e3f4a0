"""`FeatureCompatibility`: the fake and the adapter over the embedded MongoDB, with a user of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pymongo
import pytest

from local.fakes.features import MemoryFeatures
from local.mongodb import MongoServer
from shared.adapters.mongodb import connect_features
from shared.adapters.mongodb.features import parse_features
from shared.kernel.errors import GroundcrewError, Refused
from shared.kernel.versions import Version
from shared.mongodb.feature_port import FeatureCompatibility


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    folder = tmp_path_factory.mktemp("mongodb")
    with (
        MongoServer(folder, ttl_monitor=False) as first,
        pymongo.MongoClient[dict[str, object]](first.uri, directConnection=True) as client,
    ):
        # SecantusDB's clusterAdmin has what mongod's clusterManager has of this.
        for name, role in (("raiser", "clusterAdmin"), ("reader", "clusterMonitor"), ("nobody", "read")):
            roles = [{"role": role, "db": "admin"}]
            client.admin.command("createUser", name, pwd=f"{name}-password", roles=roles)
    with MongoServer(folder, auth=True, ttl_monitor=False) as closed:
        yield closed


def uri(server: MongoServer, user: str) -> str:
    return f"mongodb://{user}:{user}-password@127.0.0.1:{server.port}/?authSource=admin&directConnection=true"


@pytest.fixture(params=["memory", "mongodb"])
def server(request: pytest.FixtureRequest) -> Iterator[FeatureCompatibility]:
    """A server of 8.2 whose features are those of 8.0."""
    if request.param == "memory":
        yield MemoryFeatures()
        return
    real: MongoServer = request.getfixturevalue("embedded")
    with pymongo.MongoClient[dict[str, object]](uri(real, "raiser")) as client:
        client.admin.command({"setFeatureCompatibilityVersion": "8.0", "confirm": True})
    connected = connect_features(uri(real, "raiser"))
    yield connected
    connected.close()


def test_it_is_raised_to_the_series_that_runs_and_again_without_harm(server: FeatureCompatibility) -> None:
    before = server.read()
    version = Version.parse(before.server)
    assert version is not None
    assert (before.features, before.target, before.members) == ("8.0", "", 1)
    server.raise_to(version.series)
    server.raise_to(version.series)
    assert server.read().features == version.series


def test_what_is_not_next_is_refused(server: FeatureCompatibility) -> None:
    with pytest.raises(GroundcrewError):
        server.raise_to("9.9")
    assert server.read().features == "8.0"


def test_the_version_belongs_to_the_data_and_survives_a_restart(tmp_path) -> None:
    with MongoServer(tmp_path, ttl_monitor=False) as server:
        connected = connect_features(f"{server.uri}?directConnection=true")
        with pymongo.MongoClient[dict[str, object]](server.uri, directConnection=True) as client:
            client.admin.command({"setFeatureCompatibilityVersion": "8.0", "confirm": True})
        server.restart()
        assert connected.read().features == "8.0"
        connected.close()


@pytest.mark.parametrize("user", ["reader", "nobody"])
def test_who_may_not_raise_it_is_told_which_roles_are_missing(embedded: MongoServer, user: str) -> None:
    connected = connect_features(uri(embedded, user))
    with pytest.raises(Refused, match=r"does not (let|tell)") as raised:
        connected.raise_to("8.2")
    assert "clusterManager" in raised.value.hint
    connected.close()


def test_without_the_confirmation_a_server_refuses_as_mongod_does(embedded: MongoServer) -> None:
    with (
        pymongo.MongoClient[dict[str, object]](uri(embedded, "raiser")) as client,
        pytest.raises(pymongo.errors.OperationFailure, match="confirm: true"),
    ):
        client.admin.command({"setFeatureCompatibilityVersion": "8.0"})


def test_a_change_on_its_way_is_told_by_its_target() -> None:
    halfway = {"featureCompatibilityVersion": {"version": "7.0", "targetVersion": "8.0"}, "ok": 1.0}
    assert parse_features(halfway) == ("7.0", "8.0")
    assert parse_features({"featureCompatibilityVersion": {"version": "8.0"}}) == ("8.0", "")
    assert parse_features({}) == parse_features({"featureCompatibilityVersion": "8.0"}) == ("", "")
