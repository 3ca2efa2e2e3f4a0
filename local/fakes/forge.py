"""A forge in memory over the stand-in's model of a repository, without HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from local.github import Pull, Repository, code
from local.github.collaboration import find_comment
from local.github.deployments import CommitStatus, Deployment
from local.github.model import StoredCheck as Made
from local.github.model import app_id
from shared.deploy.model import (
    SHA,
    BranchCommit,
    ChangedFile,
    Check,
    DeployEnvironment,
    PullComment,
    PullRequest,
    RequiredCheck,
    Review,
)
from shared.deploy.ports.forge import (
    DEPLOYMENT_STATES,
    MAX_BRANCH_COMMITS,
    BranchProtection,
    DeploymentRecord,
)
from shared.kernel.errors import GroundcrewError, NotFound, Refused, UsageError


class MemoryForge:
    """`Forge` for one repository of `local.github`. What is in `failures` is raised by the next calls."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.failures: list[GroundcrewError] = []
        self.login = "groundcrew[bot]"

    def list_pull_requests_of(self, sha: str) -> list[PullRequest]:
        """See `Forge.list_pull_requests_of`."""
        self._require_commit(sha)
        # GitHub leaves out of lists who merged.
        return [_to_pull(one, whole=False) for one in self.repository.pulls_of(sha)]

    def get_pull_request(self, number: int) -> PullRequest:
        """See `Forge.get_pull_request`."""
        return _to_pull(self._to_pull(number), whole=True)

    def list_reviews(self, number: int) -> list[Review]:
        """See `Forge.list_reviews`."""
        rights = self.repository.permissions
        return [
            Review(
                one.user,
                one.state,
                one.commit_id,
                _whole_second(one.submitted_at),
                # The adapter asks for rights with one call each, and only for what counts.
                one.state in ("APPROVED", "CHANGES_REQUESTED")
                and rights.get(one.user, "write") in ("admin", "write"),
            )
            for one in self._to_pull(number).reviews
        ]

    def list_changed_files(self, number: int) -> list[ChangedFile]:
        """See `Forge.list_changed_files`."""
        pull, history = self._to_pull(number), self.repository.history
        base = history.merge_base(pull.base_sha, pull.head_sha)
        return [ChangedFile(path, word) for path, word in history.changes(base, pull.head_sha)]

    def list_checks(self, sha: str) -> list[Check]:
        """See `Forge.list_checks`."""
        self._require_commit(sha)
        checks = [one for one in self.repository.checks if one.sha == sha]
        newest = {(one.name, one.app): _to_check(one) for one in checks}
        return sorted(newest.values(), key=lambda one: (one.name, one.app))

    def get_branch_protection(self, branch: str) -> BranchProtection:
        """See `Forge.get_branch_protection`."""
        self.get_branch_tip(branch)
        rule = self.repository.protections.get(branch)
        required = [RequiredCheck(name, app) for name, app in rule.required_checks.items()] if rule else []
        return BranchProtection(rule is not None, frozenset(required))

    def get_environment(self, name: str) -> DeployEnvironment | None:
        """See `Forge.get_environment`."""
        self._raise_failure()
        environment = self.repository.environments.get(name)
        if environment is None:
            return None
        reviewers = [one for one in environment.reviewers if not one.startswith("team/")]
        slugs = [one.removeprefix("team/") for one in environment.reviewers if one.startswith("team/")]
        # Without the right to read members the API shows that there is a team, and nobody in it.
        teams = {} if self.repository.teams_hidden else self.repository.teams
        return DeployEnvironment(
            environment.name,
            (*reviewers, *(login for slug in slugs for login in teams.get(slug, ()))),
            tuple(slug for slug in slugs if slug not in teams),
            # GitHub keeps it as a part of the rule of required reviewers: without them there is none.
            environment.prevent_self_review and bool(environment.reviewers),
            timedelta(minutes=environment.wait_minutes),
            environment.branches if isinstance(environment.branches, tuple) else None,
            environment.branches == "protected",
        )

    def get_branch_tip(self, branch: str) -> str:
        """See `Forge.get_branch_tip`."""
        self._raise_failure()
        if branch not in self.repository.branches:
            raise NotFound("the fake forge has no such branch", value=branch)
        return self.repository.branches[branch]

    def compare_commits(self, base: str, head: str) -> str:
        """See `Forge.compare_commits`."""
        self._require_commit(base)
        self._require_commit(head)
        history = self.repository.history
        # GitHub answers 404, as for a commit that it does not have.
        if history.merge_base(base, head) is None:
            raise NotFound("the fake forge knows no common ancestor", value=f"{base} {head}")
        ahead, behind = history.only_in(head, base), history.only_in(base, head)
        if ahead:
            return "diverged" if behind else "ahead"
        return "behind" if behind else "identical"

    def get_commit(self, sha: str) -> BranchCommit:
        """See `Forge.get_commit`."""
        self._require_commit(sha)
        commit = self.repository.history.commits[sha]
        return BranchCommit(sha, commit.parents, _whole_second(commit.date))

    def list_first_parent_commits(self, base: str, head: str) -> list[BranchCommit]:
        """See `Forge.list_first_parent_commits`."""
        self.compare_commits(base, head)
        commits, line = self.repository.history.commits, []
        excluded = set(self.repository.history.ancestors(base))
        while head and head not in excluded:
            commit = commits[head]
            pulls = tuple(_to_pull(one, whole=False) for one in self.repository.pulls_of(head))
            line.append(BranchCommit(head, commit.parents, _whole_second(commit.date), pulls))
            head = commit.parents[0] if commit.parents else ""
        if len(line) > MAX_BRANCH_COMMITS:
            raise Refused("more commits came than are looked at", value=len(line), hint="Deploy one between")
        return line

    def list_compared_files(self, base: str, head: str) -> list[ChangedFile] | None:
        """See `Forge.list_compared_files`."""
        self.compare_commits(base, head)
        history = self.repository.history
        changes = history.changes(history.merge_base(base, head), head)
        # At most 300 files are listed, without a word about more:
        # https://docs.github.com/en/rest/commits/commits#compare-two-commits
        return [ChangedFile(path, word) for path, word in changes] if len(changes) < 300 else None

    def download_tarball(self, sha: str) -> Iterator[bytes]:
        """See `Forge.download_tarball`."""
        self._require_commit(sha)
        data = code.build_tarball(self.repository, sha)
        # Small pieces, so that also a small repository comes in several.
        yield from (data[at : at + 1000] for at in range(0, len(data), 1000))

    def list_deployments(self, environment: str, *, sha: str = "") -> list[DeploymentRecord]:
        """See `Forge.list_deployments`."""
        self._raise_failure()
        return [
            DeploymentRecord(
                deployment.id,
                deployment.sha,
                deployment.environment,
                deployment.state,
                deployment.description,
            )
            for deployment in reversed(self.repository.deployments)
            if deployment.environment == environment and sha in ("", deployment.sha)
        ][:10]

    def create_deployment(self, sha: str, environment: str, description: str) -> int:
        """See `Forge.create_deployment`."""
        self._require_commit(sha)
        repository, now = self.repository, datetime.now(UTC)
        # GitHub makes it, without protection, by a deployment to it.
        if environment not in repository.environments:
            repository.environment(environment)
        identity = repository.next_id()
        deployment = Deployment(
            identity, sha, sha, environment, description[:140], {}, "groundcrew[bot]", now
        )
        repository.deployments.append(deployment)
        return identity

    def set_deployment_status(self, deployment: int, state: str, description: str, log_url: str = "") -> None:
        """See `Forge.set_deployment_status`."""
        self._raise_failure()
        if state not in DEPLOYMENT_STATES:
            raise UsageError("not a state of a deployment", value=state)
        record = next((one for one in self.repository.deployments if one.id == deployment), None)
        if record is None:
            raise NotFound("the fake forge has no such deployment", value=deployment)
        # https://docs.github.com/en/rest/deployments/statuses#inactive-deployments: a success ends those of
        # before, which needs no call of ours.
        if state == "success":
            for other in self.repository.deployments:
                if other is not record and (other.environment, other.state) == (
                    record.environment,
                    "success",
                ):
                    other.statuses.append(self._new_status("inactive", "", ""))
        record.statuses.append(self._new_status(state, description[:140], log_url))

    def _new_status(self, state: str, description: str, log_url: str) -> CommitStatus:
        return CommitStatus(self.repository.next_id(), state, description, log_url, "", datetime.now(UTC))

    def create_comment(self, number: int, text: str) -> None:
        """See `Forge.create_comment`."""
        self._to_pull(number)
        entry = {"id": self.repository.next_id(), "body": text, "user": {"login": self.login}}
        self.repository.comments.setdefault(number, []).append(entry)

    def find_own_comment(self, number: int, marker: str) -> PullComment | None:
        """See `Forge.find_own_comment`."""
        self._to_pull(number)
        for entry in self.repository.comments.get(number, ()):
            if str(entry["body"]).startswith(marker) and entry["user"] == {"login": self.login}:
                return PullComment(int(str(entry["id"])), str(entry["body"]))
        return None

    def update_comment(self, comment: int, text: str) -> None:
        """See `Forge.update_comment`."""
        self._raise_failure()
        entry = find_comment(self.repository, comment)
        if entry is None:
            raise NotFound("the fake forge has no such comment", value=comment)
        entry["body"] = text

    def find_merge_base(self, base: str, head: str) -> str:
        """See `Forge.find_merge_base`."""
        self.compare_commits(base, head)
        return str(self.repository.history.merge_base(base, head))

    def _raise_failure(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    def _require_commit(self, sha: str) -> None:
        self._raise_failure()
        # GitHub takes branches and short SHAs as well, which may mean another commit a moment later.
        if not SHA.fullmatch(sha):
            raise UsageError("not a commit's full SHA", value=sha[:80])
        if sha not in self.repository.history.commits:
            raise NotFound("the fake forge has no such commit", value=sha)

    def _to_pull(self, number: int) -> Pull:
        self._raise_failure()
        if number not in self.repository.pulls:
            raise NotFound("the fake forge has no such pull request", value=number)
        return self.repository.pulls[number]


def _to_pull(pull: Pull, *, whole: bool) -> PullRequest:
    return PullRequest(
        pull.number,
        pull.author,
        pull.head_sha,
        pull.base_ref,
        pull.title,
        "",
        pull.merged,
        pull.merge_commit_sha or "",
        (pull.merged_by or "") if whole else "",
        _whole_second(pull.merged_at) if pull.merged_at else None,
        is_open=pull.state == "open",
        from_fork=pull.from_fork,
    )


def _to_check(status: Made) -> Check:
    state = status.conclusion or ("in_progress" if status.app else "pending")
    return Check(status.name, state, status.app, app_id(status.app))


def _whole_second(at: datetime) -> datetime:
    """GitHub tells whole seconds."""
    return at.replace(microsecond=0)
