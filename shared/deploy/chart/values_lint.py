"""The traps of Rocket.Chat's chart that `helm lint` passes, each with the line and the way out.

The rules come from the chart's templates (https://github.com/RocketChat/helm-charts) and from servers that
were taken down by them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.deploy.chart.read_paths import ValuePath, find_unread
from shared.deploy.chart.secret_scan import Path, find_line
from shared.deploy.model import Finding
from shared.formats.chartyaml import read_values
from shared.kernel.errors import Refused
from shared.kernel.versions import Version
from shared.kubernetes.images import Image, as_mapping

# Keys that older charts had or that one would expect, with what does the same.
IGNORED = {
    "extraEnvFrom": "Use extraSecret for a whole Secret, extraEnv with valueFrom for one key of it",
    "monitoring": "Use prometheusScraping, podMonitor and serviceMonitor",
    "networkPolicy": "Apply a NetworkPolicy of your own beside the chart",
    "autoscaling": "Set replicaCount",
    "podDisruptionBudget.minAvailable": "Set minAvailable itself",
}
# A number or a list passes `helm lint` here and breaks a template, or becomes a name like `1e+06`.
_TEXTS = (
    "existingMongodbSecret",
    "externalMongodbUrl",
    "extraSecret",
    "fullnameOverride",
    "host",
    "nameOverride",
)
TOOLS = frozenset({"sops"})  # metadata of the encryption, not a value


@dataclass(frozen=True, slots=True)
class ChartValues:
    """The values a deploy gives to the chart, decrypted, and what is needed to judge them.

    - `chart_keys`: topmost keys of the chart's own values, which it may offer without reading them.
    - `inner_keys`: topmost keys that the chart hands on to what it brings along.
    - `effective`: the values over the chart's own defaults.
    - `reads`: the paths that the chart's templates read; None if that cannot be told.
    - `anchored`: topmost keys that hold an anchor of YAML, so that others may take their value from there.
    """

    values: Mapping[str, Any]
    lines: Mapping[Path, int]
    release: str
    app_version: str
    chart_keys: Collection[str] = ()
    effective: Mapping[str, Any] = field(default_factory=dict)
    reads: Collection[ValuePath] | None = None
    inner_keys: Collection[str] = ()
    anchored: Collection[str] = ()

    def get(self, *path: str) -> Any:
        """The value at a path of keys, or None."""
        value: Any = self.values
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def finding(self, rule: str, severity: str, path: Path, message: str, hint: str) -> Finding:
        """A finding at the path's line."""
        where = ".".join(str(part) for part in path)
        return Finding(rule, severity, where, find_line(self.lines, path), message, hint)


def lint_values(values: ChartValues) -> list[Finding]:
    """Everything that is wrong, in the order of the lines."""
    findings = [finding for rule in RULES for finding in rule(values)]
    return sorted(findings, key=lambda one: (one.line, one.where, one.rule))


def _check_ignored_keys(values: ChartValues) -> Iterator[Finding]:
    """A key that no template reads is a typo, or belongs to another version of the chart.

    Below a key that is read it is a warning, since a part may be handed on by a way that is not seen; so is
    what the chart's own values offer.
    """
    # Templates that cannot be read through: guessing would call right keys wrong.
    if values.reads is None:
        return
    own = {key: value for key, value in values.values.items() if not _is_handed_on(values, key)}
    for path in find_unread(own, values.reads):
        name = ".".join(path)
        hint = IGNORED.get(name, "Remove it, or see in the chart's values.yaml how it is called")
        severity = "error" if len(path) == 1 and path[0] not in values.chart_keys else "warning"
        yield values.finding("ignored-key", severity, path, f"the chart ignores {name!r}", hint)


def _is_handed_on(values: ChartValues, key: str) -> bool:
    return key in values.inner_keys or key in TOOLS or key in values.anchored


def _check_texts(values: ChartValues) -> Iterator[Finding]:
    for key in _TEXTS:
        value = values.get(key)
        # YAML reads `host: 1.2` as a number; Helm does not mind, and the Ingress does.
        if value is not None and not isinstance(value, str):
            message = f"{key} is not a text"
            yield values.finding("not-a-text", "error", (key,), message, "Write it on one line, in quotes")


def _check_self_named_secret(values: ChartValues) -> Iterator[Finding]:
    for path in (("existingMongodbSecret",), ("extraSecret",), ("smtp", "existingSecret")):
        name = values.get(*path)
        # The names that the chart gives its own Secret.
        own = (f"{values.release}-rocketchat", values.get("fullnameOverride"))
        if isinstance(name, str) and name and name in own:
            message = f"{name} is the Secret the chart renders itself, empty, at the next upgrade"
            yield values.finding("self-named-secret", "error", path, message, "Name a Secret of your own")


def _check_replicas_on_one_volume(values: ChartValues) -> Iterator[Finding]:
    replicas = _read_count(values.get("replicaCount"))
    # The chart's default.
    mode = values.get("persistence", "accessMode") or "ReadWriteOnce"
    if (
        replicas > 1
        and values.get("persistence", "enabled")
        and mode in ("ReadWriteOnce", "ReadWriteOncePod")
    ):
        message = f"{replicas} replicas on a {mode} volume: all but one hang in ContainerCreating"
        hint = "Set replicaCount to 1, keep uploads in GridFS or S3, or use a ReadWriteMany volume"
        yield values.finding("replicas-on-one-volume", "error", ("replicaCount",), message, hint)


