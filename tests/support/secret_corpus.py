"""Files with secrets of many kinds, made anew each time, and harmless ones that look like them."""

from __future__ import annotations

import base64
import secrets
from uuid import uuid4

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.formats.agekeys import generate_identity
from shared.formats.manifest import Signer

_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789"


def real_secrets() -> dict[str, str]:
    """By kind: a file's text with one secret in it. The name of the file is the kind with its ending."""
    token, hexadecimal = secrets.token_urlsafe(24), secrets.token_hex(20)
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key_file = "\n".join(
        line for line in (base64.b64encode(secrets.token_bytes(48)).decode() for _ in range(12))
    )
    jwt = ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=")
        for part in (
            b'{"alg":"HS256","typ":"JWT"}',
            b'{"sub":"1234567890","name":"a"}',
            secrets.token_bytes(32),
        )
    )
    account = f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={key};EndpointSuffix=core.windows.net"
    return {
        "age-key.txt": f"# public key: age1x\n{generate_identity(post_quantum=False)[0]}\n",
        "age-pq-key.txt": f"{generate_identity(post_quantum=True)[0]}\n",
        "signing-key.env": f"GROUNDCREW_SIGNING_KEY={Signer.generate().secret_text()}\n",
        "storage.env": f"AzureWebJobsStorage={account}\n",
        "sas.txt": f"https://a.blob.core.windows.net/b?sv=2024&sp=rw&sig={key.replace('+', '%2B')}\n",
        "mongodb-uri.yaml": f"externalMongodbUrl: mongodb://chat:{token}@db:27017/rocketchat\n",
        "replica-set-key.yaml": f"mongodb:\n  auth:\n    replicaSetKey: {token}\n",
        "password.yaml": f"mongodb:\n  auth:\n    rootPassword: {token}\n",
        "weak-password.yaml": "smtp:\n  password: hunter2\n",
        "env-value.yaml": f"extraEnv:\n  - name: MAIL_PASSWORD\n    value: {token}\n",
        "secret-object.yaml": "apiVersion: v1\nkind: Secret\nmetadata:\n  name: mail\ndata:\n"
        f"  mail-url: {base64.b64encode(token.encode()).decode()}\n",
        "configmap.yaml": f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\ndata:\n  token: {token}\n",
        "github-token.sh": f"export X=ghp_{secrets.token_hex(18)}\n",
        "github-fine-grained.md": f"use github_pat_{secrets.token_hex(30)}\n",
        "slack.json": f'{{"slack": "xoxb-{secrets.token_hex(16)}"}}\n',
        "private-key.pem": pem.decode(),
        "jwt.http": f"Authorization: Bearer {jwt}\n",
        "key-file": key_file + "\n",
        "webhook.env": f"GROUNDCREW_GITHUB_WEBHOOK_SECRETS={hexadecimal}\n",
        "terraform.tfvars": f'admin_password = "{token}"\n',
        "python.py": f'PASSWORD = "{token}"\n',
        "notify.env": f"GROUNDCREW_NOTIFY_URLS=mailtos://bot:{token}@example.org\n",
    }


def service_tokens() -> dict[str, str]:
    """Tokens of services around a chat, by service: a file with nothing but the token to go by.

    In the forms that the services document, made of random letters at run time.
    """

    def letters(count: int) -> str:
        return "".join(
            secrets.choice("ABCDEFGHJKMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789") for _ in range(count)
        )

    def digits(count: int) -> str:
        return "".join(secrets.choice("123456789") for _ in range(count))

    tokens = {
        "gitlab": f"glpat-{letters(20)}",
        "sendgrid": f"SG.{letters(22)}.{letters(43)}",
        "stripe": f"sk_live_{letters(24)}",
        "google": f"AIza{letters(35)}",
        "npm": f"npm_{letters(36)}",
        "pypi": f"pypi-AgEIcHlwaS5vcmc{letters(70)}",
        "digitalocean": f"dop_v1_{secrets.token_hex(32)}",
        "vault": f"hvs.{letters(90)}",
        "grafana": f"glsa_{letters(32)}_{secrets.token_hex(4)}",
        "twilio": f"SK{secrets.token_hex(16)}",
        "slack-app": f"xapp-1-A{letters(10).upper()}-{digits(13)}-{secrets.token_hex(32)}",
        "slack-webhook": f"https://hooks.slack.com/services/T{letters(10).upper()}/B{letters(10).upper()}/{letters(24)}",
        "discord-webhook": f"https://discord.com/api/webhooks/{digits(18)}/{letters(68)}",
        "teams-webhook": "https://example.webhook.office.com/webhookb2/"
        f"{uuid4()}@{uuid4()}/IncomingWebhook/{secrets.token_hex(16)}/{uuid4()}",
        "telegram": f"{digits(10)}:AA{letters(33)}",
        "entra-client": f"{letters(3)}8Q~{letters(34)}",
        "aws": f"AKIA{''.join(secrets.choice('ABCDEFGHJKLMNPQRSTUVWXYZ234567') for _ in range(16))}",
    }
    return {name: f"send it to {token} please\n" for name, token in tokens.items()}


def harmless_files() -> dict[str, str]:
    """By what they are: text that a finder of secrets must not stop at."""
    sealed = "ENC[AES256_GCM,data:" + base64.b64encode(secrets.token_bytes(30)).decode()
    iv, tag = (base64.b64encode(secrets.token_bytes(size)).decode() for size in (32, 16))
    digest = secrets.token_hex(32)
    return {
        "sops.yaml": f"mongodb:\n  password: {sealed},iv:{iv},tag:{tag},type:str]\n",
        "reference.yaml": "auth:\n  existingSecret: rocketchat-mongodb\n  existingSecretKey: mongo-uri\n",
        "secret-ref.yaml": "env:\n  - name: MAIL_URL\n    valueFrom:\n"
        "      secretKeyRef: {name: mail, key: url}\n",
        "digest.yaml": f"image:\n  repository: rocketchat/rocket.chat\n  digest: sha256:{digest}\n",
        "template.yaml": "password: {{ .Values.password }}\n",
        "vault-reference.json": '{"MONGODB_URI": "@Microsoft.KeyVault(SecretUri=https://kv/secrets/x/)"}\n',
        "empty.yaml": 'smtp:\n  password: ""\n  enabled: false\n',
        "switch.yaml": "env:\n  - name: ALLOW_EMPTY_PASSWORD\n    value: 'yes'\n",
        "documentation.md": "Set `GROUNDCREW_GITHUB_TOKEN` to `<a fine-grained token>`.\n",
        "example.env": "MONGODB_URI=<the replica set's URI>\nGROUNDCREW_GITHUB_TOKEN=${TOKEN}\n",
        "code.py": "password = read_password(path)\ntoken: Secret = settings.token\n",
        "lock.txt": f"requests==2.34.0 \\\n    --hash=sha256:{digest}\n",
        "public-key.txt": generate_identity(post_quantum=False)[1] + "\n",
        "commit.md": f"Deployed {secrets.token_hex(20)}.\n",
        "policy.yaml": "secrets:\n  known:\n    - name: mongodb-app\n      kind: mongodb-user\n",
        "terraform.tf": 'variable "admin_password" {\n  type      = string\n  sensitive = true\n}\n',
        "allowed.env": f"TOKEN={secrets.token_hex(20)} # groundcrew:allow-secret of the manual\n",
    }
