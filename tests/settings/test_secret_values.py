"""Secrets among the settings are found in the parts of which they are made; names and hosts are not."""

from __future__ import annotations

import base64

from shared.kernel.redact import make_redactor, redact
from shared.settings.environment import Environment
from shared.settings.secret_values import find_secret_values

KEY, TOKEN = base64.b64encode(b"hello world 123456789").decode(), "kLm456nOp" + "q" * 12
VALUES = {
    "GROUNDCREW_NOTIFY_URLS": f"chat=rockets://abc/{TOKEN}@chat.groundcrew-example.org",
    "GROUNDCREW_GITHUB_WEBHOOK_SECRETS": "new-secret-of-webhooks old-secret-of-webhooks",
    "AzureWebJobsStorage": f"DefaultEndpointsProtocol=https;AccountName=stgroundcrew;AccountKey={KEY}",
    "GROUNDCREW_BACKUP_STORAGE": "stgroundcrewbackups",
    "GROUNDCREW_KUBECONFIG": "/home/site/wwwroot/kubeconfig",
    "GROUNDCREW_URL": "https://groundcrew-0123456789abcdef.example.org",
}
TEXT = (
    f"posted to {TOKEN}, signed new-secret-of-webhooks or old-secret-of-webhooks, key "
    f"{KEY}, at chat.groundcrew-example.org, account stgroundcrewbackups, file "
    "/home/site/wwwroot/kubeconfig, https://groundcrew-0123456789abcdef.example.org"
)


def test_tokens_are_masked_and_names_are_not() -> None:
    masked = make_redactor(find_secret_values(Environment(VALUES)))(TEXT)
    for secret in (TOKEN, "new-secret", "old-secret", KEY):
        assert secret not in masked
    for name in ("chat.groundcrew-example.org", "stgroundcrewbackups", "/home/site/wwwroot/kubeconfig",
                 "groundcrew-0123456789abcdef.example.org"):  # fmt: skip
        assert name in masked


def test_without_settings_there_is_nothing_to_mask() -> None:
    assert find_secret_values(Environment({})) == ()


def test_a_redactor_that_is_kept_does_what_redact_does() -> None:
    secrets = ("pass/word+1", "other secret")
    keep = make_redactor(secrets)
    for text in ("pass/word+1", "pass%2Fword%2B1", "b3RoZXIgc2VjcmV0", "nothing", "xother secretx"):
        assert keep(text) == redact(text, secrets)
