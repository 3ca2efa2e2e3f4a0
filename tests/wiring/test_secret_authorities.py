"""Each kind of secret gets from the settings who decides what is valid; what is missing is named."""

from __future__ import annotations

import json
from pathlib import Path

from shared.formats.agekeys import generate_identity
from tests.support.commands import run_python
from tests.wiring.test_jobs import KUBECONFIG

ROOT = Path(__file__).resolve().parents[2]
POLICY = """
secrets:
  known:
    - {name: mongodb, kind: mongodb-user, homes: ['key-vault:kv-chat/a'], users: [a, b]}
    - {name: chat, kind: rocketchat-token, homes: ['key-vault:kv-chat/b'], user_id: x}
    - {name: ops, kind: rocketchat-webhook, homes: ['key-vault:kv-chat/k'], integration: x}
    - {name: hook, kind: github-webhook, homes: ['key-vault:kv-chat/c'], hook: acme/chat/1}
    - {name: app, kind: github-app-key, homes: ['key-vault:kv-chat/d']}
    - name: cluster
      kind: service-account-token
      homes: ['key-vault:kv-chat/e']
      service_account: rocketchat/groundcrew
    - {name: storage, kind: storage-key, homes: ['key-vault:kv-chat/f'], account: stchat}
    - {name: signing, kind: signing-key, homes: ['key-vault:kv-chat/g'], published: ['key-vault:kv-chat/h']}
    - {name: drill, kind: drill-key, homes: ['key-vault:kv-chat/i'], published: ['key-vault:kv-chat/j']}
    - {name: owner, kind: age-recipient, homes: ['key-vault:kv-chat/j']}
    - {name: mail, kind: smtp, homes: ['kubernetes:rocketchat/mail/mail-url']}
    - {name: tls, kind: tls, homes: ['kubernetes:rocketchat/tls/tls.crt'], certificate: rocketchat/tls}
"""
REPORT = """
import json
from shared.kernel.errors import GroundcrewError
from shared.wiring.secrets import rotation_deps
deps, found = rotation_deps(), {}
for entry in deps.policy.known:
    try:
        found[entry.name] = type(deps.authority(entry)).__name__
    except GroundcrewError as error:
        found[entry.name] = str(error)
print(json.dumps(found))
"""


def report(tmp_path: Path, **changes: str) -> dict[str, str]:
    (tmp_path / "policy.yaml").write_text(POLICY)
    keys = [generate_identity(post_quantum=False)[0] for _ in range(2)]
    settings = {
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "GROUNDCREW_POLICY": str(tmp_path / "policy.yaml"),
        "GROUNDCREW_KUBECONFIG": json.dumps(KUBECONFIG), "GROUNDCREW_CHAT": "https://chat.example.org",
        "GROUNDCREW_MONGODB_ADMIN_URI": "mongodb://a:b@127.0.0.1:1/", "GROUNDCREW_GITHUB_TOKEN": "x",
        "GROUNDCREW_ROCKETCHAT_USER": "rbAXPnMktTFbNpwtJ", "GROUNDCREW_ROCKETCHAT_USER_TOKEN": "x",
        "GROUNDCREW_GITHUB_APP": "1", "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000000",
        "GROUNDCREW_RESOURCE_GROUP": "rocketchat",
        "GROUNDCREW_DRILL_KEY": keys[0], "GROUNDCREW_SOPS_AGE_KEY": keys[1], **changes,
    }  # fmt: skip
    done = run_python(REPORT, env={"PATH": "/usr/bin:/bin", **{k: v for k, v in settings.items() if v}})
    assert done.returncode == 0, done.stderr
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


def test_with_all_settings_every_kind_can_be_rotated(tmp_path: Path) -> None:
    assert report(tmp_path) == {
        "mongodb": "MongoUsers", "chat": "AccessTokens", "ops": "OutgoingTokens", "hook": "WebhookSecret",
        "app": "AppPrivateKeys",
        "cluster": "ServiceAccountTokens", "storage": "StorageKeys", "signing": "SigningKeys",
        "drill": "DrillKeys", "owner": "BackupRecipients", "mail": "MailPasswords",
        "tls": "ClusterCertificates",
    }  # fmt: skip


def test_what_a_kind_lacks_is_named_and_the_others_can_be_rotated_all_the_same(tmp_path: Path) -> None:
    found = report(
        tmp_path, GROUNDCREW_MONGODB_ADMIN_URI="", AZURE_SUBSCRIPTION_ID="", GROUNDCREW_CHAT="",
        GROUNDCREW_GITHUB_APP="",
    )  # fmt: skip
    assert found["mongodb"].startswith("GROUNDCREW_MONGODB_ADMIN_URI is not set")
    assert found["storage"].startswith("AZURE_SUBSCRIPTION_ID is not set")
    assert found["chat"].startswith("GROUNDCREW_CHAT is not set")
    assert found["app"].startswith("GROUNDCREW_GITHUB_APP is not set")
    assert found["signing"] == "SigningKeys"