def _read_count(value: object) -> int:
    """A number as the chart's `int` reads it, which a text of digits is, too; 0 for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return 0
    text = str(value).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _check_license(values: ChartValues) -> Iterator[Finding]:
    names = [item.get("name") for item in _list_variables(values.get("extraEnv")) or ()]
    # With the chart's own defaults: an umbrella chart may switch them on.
    switched = as_mapping(values.effective.get("microservices")).get("enabled")
    if not (values.get("microservices", "enabled") or switched) or values.get("license"):
        return
    if "ROCKETCHAT_LICENSE" in names:
        return
    # The license may be in that Secret, which nobody can look into from here.
    secret = values.get("extraSecret")
    severity = "warning" if secret else "error"
    message = (
        f"microservices need a license: see that {secret} has it"
        if secret
        else "microservices need a license"
    )
    hint = "Give ROCKETCHAT_LICENSE by extraSecret or extraEnv, or disable microservices"
    yield values.finding("missing-license", severity, ("microservices", "enabled"), message, hint)


def _check_bundled_mongodb(values: ChartValues) -> Iterator[Finding]:
    external = values.get("existingMongodbSecret") or values.get("externalMongodbUrl")
    image = as_mapping(as_mapping(values.effective.get("mongodb")).get("image"))
    repository = values.get("mongodb", "image", "repository") or image.get("repository")
    enabled = values.get("mongodb", "enabled")
    # With its passwords in a Secret the chart cannot put the bundled one's address together: it is named.
    named = values.get("mongodb", "auth", "existingSecret") and not values.get("externalMongodbUrl")
    # Only False is off: a missing key leaves the bundled one on.
    if enabled is not False and external and not named:
        message = "an outside MongoDB is named while the bundled one stays enabled"
        yield values.finding(
            "two-databases", "warning", ("mongodb", "enabled"), message, "Set mongodb.enabled: false"
        )
    elif enabled is not False and str(repository).startswith("bitnami/"):
        message = "Bitnami's free images may be gone from the registry"
        hint = "Set mongodb.image.repository to one you can pull (bitnamilegacy/mongodb), or bring your own"
        path = ("mongodb", "image", "repository") if repository else ("mongodb",)
        yield values.finding("bundled-bitnami", "warning", path, message, hint)
    if enabled is not False and values.get("mongodb", "auth", "enabled") is False:
        message, path = "MongoDB without passwords", ("mongodb", "auth", "enabled")
        yield values.finding("mongodb-open", "error", path, message, "Leave mongodb.auth.enabled on")


def _check_probe_paths(values: ChartValues) -> Iterator[Finding]:
    version = Version.parse(values.app_version)
    # A digest names no version, and no path can be called wrong for it.
    if version is None:
        return
    for probe, new in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        path = values.get(probe, "path")
        if path in ("/livez", "/readyz") and version < Version(7, 11, 0):
            message = f"{path} exists from 7.11 on, this is {version}: the pods are never ready"
            yield values.finding("probe-path", "error", (probe, "path"), message, "Use /health")
        elif path == "/health" and version >= Version(7, 11, 0):
            message = f"/health was replaced in 7.11, this is {version}"
            yield values.finding("probe-path", "warning", (probe, "path"), message, f"Use {new}")


def _check_image_tag(values: ChartValues) -> Iterator[Finding]:
    tag = values.get("image", "tag")
    if tag in (None, ""):  # the chart takes its appVersion
        return
    # `8.20` without quotes is the number 8.2, another version.
    if not isinstance(tag, str) or not Image.parse(f"image:{tag}").version:
        message = "the tag names no version, so nobody can say what a deploy will start"
        yield values.finding(
            "floating-tag", "error", ("image", "tag"), message, 'Name one, in quotes: tag: "8.2.1"'
        )


def _check_host(values: ChartValues) -> Iterator[Finding]:
    if not values.get("host"):
        message = "without host there is no ROOT_URL: links, uploads and sign-in break"
        yield values.finding("no-host", "warning", ("host",), message, "Set host to the server's name")


def _check_environment_variables(values: ChartValues) -> Iterator[Finding]:
    extra = values.get("extraEnv")
    if not extra:
        return
    variables = _list_variables(extra)
    if variables is None:
        message = "extraEnv is not a list of name and value"
        yield values.finding(
            "extra-env", "error", ("extraEnv",), message, "Write - name: X, then value: on its own line"
        )
        return
    # Kubernetes takes duplicates, and server-side apply refuses them later.
    observed: set[str] = set()
    for index, item in enumerate(variables):
        name = item.get("name")
        path: Path = ("extraEnv", index) if isinstance(extra, list) else ("extraEnv",)
        if not isinstance(name, str):
            yield values.finding("extra-env", "error", path, "an entry without a name", "Give it one")
        elif name in observed:
            yield values.finding(
                "extra-env", "error", path, f"{name} is set twice, the last one wins", "Keep one"
            )
        elif not isinstance(item.get("value", ""), str):
            message = f"{name} is not a text, which Kubernetes refuses"
            yield values.finding("extra-env", "error", path, message, "Put the value in quotes")
        observed.add(str(name))


def _list_variables(extra: object) -> list[Mapping[str, Any]] | None:
    """The entries of extraEnv, a list or, as the chart's README has it, the text of one; None for neither.

    A text with templates in it is a list only once it is rendered, and is looked at then.
    """
    if isinstance(extra, str):
        if "{{" in extra:
            return []
        try:
            extra = read_values(f"list:\n{extra}", "extraEnv").values["list"]
        except Refused:
            return None
    if extra is None:
        return []
    return [as_mapping(item) for item in extra] if isinstance(extra, list) else None


RULES: tuple[Callable[[ChartValues], Iterator[Finding]], ...] = (
    _check_ignored_keys,
    _check_texts,
    _check_self_named_secret,
    _check_replicas_on_one_volume,
    _check_license,
    _check_bundled_mongodb,
    _check_probe_paths,
    _check_image_tag,
    _check_host,
    _check_environment_variables,
)
