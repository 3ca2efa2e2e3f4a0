"""Endpoints for deployments and environments."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from local.github import render
from local.github.call import Failure, GithubCall, Handler, paged_response
from local.github.deployments import CommitStatus, Deployment

STATES = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")
DESCRIPTION_CHARACTERS = 140


def list_deployments(call: GithubCall) -> web.Response:
    """`GET /deployments?sha=&ref=&environment=`, newest first."""
    conditions = {key: call.query[key] for key in ("sha", "ref", "environment") if key in call.query}
    deployments = [
        deployment
        for deployment in reversed(call.repo.deployments)
        if all(getattr(deployment, k) == v for k, v in conditions.items())
    ]
    return paged_response(
        call, [render.render_deployment(call.repo, deployment, call.base) for deployment in deployments]
    )


def create_deployment(call: GithubCall) -> web.Response:
    """`POST /deployments`: 422 for an unknown ref, 409 when required contexts are not green."""
    ref = call.required("ref")
    sha = call.repo.resolve(ref)
    if sha is None:
        raise Failure(422, f"No ref found for: {ref}")
    contexts = call.body.get("required_contexts")
    newest = {check.name: check.conclusion for check in call.repo.checks if check.sha == sha}
    # All of them by default; an empty list asks for none.
    required = list(newest) if contexts is None else contexts
    if not all(newest.get(name) == "success" for name in required):
        raise Failure(409, f"Conflict: Commit status checks failed for {ref}.")
    name = str(call.body.get("environment", "production"))
    # GitHub makes an environment that is named and not there, without any protection.
    if name not in call.repo.environments:
        call.repo.environment(name)
    description, payload = str(call.body.get("description") or ""), call.body.get("payload", {})
    now = datetime.now(UTC)
    deployment = Deployment(call.repo.next_id(), ref, sha, name, description, payload, "groundcrew[bot]", now)
    call.repo.deployments.append(deployment)
    return web.json_response(render.render_deployment(call.repo, deployment, call.base), status=201)


def _find_deployment(call: GithubCall) -> Deployment:
    number = call.number()
    match = next((deployment for deployment in call.repo.deployments if deployment.id == number), None)
    if match is None:
        raise Failure(404, "Not Found")
    return match


def get_deployment(call: GithubCall) -> web.Response:
    """`GET /deployments/{id}`."""
    return web.json_response(render.render_deployment(call.repo, _find_deployment(call), call.base))


def list_statuses(call: GithubCall) -> web.Response:
    """`GET /deployments/{id}/statuses`, newest first."""
    deployment = _find_deployment(call)
    rendered = [
        render.deployment_status(status, deployment.creator, deployment.environment)
        for status in deployment.statuses
    ]
    return paged_response(call, rendered[::-1])


def create_status(call: GithubCall) -> web.Response:
    """`POST /deployments/{id}/statuses`; a success makes the environment's earlier ones inactive."""
    deployment, state = _find_deployment(call), call.required("state")
    description = str(call.body.get("description") or "")
    if state not in STATES:
        raise Failure(422, f"Validation Failed: state is not included in the list: {state}")
    # Refused, not cut: a status with a long reason is lost without this.
    if len(description) > DESCRIPTION_CHARACTERS:
        raise Failure(422, "Validation Failed: description is too long (maximum is 140 characters)")
    if deployment.state == "inactive":
        raise Failure(422, "Validation Failed: Cannot set a status on an inactive deployment.")
    # https://docs.github.com/en/rest/deployments/statuses#create-a-deployment-status
    if state == "success" and call.body.get("auto_inactive", True):
        for other in call.repo.deployments:
            if (
                other is not deployment
                and other.environment == deployment.environment
                and other.state == "success"
            ):
                _append_status(call, other, "inactive", "")
    status = _append_status(call, deployment, state, description)
    rendered = render.deployment_status(status, deployment.creator, deployment.environment)
    return web.json_response(rendered, status=201)


def _append_status(call: GithubCall, deployment: Deployment, state: str, description: str) -> CommitStatus:
    log_url = str(call.body.get("log_url") or "")
    environment_url = str(call.body.get("environment_url") or "")
    now = datetime.now(UTC)
    status = CommitStatus(call.repo.next_id(), state, description, log_url, environment_url, now)
    deployment.statuses.append(status)
    return status


def get_environment(call: GithubCall) -> web.Response:
    """`GET /environments/{name}`."""
    environment = call.repo.environments.get(call.match["name"])
    if environment is None:
        raise Failure(404, "Not Found")
    return web.json_response(render.render_environment(environment))


def list_branch_policies(call: GithubCall) -> web.Response:
    """`GET /environments/{name}/deployment-branch-policies`."""
    environment = call.repo.environments.get(call.match["name"])
    if environment is None:
        raise Failure(404, "Not Found")
    # Patterns are listed apart: the environment itself says only that there are some.
    patterns = environment.branches if isinstance(environment.branches, tuple) else ()
    policies = [{"id": index, "name": name, "type": "branch"} for index, name in enumerate(patterns)]
    return paged_response(call, policies, wrap="branch_policies")


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/deployments", list_deployments),
    ("POST", "/deployments", create_deployment),
    ("GET", "/deployments/{number}", get_deployment),
    ("GET", "/deployments/{number}/statuses", list_statuses),
    ("POST", "/deployments/{number}/statuses", create_status),
    ("GET", "/environments/{name}/deployment-branch-policies", list_branch_policies),
    ("GET", "/environments/{name}", get_environment),
)
