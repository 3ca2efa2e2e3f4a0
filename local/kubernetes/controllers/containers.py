"""The containers of a scheduled pod: pulled, configured, started, ready, ended, restarted."""

from __future__ import annotations

import hashlib

from local.kubernetes.addons import NODE
from local.kubernetes.behaviour import PodProgram, container_output
from local.kubernetes.controllers.common import KUBELET, Context, short_digest, with_condition
from local.kubernetes.copying import copy_json
from local.kubernetes.defaults import stable_address
from local.kubernetes.errors import Object

# Doubled up to five minutes: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy
_BACKOFF_SECONDS = 10.0
_MOST_IMAGES = 50  # that a node tells of


def update_containers(context: Context, pod: Object) -> None:
    """Bring the pod's status up to date."""
    status = copy_json(pod.get("status") or {})
    uid = pod["metadata"]["uid"]
    status.setdefault("startTime", context.now)
    status |= {"hostIP": "10.0.0.4", "podIP": stable_address(uid, "10.1.77"), "hostIPs": [{"ip": "10.0.0.4"}]}
    status["podIPs"] = [{"ip": status["podIP"]}]
    waiting = "ContainerCreating"
    first = pod["spec"].get("initContainers") or []
    if first:
        waiting = "PodInitializing"
        status["initContainerStatuses"] = _container_statuses(
            context, pod, first, status.get("initContainerStatuses") or [], True
        )
    # A sidecar has started once it runs, and never ends: whoever waited for its end would wait for ever.
    # https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
    sidecars = [each.get("restartPolicy") == "Always" for each in first]
    done = all(
        _exit_code(each) == 0 or (sidecar and "running" in each["state"])
        for each, sidecar in zip(status.get("initContainerStatuses") or (), sidecars, strict=True)
    )
    known = status.get("containerStatuses") or []
    containers = pod["spec"]["containers"]
    if done:
        status["containerStatuses"] = _container_statuses(context, pod, containers, known, False)
    else:
        status["containerStatuses"] = [_waiting_status(each, waiting) for each in containers]
    _summarize_pod(context, pod, status, done)
    if status["phase"] in ("Succeeded", "Failed"):
        stop_programs(context, pod)  # sidecars end after the containers that they are beside
    context.set_status(pod, status, KUBELET)


def _container_statuses(
    context: Context, pod: Object, containers: list[Object], known: list[Object], initial: bool
) -> list[Object]:
    """The statuses of a list of containers; initial ones start one after the other."""
    by_name = {status["name"]: status for status in known}
    row: list[Object] = []
    blocked = False
    for container in containers:
        status = copy_json(by_name.get(container["name"])) or _waiting_status(container, "ContainerCreating")
        # Init containers run one after the other; those to come read as the pod's own do, PodInitializing.
        if blocked:
            row.append(_waiting_status(container, "PodInitializing"))
            continue
        _advance_container(context, pod, container, status, initial)
        row.append(status)
        sidecar = container.get("restartPolicy") == "Always" and "running" in status["state"]
        blocked = initial and _exit_code(status) != 0 and not sidecar
    return row


def _waiting_status(container: Object, reason: str) -> Object:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": reason}},
        "lastState": {},
    }


def _exit_code(status: Object) -> int | None:
    terminated = status["state"].get("terminated")
    return int(terminated["exitCode"]) if terminated else None


def _advance_container(
    context: Context, pod: Object, container: Object, status: Object, initial: bool
) -> None:
    """Move one container on as far as time allows, in place."""
    key = (pod["metadata"]["uid"], container["name"], status["restartCount"], initial)
    # Of a pod that restarts always, init containers are restarted on failure only: once done they stay done.
    # https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#detailed-behavior
    policy = (
        "OnFailure" if initial and pod["spec"]["restartPolicy"] == "Always" else pod["spec"]["restartPolicy"]
    )
    if container.get("restartPolicy") == "Always":
        policy = "Always"
    if "terminated" in status["state"]:
        _after_end(context, pod, status, policy)
    elif "running" in status["state"]:
        _while_running(context, container, status, key, initial)
    elif status["state"]["waiting"].get("reason") == "CrashLoopBackOff":
        seconds = min(300.0, _BACKOFF_SECONDS * 2 ** (status["restartCount"] - 1))
        if context.is_due((*key, "backoff"), seconds):
            _launch_container(context, pod, container, status)
    elif _pull_image(context, pod, container, status, key):
        # After the pull, as the kubelet does it: a missing Secret shows only once the image is there.
        if problem := _configuration_error(context, pod, container):
            _set_waiting(context, pod, status, "CreateContainerConfigError", problem, "Failed")
        else:
            _launch_container(context, pod, container, status)


