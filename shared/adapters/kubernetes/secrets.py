"""`SecretHomes` and `ReaderControl` over the Kubernetes API: keys of Secrets, and restarts of workloads."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from datetime import datetime

from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.secret import Secret
from shared.kernel.timestamps import parse_optional_timestamp
from shared.kubernetes.api import Json, KubernetesApi, connect_api, quoted
from shared.kubernetes.workloads import parse_pod
from shared.secrets_rotation.model import HomeKind, HomeValue, RolloutState, SecretHome, SecretReader

# What `kubectl rollout restart` sets, so that people see it as they know it; ours says which one it is.
_RESTARTED, _MARK = "kubectl.kubernetes.io/restartedAt", "groundcrew/rotation"


class KubernetesSecrets:
    """Keys of Secrets behind `api`."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    def read(self, home: SecretHome) -> HomeValue:
        """See `SecretHomes.read`; the version is the Secret's resourceVersion."""
        item = self._api.get(_secret_path(home))
        try:
            value = base64.b64decode((item.get("data") or {})[home.key], validate=True).decode()
        except KeyError:
            raise NotFound("the Secret has no such key", value=home) from None
        except (binascii.Error, UnicodeDecodeError, TypeError):
            raise Corrupt("the Secret's key is no text", value=home) from None
        return HomeValue(Secret(value), str(item["metadata"]["resourceVersion"]))

    def write(self, home: SecretHome, value: Secret, version: str) -> None:
        """See `SecretHomes.write`."""
        data = {home.key: base64.b64encode(value.reveal().encode()).decode()}
        # With the version the API refuses the patch (409) if anybody has written since it was read.
        change = {"metadata": {"resourceVersion": version}, "data": data}
        self._api.merge_patch(_secret_path(home), change)

    def changed(self, home: SecretHome) -> datetime | None:
        """See `SecretHomes.changed`: when whoever owns the key wrote last.

        https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
        """
        item = self._api.get(_secret_path(home))
        if home.key not in (item.get("data") or {}):
            raise NotFound("the Secret has no such key", value=home)
        managed = (item.get("metadata") or {}).get("managedFields") or ()
        times = [
            at
            for entry in managed
            if _owns(entry, home.key) and (at := parse_optional_timestamp(entry.get("time")))
        ]
        return max(times, default=None)

    def expires(self, _home: SecretHome) -> datetime | None:
        """None: a Secret does not say."""
        return None


class KubernetesSecret:
    """The keys of one Secret, for a migration: `SecretKeys`."""

    def __init__(self, secrets: KubernetesSecrets, place: str) -> None:
        self._secrets, self._place = secrets, place

    def read_key(self, key: str) -> tuple[Secret, str]:
        """See `SecretKeys.read_key`."""
        value = self._secrets.read(SecretHome(HomeKind.KUBERNETES, self._place, key))
        return value.value, value.version

    def write_key(self, key: str, value: Secret, version: str) -> None:
        """See `SecretKeys.write_key`."""
        self._secrets.write(SecretHome(HomeKind.KUBERNETES, self._place, key), value, version)


class KubernetesRestarts:
    """Deployments and StatefulSets behind `api`."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    def restart(self, reader: SecretReader, mark: str) -> None:
        """See `ReaderControl.restart`."""
        item = self._api.get(_workload_path(reader))
        # A run that was killed after the restart does not restart the chat a second time.
        if _template_mark(item) == mark:
            return
        annotations = {_MARK: mark, _RESTARTED: mark}
        change = {
            "metadata": {"resourceVersion": str(item["metadata"]["resourceVersion"])},
            "spec": {"template": {"metadata": {"annotations": annotations}}},
        }
        self._api.merge_patch(_workload_path(reader), change)

    def observe(self, reader: SecretReader, mark: str, _holding: Sequence[Secret]) -> RolloutState:
        """See `ReaderControl.observe`: what the controller reports and what the pods themselves say.

        A restart that a controller calls done may have left pods of before, so each pod is looked at.
        """
        item = self._api.get(_workload_path(reader))
        if _template_mark(item) != mark:
            return RolloutState(done=False, reason="its restart was taken back by somebody else")
        spec, status = item.get("spec") or {}, item.get("status") or {}
        replicas = int(1 if spec.get("replicas") is None else spec["replicas"])
        # Until then the status tells of the pods of before, all of them ready.
        if int(status.get("observedGeneration") or 0) < int(item["metadata"].get("generation") or 0):
            return RolloutState(done=False, reason="the controller has not seen the restart")
        pods = [*self._pods(reader, spec)]
        old = [pod for pod in pods if _mark_of(pod) != mark]
        new = [parse_pod(pod) for pod in pods if _mark_of(pod) == mark]
        blocked = next((pod.blocked_reason for pod in new if pod.blocked_reason), "")
        if blocked:
            return RolloutState(done=False, reason=blocked, failed=_is_final(blocked))
        ready = sum(pod.ready for pod in new)
        if ready < replicas:
            return RolloutState(done=False, reason=f"{ready} of {replicas} pods are ready")
        if old:
            return RolloutState(done=False, reason=f"{len(old)} pods from before the restart are left")
        return RolloutState(done=True)

    def _pods(self, reader: SecretReader, spec: Json) -> Iterator[Json]:
        labels = (spec.get("selector") or {}).get("matchLabels") or {}
        selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
        path = f"/api/v1/namespaces/{quoted(reader.namespace)}/pods"
        for pod in self._api.list_items(path, {"labelSelector": selector}):
            if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
                yield pod


def connect_secrets(kubeconfig: Secret) -> KubernetesSecrets:
    """The kubeconfig's cluster. Imports the client. Raises UsageError."""
    return KubernetesSecrets(connect_api(kubeconfig))


def connect_secret(kubeconfig: Secret, namespace: str, name: str) -> KubernetesSecret:
    """One Secret of the kubeconfig's cluster. Imports the client. Raises UsageError."""
    return KubernetesSecret(connect_secrets(kubeconfig), f"{namespace}/{name}")


def connect_restarts(kubeconfig: Secret) -> KubernetesRestarts:
    """The kubeconfig's cluster. Imports the client. Raises UsageError."""
    return KubernetesRestarts(connect_api(kubeconfig))


def _secret_path(home: SecretHome) -> str:
    namespace, _, name = home.place.partition("/")
    return f"/api/v1/namespaces/{quoted(namespace)}/secrets/{quoted(name)}"


def _workload_path(reader: SecretReader) -> str:
    return f"/apis/apps/v1/namespaces/{quoted(reader.namespace)}/{reader.kind}s/{quoted(reader.name)}"


def _template_mark(item: Json) -> str:
    return _mark_of((item.get("spec") or {}).get("template") or {})


def _mark_of(item: Json) -> str:
    return str(((item.get("metadata") or {}).get("annotations") or {}).get(_MARK, ""))


def _owns(entry: Json, key: str) -> bool:
    fields = entry.get("fieldsV1") or {}
    return f"f:{key}" in (fields.get("f:data") or {}) or f"f:{key}" in (fields.get("f:stringData") or {})


def _is_final(stuck: str) -> bool:
    """Whether waiting helps: a container that crashes may wait for its database, an image may come."""
    return any(reason in stuck for reason in ("CreateContainerConfigError", "InvalidImageName"))
