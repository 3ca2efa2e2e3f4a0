"""Every setting: its name, its purpose, an example. `shared.settings.environment` reads them."""

from __future__ import annotations

from pathlib import Path

from shared.settings.chat_definitions import (
    PROBE_TOKEN,
    PROBE_USER,
    ROCKETCHAT_PASSWORD,
    ROCKETCHAT_TOKENS,
    ROCKETCHAT_USER,
    ROCKETCHAT_USER_TOKEN,
    SLACK_SECRETS,
    TEAMS_SECRETS,
)
from shared.settings.deploy_definitions import CHAT_RELEASES as CHAT_RELEASES
from shared.settings.deploy_definitions import GITHUB as GITHUB
from shared.settings.deploy_definitions import GITHUB_APP as GITHUB_APP
from shared.settings.deploy_definitions import GITHUB_APP_KEY as GITHUB_APP_KEY
from shared.settings.deploy_definitions import GITHUB_TOKEN as GITHUB_TOKEN
from shared.settings.deploy_definitions import HELM as HELM
from shared.settings.deploy_definitions import KUBECONFIG as KUBECONFIG
from shared.settings.deploy_definitions import SOPS_AGE_KEY as SOPS_AGE_KEY
from shared.settings.deploy_definitions import WEBHOOK_SECRETS as WEBHOOK_SECRETS
from shared.settings.setting import Setting

ROOT = Path(__file__).resolve().parent.parent.parent  # where policy.yaml lies