def _pull_image(
    context: Context, pod: Object, container: Object, status: Object, key: tuple[object, ...]
) -> bool:
    image = container["image"]
    if not context.is_due((*key, "pull"), context.behaviour.pull_seconds):
        return False
    if context.behaviour.can_pull(image):
        _record_node_image(context, image)
        return True
    # The attempt that fails reads ErrImagePull, and the wait for the next one ImagePullBackOff.
    if context.is_due((*key, "pull again"), 2.0):
        _set_waiting(context, pod, status, "ImagePullBackOff", f'Back-off pulling image "{image}"', "BackOff")
    else:
        message = f'Failed to pull image "{image}": not found'
        _set_waiting(context, pod, status, "ErrImagePull", message, "Failed")
    return False


def _record_node_image(context: Context, image: str) -> None:
    """The node tells of the image from now on."""
    names = _image_names(image)
    node = context.store.get(("", "nodes"), "", NODE)
    listed = (node.get("status") or {}).get("images") or [] if node else []
    if node and not any(names[-1] in each["names"] for each in listed):
        listed = [*listed, {"names": names, "sizeBytes": context.behaviour.image_bytes}]
        context.set_status(node, {**node["status"], "images": listed[-_MOST_IMAGES:]}, KUBELET)


def _image_names(image: str) -> list[str]:
    """By digest and, if it was not asked for by that, by tag: in full, as containerd has them."""
    name, _, pinned = image.partition("@")
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif first != "localhost" and not {".", ":"} & set(first):
        name = f"docker.io/{name}"
    folder, _, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    if pinned:
        return [f"{folder}/{last}@{pinned}"]
    digest = hashlib.sha256(image.encode()).hexdigest()
    return [f"{folder}/{last}@sha256:{digest}", f"{folder}/{last}:{tag or 'latest'}"]


def _set_waiting(
    context: Context, pod: Object, status: Object, reason: str, message: str, event: str
) -> None:
    state = {"waiting": {"reason": reason, "message": message}}
    if status["state"] != state:
        status["state"] = state
        context.event(pod, event, message, kind="Warning", source=KUBELET)


def _configuration_error(context: Context, pod: Object, container: Object) -> str:
    """Which ConfigMap or Secret, or which key of it, the container lacks; an empty text if none."""
    namespace = pod["metadata"]["namespace"]
    references: list[tuple[str, Object]] = []
    for source in container.get("envFrom") or ():
        references += [
            ("configmaps", source.get("configMapRef") or {}),
            ("secrets", source.get("secretRef") or {}),
        ]
    for variable in container.get("env") or ():
        value = variable.get("valueFrom") or {}
        references += [
            ("configmaps", value.get("configMapKeyRef") or {}),
            ("secrets", value.get("secretKeyRef") or {}),
        ]
    for plural, ref in references:
        if not ref.get("name") or ref.get("optional"):
            continue
        found = context.store.get(("", plural), namespace, ref["name"])
        if found is None:
            return f'{plural.removesuffix("s")} "{ref["name"]}" not found'
        if ref.get("key") and ref["key"] not in (found.get("data") or {}):
            return f"couldn't find key {ref['key']} in {found['kind']} {namespace}/{ref['name']}"
    return ""


