"""What opens the webhook's endpoint and the metrics, what is deployed by them, and what the badge says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared.kernel.errors import UsageError
from shared.settings.timers import SCHEDULES
from shared.wiring import connect_endpoint_queues, load_policy, open_state
from shared.wiring.status import _timer_intervals, metrics_tokens, read_badge
from shared.wiring.webhook import build_intake, deploy_targets, webhook_secrets

NAMES = (
    "GROUNDCREW_GITHUB_WEBHOOK_SECRETS",
    "GROUNDCREW_METRICS_TOKEN",
    "GROUNDCREW_SCHEDULE_NIGHTLY_BACKUP",
    "AzureWebJobsStorage",
)
# Nobody listens there: what asks of storage fails at once.
NOWHERE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=MDAwMA==;"
    "BlobEndpoint=http://127.0.0.1:1/devstoreaccount1;QueueEndpoint=http://127.0.0.1:1/devstoreaccount1"
)
Configure = Callable[..., None]


def clear_caches() -> None:
    for cached in (
        load_policy,
        build_intake,
        metrics_tokens,
        _timer_intervals,
        open_state,
        connect_endpoint_queues,
    ):
        cached.cache_clear()


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    def write(policy: str = "{}", **settings: str) -> None:
        (tmp_path / "policy.yaml").write_text(policy)
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
        given = {"GROUNDCREW_POLICY": str(tmp_path / "policy.yaml"), "AzureWebJobsStorage": NOWHERE}
        for name, value in {**given, **settings}.items():
            monkeypatch.setenv(name, value)
        clear_caches()

    yield write
    clear_caches()


def test_one_or_two_secrets_are_valid_and_a_third_is_refused_without_being_quoted(configure) -> None:
    configure()
    assert webhook_secrets() == ()
    assert build_intake().secrets == (), "made all the same, and closed"
    configure(GROUNDCREW_GITHUB_WEBHOOK_SECRETS="new, old")
    assert webhook_secrets() == ("new", "old")
    configure(GROUNDCREW_GITHUB_WEBHOOK_SECRETS="new old older")
    with pytest.raises(UsageError, match="has 3 secrets") as caught:
        webhook_secrets()
    assert "older" not in str(caught.value)


def test_what_policy_deploys_is_the_one_target_and_nothing_where_deploys_are_off(configure) -> None:
    configure()
    assert deploy_targets() == ()
    configure("deploy: {repository: acme/chat, branch: live, environments: [staging, production]}")
    (target,) = deploy_targets()
    assert (target.repository, target.branch, target.environment) == ("acme/chat", "live", "staging")


def test_metrics_are_closed_without_a_token_and_by_one_that_was_not_resolved(configure) -> None:
    configure()
    assert metrics_tokens() == ()
    token = "t" * 40
    configure(GROUNDCREW_METRICS_TOKEN=token)
    assert [one.reveal() for one in metrics_tokens()] == [token]
    configure(GROUNDCREW_METRICS_TOKEN="@Microsoft.KeyVault(VaultName=kv;SecretName=metrics)")
    assert metrics_tokens() == ()


def test_the_badge_is_never_green_for_what_cannot_be_seen(configure) -> None:
    configure("{}")
    assert read_badge() is None, "no machine is under schedule"
    configure("power: [hush]")
    assert read_badge() == "down", "a policy that cannot be read"


def test_a_timers_longest_pause_is_that_of_its_schedule(configure) -> None:
    configure()
    assert _timer_intervals().keys() <= SCHEDULES.keys()
    configure(GROUNDCREW_SCHEDULE_NIGHTLY_BACKUP="0 0 3 * * 1-5")
    assert _timer_intervals()["nightly_backup"] == timedelta(days=3), "over a weekend"
    configure(GROUNDCREW_SCHEDULE_NIGHTLY_BACKUP="every night")
    assert "nightly_backup" not in _timer_intervals()
