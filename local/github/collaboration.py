"""Endpoints for what people and machines say of a change: pull requests, reviews, checks, comments."""

from __future__ import annotations

from aiohttp import web

from local.github import render
from local.github.call import Failure, GithubCall, Handler, paged_response
from local.github.model import Repository


def list_pulls(call: GithubCall) -> web.Response:
    """`GET /pulls?state=`."""
    state = call.query.get("state", "open")
    pulls = [pull for pull in call.repo.pulls.values() if state in ("all", pull.state)]
    return paged_response(call, [render.listed_pull(call.repo, pull, call.base) for pull in reversed(pulls)])


def get_pull(call: GithubCall) -> web.Response:
    """`GET /pulls/{n}`."""
    return web.json_response(render.render_pull(call.repo, call.pull(), call.base))


def list_reviews(call: GithubCall) -> web.Response:
    """`GET /pulls/{n}/reviews`, in the order of time."""
    return paged_response(call, [render.render_review(review) for review in call.pull().reviews])


def list_files(call: GithubCall) -> web.Response:
    """`GET /pulls/{n}/files`."""
    pull, history = call.pull(), call.repo.history
    # Of a head that was lost by a forced push.
    if pull.head_sha not in history.commits:
        raise Failure(422, "Sorry, this diff is unavailable.")
    base = history.merge_base(pull.base_sha, pull.head_sha)
    changes = history.changes(base, pull.head_sha)
    return paged_response(
        call, [render.changed_file(call.repo, path, word, pull.head_sha) for path, word in changes]
    )


def list_pulls_of_commit(call: GithubCall) -> web.Response:
    """`GET /commits/{sha}/pulls`: the merged pull request that brought a commit in, or open ones with it."""
    pulls = call.repo.pulls_of(call.sha())
    return paged_response(call, [render.listed_pull(call.repo, pull, call.base) for pull in pulls])


def list_check_runs(call: GithubCall) -> web.Response:
    """`GET /commits/{ref}/check-runs?filter=latest`: the newest run of each name and app."""
    sha = call.sha()
    runs = [check for check in call.repo.checks if check.sha == sha and check.app]
    if call.query.get("filter", "latest") == "latest":
        # By app and name: two apps may report checks of the same name, and only one of them is required.
        runs = list({(check.app, check.name): check for check in runs}.values())
    return paged_response(call, [render.check_run(check) for check in runs], wrap="check_runs")


def get_combined_status(call: GithubCall) -> web.Response:
    """`GET /commits/{ref}/status`: the newest status of each context and what they come to."""
    sha = call.sha()
    newest = {check.name: check for check in call.repo.checks if check.sha == sha and not check.app}
    states = [check.conclusion or "pending" for check in newest.values()]
    # Without any status GitHub says pending, which is no failure.
    state = "failure" if {"failure", "error"} & set(states) else "success"
    if not states or "pending" in states:
        state = "pending" if state == "success" else state
    rendered = [render.commit_status(check) for check in newest.values()]
    return paged_response(call, rendered, wrap="statuses", state=state, sha=sha)


def list_comments(call: GithubCall) -> web.Response:
    """`GET /issues/{n}/comments`."""
    if call.number() not in call.repo.pulls:
        raise Failure(404, "Not Found")
    return paged_response(call, call.repo.comments.get(call.number(), []))


def create_comment(call: GithubCall) -> web.Response:
    """`POST /issues/{n}/comments`."""
    number = call.number()
    if number not in call.repo.pulls:
        raise Failure(404, "Not Found")
    comment = {
        "id": call.repo.next_id(),
        "body": call.required("body"),
        # Who holds the token, whatever the body says: own comments are known by it.
        "user": render.render_user(call.login),
    }
    call.repo.comments.setdefault(number, []).append(comment)
    return web.json_response(comment, status=201)


def find_comment(repo: Repository, comment: int) -> dict[str, object] | None:
    """The comment of that id under any pull request."""
    every = (one for listed in repo.comments.values() for one in listed)
    return next((one for one in every if one.get("id") == comment), None)


def update_comment(call: GithubCall) -> web.Response:
    """`PATCH /issues/comments/{id}`."""
    comment = find_comment(call.repo, call.number("comment"))
    if comment is None:
        raise Failure(404, "Not Found")
    comment["body"] = call.required("body")
    return web.json_response(comment)


def get_permission(call: GithubCall) -> web.Response:
    """`GET /collaborators/{login}/permission`: the highest right a user has, in the four old words."""
    login = call.match["login"]
    # Also for somebody who left: then it is `none` or `read`.
    permission = call.repo.permissions.get(login, "write")
    answer = {"permission": permission, "role_name": permission, "user": render.render_user(login)}
    return web.json_response(answer)


def list_members(call: GithubCall) -> web.Response:
    """`GET /orgs/{org}/teams/{slug}/members`: 403 without the right to read the organization's members."""
    members = call.repo.teams.get(call.match["slug"])
    # What an App without the permission `members: read` gets.
    if call.repo.teams_hidden:
        raise Failure(403, "Resource not accessible by integration")
    if members is None:
        raise Failure(404, "Not Found")
    return paged_response(call, [render.render_user(login) for login in members])


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/pulls", list_pulls),
    ("GET", "/pulls/{number}", get_pull),
    ("GET", "/pulls/{number}/reviews", list_reviews),
    ("GET", "/pulls/{number}/files", list_files),
    ("GET", "/collaborators/{login}/permission", get_permission),
    ("GET", "/commits/{ref}/pulls", list_pulls_of_commit),
    ("GET", "/commits/{ref}/check-runs", list_check_runs),
    ("GET", "/commits/{ref}/status", get_combined_status),
    ("GET", "/issues/{number}/comments", list_comments),
    ("POST", "/issues/{number}/comments", create_comment),
    ("PATCH", "/issues/comments/{comment}", update_comment),
)