def _launch_container(context: Context, pod: Object, container: Object, status: Object) -> None:
    uid = pod["metadata"]["uid"]
    status["state"] = {"running": {"startedAt": context.now}}
    status |= {"started": True, "containerID": f"containerd://{short_digest([uid, container['name']], 40)}"}
    status["imageID"] = f"{container['image']}@sha256:{short_digest(container['image'], 40)}"
    place = (pod["metadata"]["namespace"], pod["metadata"]["name"], container["name"])
    lines = container_output(container) or [f"{container['name']} started from {container['image']}"]
    context.cluster.logs[place] = lines
    if start := context.behaviour.find_program(place[0], container):
        context.cluster.programs[uid, container["name"]] = start(container)
    context.event(pod, "Started", f"Started container {container['name']}", source=KUBELET)


def _while_running(
    context: Context, container: Object, status: Object, key: tuple[object, ...], initial: bool
) -> None:
    program = context.cluster.programs.get((str(key[0]), str(key[1])))
    if program is not None:
        _follow_program(context, container, status, program, initial=initial)
        return
    ending = context.behaviour.find_exit(container, initial=initial)
    if ending is not None and context.is_due((*key, "end"), ending[1]):
        started = status["state"]["running"]["startedAt"]
        code = ending[0]
        terminated = {"exitCode": code, "reason": "Error" if code else "Completed"}
        status["state"] = {"terminated": {**terminated, "startedAt": started, "finishedAt": context.now}}
        status |= {"ready": initial and code == 0, "started": False}
        return
    delay = context.behaviour.readiness_delay(container)
    if delay is not None and not status["ready"] and context.is_due((*key, "ready"), delay):
        status["ready"] = True


def _follow_program(
    context: Context, container: Object, status: Object, program: PodProgram, *, initial: bool
) -> None:
    """What became of a program that really runs. While it runs it is ready: who asks it finds out more."""
    ending = program.find_exit()
    if ending is None:
        status["ready"] = True
        context.look_again()
        return
    code, lines = ending
    started = status["state"]["running"]["startedAt"]
    terminated: Object = {"exitCode": code, "reason": "Error" if code else "Completed"}
    # https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
    if code and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        terminated["message"] = lines[-2048:]
    status["state"] = {"terminated": {**terminated, "startedAt": started, "finishedAt": context.now}}
    status |= {"ready": initial and code == 0, "started": False}


def stop_programs(context: Context, pod: Object) -> None:
    """With the pod ends what runs in it."""
    uid = pod["metadata"]["uid"]
    for key in [key for key in context.cluster.programs if key[0] == uid]:
        context.cluster.programs.pop(key).stop()


def _after_end(context: Context, pod: Object, status: Object, policy: str) -> None:
    code = _exit_code(status)
    if policy == "Never" or (policy == "OnFailure" and code == 0):
        return
    message = f"back-off restarting failed container={status['name']} pod={pod['metadata']['name']}"
    status |= {"restartCount": status["restartCount"] + 1, "lastState": status["state"]}
    _set_waiting(context, pod, status, "CrashLoopBackOff", message, "BackOff")


def _summarize_pod(context: Context, pod: Object, status: Object, initialized: bool) -> None:
    """Phase and conditions from the containers' states."""
    rows = status["containerStatuses"]
    policy = pod["spec"]["restartPolicy"]
    codes = [_exit_code(each) for each in rows]
    failed_first = policy == "Never" and any(
        _exit_code(each) for each in status.get("initContainerStatuses") or ()
    )
    ended = all(
        code is not None and (policy == "Never" or (policy == "OnFailure" and code == 0)) for code in codes
    )
    if failed_first or (ended and any(codes)):
        status["phase"] = "Failed"
    elif ended:
        status["phase"] = "Succeeded"
    elif any(each["state"].get("running") or each["restartCount"] or each["lastState"] for each in rows):
        status["phase"] = "Running"
    else:
        status["phase"] = "Pending"
    ready = all(each["ready"] for each in rows) and status["phase"] == "Running"
    completed = "PodCompleted" if status["phase"] == "Succeeded" else "ContainersNotReady"
    names = [each["name"] for each in rows if not each["ready"]]
    message = "" if ready else f"containers with unready status: [{' '.join(names)}]"
    now = context.now
    with_condition(status, "Initialized", "True" if initialized else "False", now)
    for kind in ("ContainersReady", "Ready"):
        with_condition(status, kind, "True" if ready else "False", now, "" if ready else completed, message)