STORAGE = Setting(
    "AzureWebJobsStorage",
    "The host's storage account: state, queues, and backups unless they have an account of their own. "
    "A connection string; or, for an identity, `AzureWebJobsStorage__accountName` (or `__blobServiceUri` and "
    "`__queueServiceUri`), `__credential` (`managedidentity`), and `__clientId` or "
    "`__managedIdentityResourceId` of a user-assigned one, as the Functions host reads them.",
    "DefaultEndpointsProtocol=https;AccountName=stgroundcrew;AccountKey=<key>",
    secret=True,
)
BACKUP_STORAGE = Setting(
    "GROUNDCREW_BACKUP_STORAGE",
    "Where backups lie, if not in the host's account: an account's name, a connection string or a SAS URL. "
    "`GROUNDCREW_BACKUP_STORAGE__credential` and the like name an identity, as for the host's account.",
    "stgroundcrewbackups",
    default="",
    secret=True,
)
MONGODB = Setting(
    "MONGODB_URI",
    "The replica set to back up, with a user that has the built-in role `backup`.",
    "mongodb://groundcrew:<password>@10.0.0.4:27017/?replicaSet=rs0&authSource=admin",
    secret=True,
)
# Apart from MONGODB_URI: what reads every night must not be able to change who may read.
MONGODB_ADMIN = Setting(
    "GROUNDCREW_MONGODB_ADMIN_URI",
    "To rotate passwords of MongoDB users: a user that may change them (`viewUser` and `changePassword`, or "
    "`userAdmin`). To raise the feature compatibility version: `clusterManager` and `clusterMonitor`.",
    "mongodb://groundcrew-rotation:<password>@10.0.0.4:27017/?replicaSet=rs0&authSource=admin",
    default="",
    secret=True,
)
RECIPIENTS = Setting(
    "GROUNDCREW_AGE_RECIPIENTS",
    "The public keys that backups are encrypted to, separated by commas (the owner's, the drill's).",
    "age1qqpsn9…,age1drill…",
)
SIGNING_KEY = Setting(
    "GROUNDCREW_SIGNING_KEY",
    "The key that signs plans, receipts and manifests, from `groundcrew keys generate --signing`.",
    "groundcrew-sign-secret-…",
    secret=True,
)
RESTORE_URI = Setting(
    "GROUNDCREW_RESTORE_URI",
    "On a laptop: the MongoDB to restore into, so that its password need not be in the command.",
    "mongodb://127.0.0.1:27018",
    default="",
    secret=True,
)
MIGRATE_FROM = Setting(
    "GROUNDCREW_MIGRATE_FROM_URI",
    "On a laptop: the MongoDB that a migration moves the chat away from.",
    "mongodb://move:<password>@old:27017/?replicaSet=rs0&authSource=admin",
    default="",
    secret=True,
)
MIGRATE_TO = Setting(
    "GROUNDCREW_MIGRATE_TO_URI",
    "On a laptop: the MongoDB that a migration moves the chat to.",
    "mongodb+srv://move:<password>@new.example.org/?authSource=admin",
    default="",
    secret=True,
)
# By name: who types in a chat chooses among servers that two files agree on, and can name no other.
RESTORE_TARGETS = Setting(
    "GROUNDCREW_RESTORE_TARGETS",
    "The MongoDB servers that `restore … into NAME` in the chat may fill, which policy names too "
    "(`backup.restore_targets`): `name=uri`, separated by white space. Each is empty before, and a server of "
    "its own: not production, not that of the drills. The rights are those of the drills.",
    "inspection=mongodb://restore:<password>@10.0.0.6:27017/?authSource=admin",
    default="",
    secret=True,
)
DRILL_MONGODB = Setting(
    "DRILL_MONGODB_URI",
    "The scratch MongoDB that restore drills restore into: empty, another than that of `MONGODB_URI`, with a "
    "user that has the roles `restore`, `readAnyDatabase` and `dbAdminAnyDatabase`. Empty: drills start one "
    "in the cluster, where policy says so (`backup.drill.cluster`), or there are none.",
    "mongodb://drill:<password>@10.0.0.5:27017/?authSource=admin",
    default="",
    secret=True,
)
# Of its own: the owner's key stays offline, and a stolen app opens no more than it could dump anyway.
DRILL_KEY = Setting(
    "GROUNDCREW_DRILL_KEY",
    "The age key that restore drills decrypt backups with: that of a recipient of its own, not the owner's. "
    "Several are separated by white space.",
    "AGE-SECRET-KEY-1…",
    default="",
    secret=True,
)
TRUSTED = Setting(
    "GROUNDCREW_TRUSTED_SIGNERS",
    "The signers whose manifests are accepted, separated by commas. Empty accepts any on a laptop.",
    "groundcrew-sign-…",
    default="",
)
POLICY = Setting(
    "GROUNDCREW_POLICY",
    "The policy file.",
    "/home/site/wwwroot/policy.yaml",
    default=str(ROOT / "policy.yaml"),
)
CLIENT_ID = Setting(
    "AZURE_CLIENT_ID",
    "The client id of the user-assigned identity that signs in to Resource Manager, and to storage accounts "
    "whose settings name no identity. Empty takes the system-assigned one, or on a laptop `az login`.",
    "00000000-0000-0000-0000-000000000000",
    default="",
)
# Apart from the app's identity: who takes the app over may write backups, and delete none.
RETENTION_ID = Setting(
    "GROUNDCREW_RETENTION_CLIENT_ID",
    "The client id of the user-assigned identity that deletes expired backups, and can do nothing else; used "
    "where policy says `backup.retention: self`. Empty deletes as the app itself, which in Azure may not.",
    "00000000-0000-0000-0000-000000000000",
    default="",
)
SUBSCRIPTION = Setting(
    "AZURE_SUBSCRIPTION_ID",
    "The subscription of the machines, disks and clusters that policy names.",
    "00000000-0000-0000-0000-000000000000",
)
RESOURCE_GROUP = Setting(
    "GROUNDCREW_RESOURCE_GROUP",
    "Their resource group. Empty looks in the whole subscription, where names may be ambiguous.",
    "rg-rocketchat",
    default="",
)
RESOURCE_MANAGER = Setting(
    "GROUNDCREW_RESOURCE_MANAGER",
    "Azure Resource Manager's address: another cloud's, or that of the stand-in on this machine.",
    "https://management.azure.com",
    default="https://management.azure.com",
)
RESOURCE_MANAGER_TOKEN = Setting(
    "GROUNDCREW_RESOURCE_MANAGER_TOKEN",
    "A bearer token for the stand-in on this machine; refused for any other address.",
    "<printed by the stand-in>",
    default="",
    secret=True,
)
PRICES = Setting(
    "GROUNDCREW_PRICES",
    "The Retail Prices API's address.",
    "https://prices.azure.com/api/retail/prices",
    default="https://prices.azure.com/api/retail/prices",
)
CHAT = Setting(
    "GROUNDCREW_CHAT",
    "Rocket.Chat's address, to see whether it is healthy after a start. Empty looks at the machine only.",
    "https://chat.example.org",
    default="",
)
NOTIFY = Setting(
    "GROUNDCREW_NOTIFY_URLS",
    "The addresses of policy's routes: `name=url`, separated by white space, as apprise knows them. A name "
    "may have several. Empty sends no notifications.",
    "chat=rockets://<id>/<token>@chat.example.org oncall=mailtos://<user>:<password>@example.org",
    default="",
    secret=True,
)
URL = Setting(
    "GROUNDCREW_URL",
    "The app's own address as people reach it, for the links in messages. Empty takes the name that the "
    "platform gives the app; where it gives none there are no links.",
    "https://groundcrew.example.org",
    default="",
)
# Headers with a person's name are believed by it: on a bare port anybody could send them.
WAKE_SIGN_IN = Setting(
    "GROUNDCREW_WAKE_SIGN_IN",
    "Who vouches for people at `/api/wake` and `/api/deploys`: `app-service` (its authentication must be "
    "on), or `none` on your own machine. Empty follows the platform, and closes the pages where it says "
    "nothing.",
    "app-service",
    default="",
)
ALERTS_TOKEN = Setting(
    "GROUNDCREW_ALERTS_TOKEN",
    "The bearer token that opens `/api/alerts` to Alertmanager and Azure Monitor, at least 16 characters; "
    "two, separated by white space, while one is exchanged for the other. Empty closes the endpoint.",
    "<32 random characters>",
    default="",
    secret=True,
)
ALERTMANAGER = Setting(
    "GROUNDCREW_ALERTMANAGER_URL",
    "Where the app reaches Alertmanager, with user and password if it asks for them: `silence` in the chat "
    "then silences there, too. Empty silences only what Groundcrew itself tells.",
    "https://user:password@alertmanager.example.org",
    default="",
    secret=True,
)
# Outside of everything that is watched: a subscription that is suspended silences all its own alarms.
HEARTBEATS = Setting(
    "GROUNDCREW_HEARTBEAT_URLS",
    "Ping URLs of an outside service such as healthchecks.io, which alarms when a job stays away: `job=url`, "
    "separated by white space. A job is a timer's name, or `backup`, whose success is a sealed set. Empty "
    "pings nobody.",
    "power_tick=https://hc-ping.com/<uuid> backup=https://hc-ping.com/<uuid>",
    default="",
    secret=True,
)
METRICS_TOKEN = Setting(
    "GROUNDCREW_METRICS_TOKEN",
    "The bearer token that opens `/api/metrics`, at least 16 characters; two, separated by white space, "
    "while one is exchanged for the other. Empty closes the endpoint.",
    "<32 random characters>",
    default="",
    secret=True,
)
CALENDAR_KEY = Setting(
    "GROUNDCREW_CALENDAR_KEY",
    "What opens the calendar's feed, as `?key=` of its address: at least 16 characters; two, separated by "
    "white space, while one is exchanged for the other. Empty closes the feed.",
    "<32 random characters>",
    default="",
    secret=True,
)
# The order of docs/settings.md. What is missing here is neither documented nor masked in messages.
SETTINGS = (
    STORAGE, BACKUP_STORAGE, MONGODB, MONGODB_ADMIN, RECIPIENTS, SIGNING_KEY, TRUSTED, POLICY, RESTORE_URI,
    MIGRATE_FROM, MIGRATE_TO,
    RESTORE_TARGETS,
    DRILL_MONGODB, DRILL_KEY, RETENTION_ID,
    CLIENT_ID, SUBSCRIPTION, RESOURCE_GROUP, RESOURCE_MANAGER, RESOURCE_MANAGER_TOKEN, PRICES, CHAT, NOTIFY,
    URL, WAKE_SIGN_IN, METRICS_TOKEN, ALERTS_TOKEN, CALENDAR_KEY, ALERTMANAGER, HEARTBEATS,
    WEBHOOK_SECRETS, GITHUB, GITHUB_TOKEN, GITHUB_APP, GITHUB_APP_KEY, KUBECONFIG, HELM, SOPS_AGE_KEY,
    CHAT_RELEASES, ROCKETCHAT_TOKENS, ROCKETCHAT_USER, ROCKETCHAT_USER_TOKEN, ROCKETCHAT_PASSWORD,
    PROBE_USER, PROBE_TOKEN,
    SLACK_SECRETS, TEAMS_SECRETS,
)  # fmt: skip
