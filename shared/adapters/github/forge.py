"""`Forge` over the REST API, for one repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import quote

from shared.adapters.github import parsing
from shared.adapters.github.auth import AppKey, TokenSource
from shared.adapters.github.connecting import connect_api, own_login_reader
from shared.adapters.github.wire import GithubApi
from shared.deploy.gates.history import walk_first_parents
from shared.deploy.model import (
    REPOSITORY,
    SHA,
    BranchCommit,
    ChangedFile,
    Check,
    DeployEnvironment,
    PullComment,
    PullRequest,
    Review,
)
from shared.deploy.ports.forge import (
    DEPLOYMENT_STATES,
    MAX_BRANCH_COMMITS,
    BranchProtection,
    DeploymentRecord,
)
from shared.kernel.errors import NotFound, Refused, Unavailable, UsageError
from shared.kernel.ports import Clock

PUBLIC_API = "https://api.github.com"
MOST_FILES = 3000  # GitHub lists no more of one pull request
# https://docs.github.com/en/rest/commits/commits#compare-two-commits: at most 300 files, on the first page.
_MOST_FILES = 300
MOST_COMPARED = 1000  # commits between two, those of the branches that were merged included
MOST_ARCHIVE_BYTES = 64 << 20
_MOST_DEPLOYMENTS = 10
_DESCRIPTION_CHARACTERS = 140
_COMMENT_CHARACTERS = 60_000  # GitHub's limit is 65,536
_VERDICTS = ("APPROVED", "CHANGES_REQUESTED")
_IN_BETWEEN = "Deploy a commit in between first, at most {} merges later: groundcrew deploy run SHA"
_RELATIONS = frozenset({"ahead", "identical", "behind", "diverged"})


class GitHubForge:
    """One repository of `api`."""

    def __init__(self, api: GithubApi, repository: str, read_own_login: Callable[[], str]) -> None:
        if not REPOSITORY.fullmatch(repository) or ".." in repository:
            raise UsageError("not a repository", value=repository, hint="Write owner/name")
        self._api, self._at = api, f"/repos/{repository}"
        self._owner = repository.partition("/")[0]
        self._read_own_login = read_own_login

    def list_pull_requests_of(self, sha: str) -> list[PullRequest]:
        """See `Forge.list_pull_requests_of`."""
        pulls = self._api.pages(f"{self._commit(sha)}/pulls")
        return [parsing.parse_pull(item) for item in pulls]

    def get_pull_request(self, number: int) -> PullRequest:
        """See `Forge.get_pull_request`."""
        return parsing.parse_pull(self._api.get(f"{self._at}/pulls/{number:d}"))

    def list_reviews(self, number: int) -> list[Review]:
        """See `Forge.list_reviews`."""
        items = self._api.pages(f"{self._at}/pulls/{number:d}/reviews")
        reviews = [parsing.parse_review(item) for item in items]
        judging = {one.reviewer for one in reviews if one.state in _VERDICTS}
        # Anybody with a GitHub account may approve a pull request of a public repository: only who can push
        # counts.
        writers = {login for login in sorted(judging) if self._may_write(login)}
        return [replace(one, may_write=one.state in _VERDICTS and one.reviewer in writers) for one in reviews]

    def _may_write(self, login: str) -> bool:
        """Whether they could push; a deleted account has no login, and no rights either."""
        try:
            item = self._api.get(f"{self._at}/collaborators/{_quoted(login)}/permission") if login else {}
        except NotFound:
            return False
        return parsing.parse_may_write(item)

    def list_changed_files(self, number: int) -> list[ChangedFile]:
        """See `Forge.list_changed_files`."""
        files = [parsing.parse_file(one) for one in self._api.pages(f"{self._at}/pulls/{number:d}/files")]
        # Exactly the limit is refused, too: whether there are more cannot be told.
        if len(files) >= MOST_FILES:
            hint = "Split it: GitHub does not list more, so nobody can say what else it changes"
            raise Refused("the pull request changes too many files", value=len(files), hint=hint)
        return files

    def list_checks(self, sha: str) -> list[Check]:
        """See `Forge.list_checks`."""
        commit = self._commit(sha)
        # The latest of each name: one that failed and was run again successfully is green.
        runs = self._api.pages(f"{commit}/check-runs", {"filter": "latest"}, within="check_runs")
        statuses = self._api.pages(f"{commit}/status", within="statuses")
        checks = [*map(parsing.parse_check_run, runs), *map(parsing.parse_status, statuses)]
        return sorted(checks, key=lambda one: (one.name, one.app, one.app_id))

    def get_branch_protection(self, branch: str) -> BranchProtection:
        """See `Forge.get_branch_protection`."""
        item = self._api.get(f"{self._at}/branches/{_quoted(branch)}")
        rules = list(self._api.pages(f"{self._at}/rules/branches/{_quoted(branch)}"))
        required = parsing.parse_classic_checks(item) | parsing.parse_rule_checks(rules)
        return BranchProtection(item.get("protected") is True or bool(rules), required)

    def get_environment(self, name: str) -> DeployEnvironment | None:
        """See `Forge.get_environment`."""
        at = f"{self._at}/environments/{_quoted(name)}"
        try:
            item = self._api.get(at)
        except NotFound:
            return None
        # Null lets every branch in. Custom patterns are a list of their own, which only then exists.
        policy = item.get("deployment_branch_policy") or {}
        branches = []
        if policy.get("custom_branch_policies"):
            branches = list(self._api.pages(f"{at}/deployment-branch-policies", within="branch_policies"))
        environment = parsing.parse_environment(item, branches)
        members = {team: self._members(team) for team in environment.unread_teams}
        return replace(
            environment,
            reviewers=(
                *environment.reviewers,
                *(login for logins in members.values() for login in logins or ()),
            ),
            unread_teams=tuple(team for team, logins in members.items() if logins is None),
        )

    def _members(self, team: str) -> list[str] | None:
        """A team's logins; None without the right to read them (Members of the organization: read).

        https://docs.github.com/en/rest/teams/members#list-team-members
        """
        members = self._api.pages(f"/orgs/{_quoted(self._owner)}/teams/{_quoted(team)}/members")
        try:
            return [login for login in map(parsing.parse_login, members) if login]
        except (NotFound, Refused):
            return None

    def get_branch_tip(self, branch: str) -> str:
        """See `Forge.get_branch_tip`."""
        item = self._api.get(f"{self._at}/git/ref/heads/{_quoted(branch)}")
        # A prefix of several names is answered with a list.
        sha = item.get("object", {}).get("sha") if isinstance(item, dict) else None
        if not sha:
            raise NotFound("GitHub: there is no such branch", value=branch)
        return str(sha)

    def compare_commits(self, base: str, head: str) -> str:
        """See `Forge.compare_commits`."""
        path = f"{self._at}/compare/{_sha(base)}...{_sha(head)}"
        # One commit suffices: the relation of the two ends is in every page.
        status = str(self._api.get(path, {"per_page": "1"}).get("status"))
        if status not in _RELATIONS:
            raise Unavailable("GitHub: an unknown relation of two commits", value=status[:40])
        return status

    def get_commit(self, sha: str) -> BranchCommit:
        """See `Forge.get_commit`."""
        item = self._api.get(f"{self._at}/git/commits/{_sha(sha)}")
        return parsing.parse_commit({**item, "commit": item})

    def list_first_parent_commits(self, base: str, head: str) -> list[BranchCommit]:
        """See `Forge.list_first_parent_commits`."""
        line = walk_first_parents(self._compared(base, head), head)
        if len(line) > MAX_BRANCH_COMMITS:
            raise Refused(
                "more commits came than are looked at",
                value=len(line),
                hint=_IN_BETWEEN.format(MAX_BRANCH_COMMITS),
            )
        # One request for each commit: GitHub cannot tell the pull requests of several at once over REST.
        return [replace(one, pulls=tuple(self.list_pull_requests_of(one.sha))) for one in line]

    def _compared(self, base: str, head: str) -> dict[str, BranchCommit]:
        """The commits of `head` that `base` does not have, by SHA.

        Page by page until all are there that the answer counts: one that is missing would end the line.
        https://docs.github.com/en/rest/commits/commits#compare-two-commits
        """
        path, commits = f"{self._at}/compare/{_sha(base)}...{_sha(head)}", dict[str, BranchCommit]()
        for page in range(1, MOST_COMPARED // 100 + 1):
            item = self._api.get(path, {"per_page": "100", "page": str(page)})
            total = item.get("total_commits")
            if not isinstance(total, int):
                raise Unavailable("GitHub: not the expected answer", value=path)
            if total > MOST_COMPARED:
                hint = _IN_BETWEEN.format(MAX_BRANCH_COMMITS)
                raise Refused("more commits came than are looked at", value=total, hint=hint)
            commits |= {one.sha: one for one in map(parsing.parse_commit, item["commits"])}
            if len(commits) >= total:
                return commits
        raise Unavailable("GitHub did not tell all commits between two", value=len(commits))

    def list_compared_files(self, base: str, head: str) -> list[ChangedFile] | None:
        """See `Forge.list_compared_files`."""
        path = f"{self._at}/compare/{_sha(base)}...{_sha(head)}"
        items = self._api.get(path, {"per_page": "1"}).get("files") or []
        if len(items) >= _MOST_FILES:
            return None
        return sorted(map(parsing.parse_file, items), key=lambda one: one.path)

    def download_tarball(self, sha: str) -> Iterator[bytes]:
        """See `Forge.download_tarball`."""
        return self._api.archive(f"{self._at}/tarball/{_sha(sha)}", most_bytes=MOST_ARCHIVE_BYTES)

    def list_deployments(self, environment: str, *, sha: str = "") -> list[DeploymentRecord]:
        """See `Forge.list_deployments`."""
        query = {"environment": environment, "per_page": str(_MOST_DEPLOYMENTS)}
        items = self._api.get(f"{self._at}/deployments", query | ({"sha": _sha(sha)} if sha else {}))
        return [
            parsing.parse_deployment(item, self._state_of(int(item["id"])))
            for item in items[:_MOST_DEPLOYMENTS]
        ]

    def create_deployment(self, sha: str, environment: str, description: str) -> int:
        """See `Forge.create_deployment`."""
        # Without automatic merges and contexts: what may be deployed was decided by the gates.
        body = {
            "ref": _sha(sha),
            "environment": environment,
            "description": description[:_DESCRIPTION_CHARACTERS],
            "auto_merge": False,
            "required_contexts": [],
        }
        try:
            return int(self._api.post(f"{self._at}/deployments", body)["id"])
        except UsageError as error:
            if "ref found" in str(error):
                raise NotFound("GitHub: the commit is gone", value=sha) from error
            raise

    def set_deployment_status(self, deployment: int, state: str, description: str, log_url: str = "") -> None:
        """See `Forge.set_deployment_status`."""
        if state not in DEPLOYMENT_STATES:
            raise UsageError("not a state of a deployment", value=state)
        body = {"state": state, "description": description[:_DESCRIPTION_CHARACTERS]}
        path = f"{self._at}/deployments/{deployment:d}/statuses"
        self._api.post(path, body | ({"log_url": log_url} if log_url else {}))

    def create_comment(self, number: int, text: str) -> None:
        """See `Forge.create_comment`."""
        self._api.post(f"{self._at}/issues/{number:d}/comments", {"body": text[:_COMMENT_CHARACTERS]})

    def find_own_comment(self, number: int, marker: str) -> PullComment | None:
        """See `Forge.find_own_comment`."""
        listed = self._api.pages(f"{self._at}/issues/{number:d}/comments")
        marked = [item for item in listed if parsing.parse_comment(item).text.startswith(marker)]
        # Who we are need not be asked where there is nothing to tell apart.
        own = self._read_own_login().lower() if marked else ""
        written = [item for item in marked if own and parsing.parse_login(item.get("user")).lower() == own]
        return parsing.parse_comment(written[0]) if written else None

    def update_comment(self, comment: int, text: str) -> None:
        """See `Forge.update_comment`."""
        self._api.patch(f"{self._at}/issues/comments/{comment:d}", {"body": text[:_COMMENT_CHARACTERS]})

    def find_merge_base(self, base: str, head: str) -> str:
        """See `Forge.find_merge_base`."""
        item = self._api.get(f"{self._at}/compare/{_sha(base)}...{_sha(head)}", {"per_page": "1"})
        return _sha(str((item.get("merge_base_commit") or {}).get("sha") or ""))

    def _state_of(self, deployment: int) -> str:
        statuses = self._api.get(f"{self._at}/deployments/{deployment:d}/statuses", {"per_page": "1"})
        return str(statuses[0]["state"]) if statuses else "pending"

    def _commit(self, sha: str) -> str:
        return f"{self._at}/commits/{_sha(sha)}"


def connect(
    repository: str,
    tokens: TokenSource | AppKey,
    clock: Clock,
    *,
    url: str = PUBLIC_API,
    installation: int = 0,
) -> GitHubForge:
    """The repository's forge, as the holder of a token or as an App. Imports requests.

    `installation` spares an App the question which one the repository belongs to. Raises UsageError.
    """
    api = connect_api(repository, tokens, clock, url=url, installation=installation)
    return GitHubForge(api, repository, own_login_reader(api, tokens, clock, url=url))


def _sha(text: str) -> str:
    if not SHA.fullmatch(text):
        raise UsageError("not a commit's full SHA", value=text[:80])
    return text


def _quoted(name: str) -> str:
    return quote(name, safe="")
