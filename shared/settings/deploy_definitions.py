"""The settings of deploys: GitHub, the cluster, Helm, and the keys of encrypted values."""

from __future__ import annotations

from shared.settings.setting import Setting

WEBHOOK_SECRETS = Setting(
    "GROUNDCREW_GITHUB_WEBHOOK_SECRETS",
    "The secret of GitHub's webhook; two, separated by white space, while one is exchanged for the other. "
    "Empty closes the endpoint.",
    "<32 random characters>",
    default="",
    secret=True,
)
GITHUB = Setting(
    "GROUNDCREW_GITHUB",
    "GitHub's API: that of an Enterprise server, or of the stand-in on this machine.",
    "https://api.github.com",
    default="https://api.github.com",
)
GITHUB_TOKEN = Setting(
    "GROUNDCREW_GITHUB_TOKEN",
    "A fine-grained token for the chart's repository: contents, pull requests, checks, commit "
    "statuses, environments and administration read; deployments and issues written; the organization's "
    "members read, if a team reviews the environment; webhooks written, if the hook's secret is rotated. Or "
    "give an App.",
    "github_pat_…",
    default="",
    secret=True,
)
GITHUB_APP = Setting(
    "GROUNDCREW_GITHUB_APP", "The id of a GitHub App with the same rights.", "123456", default=""
)
GITHUB_APP_KEY = Setting(
    "GROUNDCREW_GITHUB_APP_KEY",
    "The App's private key: the PEM file, its line breaks as they are or written as \\n.",
    "-----BEGIN RSA PRIVATE KEY-----…",
    default="",
    secret=True,
)
KUBECONFIG = Setting(
    "GROUNDCREW_KUBECONFIG",
    "The cluster's kubeconfig: a file, or its whole content; infra/chart/rbac.yaml has the rights it needs.",
    "/home/site/wwwroot/kubeconfig",
    default="",
    secret=True,
)
HELM = Setting(
    "GROUNDCREW_HELM",
    "The Helm 4 binary, by path or name. By default the one on PATH, else the package's own.",
    "/home/site/wwwroot/bin/helm",
    default="helm",
)
SOPS_AGE_KEY = Setting(
    "GROUNDCREW_SOPS_AGE_KEY",
    "The age keys that decrypt values files encrypted with SOPS, each on a line of its own or separated by "
    "white space. The first one also encrypts the journals of rotations.",
    "AGE-SECRET-KEY-1…",
    default="",
    secret=True,
)
CHAT_RELEASES = Setting(
    "GROUNDCREW_CHAT_RELEASES",
    "Where Rocket.Chat tells which MongoDB versions a release works with.",
    "https://releases.rocket.chat",
    default="https://releases.rocket.chat",
)
