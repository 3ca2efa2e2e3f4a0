"""The files for the chart repository: our gates take them, names agree, the real charts render with them.

The real charts are not part of this project: GROUNDCREW_TEST_CHARTS names a folder with rocketchat (7.0.2)
and kube-prometheus-stack (88.5.3) with their dependencies, as `helm pull --untar` leaves them.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from infra.monitoring.generate.alertmanager import SECRET
from local.helm import ensure_helm
from shared.deploy.chart.secret_scan import find_manifest_secrets, find_values_secrets
from shared.deploy.chart.values_lint import ChartValues, lint_values
from shared.formats.chartyaml import merged, read_manifests, read_values
from shared.formats.sops import is_encrypted
from shared.kernel.errors import GroundcrewError
from shared.policy.document import parse_policy

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "infra" / "chart"
PRODUCTION, AKS = CHART / "values-production.yaml", CHART / "values-aks.yaml"
STACK = CHART / "kube-prometheus-stack.yaml"
EXAMPLE = CHART / "secrets" / "rocketchat.example.yaml"
VERSION = "8.6.1"
KUBERNETES = "1.34"
# What the official charts render and the gate takes for a secret: a hash, and `ALLOW_EMPTY_PASSWORD: no`.
NO_SECRETS = {
    "checksum/secret",
    "StatefulSet/rocketchat-mongodb: spec.template.spec.containers[0].env[14].value",
}


def load_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def objects(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


@pytest.mark.parametrize("files", [[PRODUCTION], [PRODUCTION, AKS]], ids=["production", "aks"])
def test_our_own_gates_find_no_mistake_in_the_values(files: list[Path]) -> None:
    read = [read_values(path.read_text(), path.name) for path in files]
    values = merged([one.values for one in read])
    found = lint_values(ChartValues(values, read[-1].lines, "rocketchat", VERSION))
    assert [one for one in found if one.severity == "error"] == []
    for one in read:
        assert find_values_secrets(one.values, one.lines) == []


def test_every_secret_that_the_values_name_is_in_the_example_with_its_keys() -> None:
    values = load_yaml(PRODUCTION)
    keys = {item["metadata"]["name"]: set(item["stringData"]) for item in load_yaml(EXAMPLE)["items"]}
    assert "mongo-uri" in keys[values["existingMongodbSecret"]]
    assert "mail-url" in keys[values["smtp"]["existingSecret"]]
    assert "ROCKETCHAT_LICENSE" in keys[values["extraSecret"]]
    assert keys[values["mongodb"]["auth"]["existingSecret"]] == {
        "mongodb-root-password",
        "mongodb-passwords",
        "mongodb-replica-set-key",
    }
    stack = load_yaml(STACK)
    assert stack["alertmanager"]["alertmanagerSpec"]["secrets"] == [SECRET]
    assert keys[SECRET] == {"alerts-token", "metrics-token", "smtp-password"}
    assert keys[stack["grafana"]["admin"]["existingSecret"]] == {"admin-user", "admin-password"}


def test_the_example_is_encrypted_to_the_recipient_of_the_rules_and_keeps_no_value_in_plain_text() -> None:
    text = EXAMPLE.read_text()
    assert is_encrypted(text, EXAMPLE.name)
    for item in load_yaml(EXAMPLE)["items"]:
        assert all(value.startswith("ENC[AES256_GCM,") for value in item["stringData"].values())
    rules = load_yaml(CHART / ".sops.yaml")["creation_rules"]
    rule = next(one for one in rules if re.search(one["path_regex"], "secrets/rocketchat.example.yaml"))
    assert load_yaml(EXAMPLE)["sops"]["age"][0]["recipient"] == rule["age"]
    assert load_yaml(EXAMPLE)["sops"]["encrypted_regex"] == rule["encrypted_regex"]
    assert any(re.search(one["path_regex"], "values-secret.yaml") for one in rules)
    assert not any(re.search(one["path_regex"], "values-production.yaml") for one in rules)


@pytest.mark.parametrize("path", sorted((CHART / "cluster").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_schemas_of_kubernetes_take_the_objects(path: Path) -> None:
    for item in objects(path):
        if item["apiVersion"].startswith(("cert-manager.io/", "monitoring.coreos.com/")):
            continue  # no schema of these is in Kubernetes
        kubernetes_validate.validate(item, KUBERNETES, strict=True)


def test_all_traffic_is_refused_that_no_policy_allows() -> None:
    policies = {
        one["metadata"]["name"]: one["spec"] for one in objects(CHART / "cluster/networkpolicies.yaml")
    }
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    blocks = [
        peer["ipBlock"]
        for rule in policies["rocketchat"]["egress"]
        for peer in rule["to"]
        if "ipBlock" in peer
    ]
    (internet,) = blocks
    # Azure's metadata service and wire server, and everything private.
    assert {"169.254.0.0/16", "168.63.129.16/32", "10.0.0.0/8"} <= set(internet["except"])


def test_names_and_addresses_agree_with_the_policy_and_the_bootstrap() -> None:
    policy = parse_policy((ROOT / "policy.yaml").read_text())
    bootstrap = (ROOT / "infra/bootstrap/bootstrap.env").read_text()
    settings = dict(line.split("=", 1) for line in shlex.split(bootstrap, comments=True))
    policies = {
        one["metadata"]["name"]: one["spec"] for one in objects(CHART / "cluster/networkpolicies.yaml")
    }
    ranges = [
        peer["ipBlock"]["cidr"]
        for rule in policies["mongodb"]["ingress"]
        for peer in rule["from"]
        if "ipBlock" in peer
    ]
    assert ranges == [settings["FUNCTIONS_RANGE"]]
    (service,) = objects(CHART / "cluster/mongodb-service.yaml")
    assert service["spec"]["externalIPs"] == [settings["PRIVATE_ADDRESS"]]
    assert (settings["NAMESPACE"], settings["RELEASE"]) == (policy.deploy.namespace, policy.deploy.release)
    issuer = load_yaml(PRODUCTION)["ingress"]["annotations"]["cert-manager.io/cluster-issuer"]
    assert issuer in {one["metadata"]["name"] for one in objects(CHART / "cluster/clusterissuer.yaml")}


def test_the_disk_and_the_addresses_are_those_of_terraform() -> None:
    terraform = ROOT / "infra/terraform/microk8s"
    bootstrap = (ROOT / "infra/bootstrap/bootstrap.env").read_text()
    settings = dict(line.split("=", 1) for line in shlex.split(bootstrap, comments=True))
    text = "".join(path.read_text() for path in terraform.glob("*.tf"))
    (lun,) = set(re.findall(r"data_disk_lun\s*=\s*(\d+)", text))
    assert settings["DATA_LUN"] == lun
    space = re.search(r'variable "address_space".*?default\s*=\s*"([\d./]+)"', text, re.DOTALL)
    assert space
    network = ipaddress.ip_network(space[1])
    assert ipaddress.ip_network(settings["FUNCTIONS_RANGE"]).subnet_of(network)
    assert ipaddress.ip_address(settings["PRIVATE_ADDRESS"]) in network
    assert settings["SSH_RANGE"] == space[1]


def test_what_prometheus_keeps_fits_on_its_volume_with_room_to_spare() -> None:
    spec = load_yaml(STACK)["prometheus"]["prometheusSpec"]
    volume = spec["storageSpec"]["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"]
    assert (spec["retentionSize"], volume) == ("8GB", "10Gi")
    assert 8e9 * 1.15 < 10 * 2**30
    assert spec["retention"] == "30d", "service levels are reckoned over 30 days"


def test_prometheus_sees_monitors_rules_and_probes_that_have_no_label_of_its_release() -> None:
    spec = load_yaml(STACK)["prometheus"]["prometheusSpec"]
    seen = {
        key for key, value in spec.items() if key.endswith("SelectorNilUsesHelmValues") and value is False
    }
    kinds = ("podMonitor", "serviceMonitor", "rule", "probe", "scrapeConfig")
    assert seen == {f"{kind}SelectorNilUsesHelmValues" for kind in kinds}


def test_what_runs_in_one_process_of_microk8s_is_not_watched_as_four() -> None:
    stack = load_yaml(STACK)
    for part in ("kubeControllerManager", "kubeScheduler", "kubeProxy", "kubeEtcd"):
        assert stack[part]["enabled"] is False


# With the real charts


@pytest.fixture(scope="module")
def charts() -> Path:
    named = os.environ.get("GROUNDCREW_TEST_CHARTS", "")
    if not named:
        pytest.skip("GROUNDCREW_TEST_CHARTS names no folder with the real charts")
    return Path(named)


def rendered(chart: Path, namespace: str, *files: Path) -> str:
    try:
        helm = str(ensure_helm())
    except GroundcrewError as error:
        pytest.skip(str(error))
    argv = [helm, "template", "rocketchat" if namespace == "rocketchat" else "prometheus", str(chart)]
    argv += [
        "--namespace",
        namespace,
        "--kube-version",
        KUBERNETES,
        "--api-versions",
        "monitoring.coreos.com/v1",
    ]
    argv += [part for path in files for part in ("--values", str(path))]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("files", [[PRODUCTION], [PRODUCTION, AKS]], ids=["production", "aks"])
def test_the_real_chart_renders_valid_objects_without_a_secret(charts: Path, files: list[Path]) -> None:
    text = rendered(charts / "rocketchat", "rocketchat", *files)
    found = [one for one in yaml.safe_load_all(text) if one]
    for item in found:
        if item["apiVersion"] != "monitoring.coreos.com/v1":
            kubernetes_validate.validate(item, KUBERNETES, strict=True)
    secrets = {
        one.where.rpartition(".annotations.")[2] for one in find_manifest_secrets(read_manifests(text))
    }
    assert secrets <= NO_SECRETS
    (own,) = [one for one in found if one["kind"] == "Secret"]
    assert not own.get("data"), "the chart's own Secret holds nothing"
    (server,) = [
        one
        for one in found
        if one["metadata"]["name"] == "rocketchat-rocketchat" and one["kind"] == "Deployment"
    ]
    (container,) = server["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(f":{VERSION}")
    sources = {
        one["name"]: one["valueFrom"]["secretKeyRef"]["name"]
        for one in container["env"]
        if "secretKeyRef" in one.get("valueFrom", {})
    }
    assert sources == {"MONGO_URL": "rocketchat-mongodb-uri", "MAIL_URL": "rocketchat-smtp"}


def test_on_one_machine_neither_nats_nor_a_second_scrape_of_mongodb_is_rendered(charts: Path) -> None:
    found = [
        one for one in yaml.safe_load_all(rendered(charts / "rocketchat", "rocketchat", PRODUCTION)) if one
    ]
    assert not [one["metadata"]["name"] for one in found if "nats" in one["metadata"]["name"]]
    assert [one["kind"] for one in found if one["kind"].endswith("Monitor")] == ["PodMonitor"]
    (mongodb,) = [one for one in found if one["kind"] == "StatefulSet"]
    exporter = next(
        one for one in mongodb["spec"]["template"]["spec"]["containers"] if one["name"] == "metrics"
    )
    assert exporter["image"] == "docker.io/percona/mongodb_exporter:0.53.0"


def test_the_real_monitoring_chart_renders_without_its_noise_and_its_null_receiver(charts: Path) -> None:
    text = rendered(charts / "kube-prometheus-stack", "monitoring", STACK)
    found = [one for one in yaml.safe_load_all(text) if one]
    alerts = set(re.findall(r"alert: (\w+)", text))
    disabled = set(load_yaml(STACK)["defaultRules"]["disabled"])
    assert not alerts & disabled
    assert not {
        name for name in alerts if re.match(r"etcd|KubeProxy|KubeScheduler|KubeControllerManager", name)
    }
    (alertmanager,) = [one for one in found if one["kind"] == "Alertmanager"]
    assert alertmanager["spec"]["configSecret"] == "alertmanager-groundcrew"
    assert not [one for one in found if one["kind"] == "Secret" and "alertmanager" in one["metadata"]["name"]]
    (prometheus,) = [one for one in found if one["kind"] == "Prometheus"]
    for kind in ("podMonitor", "serviceMonitor", "rule", "probe", "scrapeConfig"):
        assert prometheus["spec"][f"{kind}Selector"] == {}, kind
