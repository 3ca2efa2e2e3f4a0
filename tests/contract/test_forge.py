"""What a forge promises, asked of GitHub's REST API (the stand-in) and of the fake alike."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from local.fakes.forge import MemoryForge
from local.github import GitHubServer, Repository, Symlink
from shared.adapters.clock import SystemClock
from shared.adapters.github import connect, fixed_token
from shared.deploy.model import ChangedFile, Check, RequiredCheck
from shared.deploy.ports.forge import MAX_BRANCH_COMMITS, Forge
from shared.formats.tarball import read_files
from shared.kernel.errors import NotFound, Refused, UsageError
from shared.kernel.secret import Secret
from tests.support.published_api import describe_faults, github_api

GONE = "0123456789abcdef0123456789abcdef01234567"
CHART = {"chart/Chart.yaml": b"name: chat\n", "README.md": b"# chat\n"}


@dataclass
class Stage:
    """The forge that is asked, and the repository behind it as its people change it."""

    forge: Forge
    repository: Repository

    def merged(self, changes: dict[str, bytes], *, method: str = "merge") -> tuple[int, str]:
        """A pull request that was reviewed and merged: its number and the merge's SHA."""
        self.repository.branch("topic")
        self.repository.commit(changes, branch="topic", author="ada")
        pull = self.repository.open_pull("topic", author="ada", title="Bigger uploads")
        self.repository.review(pull, "grace")
        return pull.number, self.repository.merge(pull, by="grace", method=method)


@pytest.fixture(params=["github", "memory"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A repository with one commit on main."""
    if request.param == "memory":
        repository = Repository("acme/chat")
        repository.commit(CHART)
        yield Stage(MemoryForge(repository), repository)
        return
    with GitHubServer() as server:
        repository = server.repository("acme/chat")
        repository.commit(CHART)
        token = fixed_token(Secret(server.token))
        yield Stage(connect("acme/chat", token, SystemClock(), url=server.url), repository)
        assert describe_faults(github_api(), server) == []


@pytest.mark.parametrize("method", ["merge", "squash"])
def test_a_merge_is_found_by_its_sha_whatever_the_method(stage, method):
    number, sha = stage.merged({"chart/values.yaml": b"a: 1\n"}, method=method)
    found = stage.forge.list_pull_requests_of(sha)
    assert [(one.number, one.merged, one.merge_sha) for one in found] == [(number, True, sha)]
    assert found[0].base_branch == "main"
    assert found[0].merged_at is not None
    assert not found[0].is_open


def test_a_commit_that_came_without_a_pull_request_has_none(stage):
    pushed = stage.repository.commit({"chart/values.yaml": b"a: 1\n"})
    assert stage.forge.list_pull_requests_of(pushed) == []


def test_a_pull_request_tells_who_wrote_and_who_merged_it(stage):
    number, _ = stage.merged({"chart/values.yaml": b"a: 1\n"})
    pull = stage.forge.get_pull_request(number)
    assert (pull.author, pull.merged_by, pull.title) == ("ada", "grace", "Bigger uploads")
    assert pull.head_sha == stage.repository.pulls[number].head_sha


def test_an_open_pull_request_is_not_merged(stage):
    stage.repository.branch("topic")
    stage.repository.commit({"chart/values.yaml": b"a: 1\n"}, branch="topic")
    number = stage.repository.open_pull("topic").number
    pull = stage.forge.get_pull_request(number)
    assert (pull.merged, pull.merged_at, pull.merged_by) == (False, None, "")
    assert pull.is_open
    assert [
        one.is_open for one in stage.forge.list_pull_requests_of(pull.head_sha) if one.number == number
    ] == [True]


def test_reviews_come_in_order_with_the_commit_they_are_of(stage):
    stage.repository.branch("topic")
    first = stage.repository.commit({"a": b"1"}, branch="topic")
    pull = stage.repository.open_pull("topic", author="ada")
    stage.repository.review(pull, "grace", "CHANGES_REQUESTED")
    second = stage.repository.commit({"a": b"2"}, branch="topic")
    stage.repository.review(pull, "grace", "APPROVED")
    found = stage.forge.list_reviews(pull.number)
    assert [(one.reviewer, one.state, one.commit) for one in found] == [
        ("grace", "CHANGES_REQUESTED", first),
        ("grace", "APPROVED", second),
    ]
    assert all(one.submitted_at is not None and one.submitted_at.tzinfo for one in found)


def test_of_who_judges_it_is_told_whether_they_may_write(stage):
    stage.repository.branch("topic")
    pull = stage.repository.open_pull("topic", author="ada")
    stage.repository.permissions |= {"mallory": "read", "linus": "none", "alan": "admin"}
    for who in ("grace", "mallory", "linus", "alan", "mallory"):
        stage.repository.review(pull, who)
    stage.repository.review(pull, "grace", "CHANGES_REQUESTED")
    stage.repository.review(pull, "linus", "CHANGES_REQUESTED")
    stage.repository.review(pull, "alan", "COMMENTED")
    found = [(one.reviewer, one.may_write) for one in stage.forge.list_reviews(pull.number)]
    assert found == [
        ("grace", True),
        ("mallory", False),
        ("linus", False),
        ("alan", True),
        ("mallory", False),
        ("grace", True),
        ("linus", False),
        ("alan", False),
    ]


def test_more_reviews_than_a_page_holds_are_all_read(stage):
    stage.repository.branch("topic")
    pull = stage.repository.open_pull("topic")
    for number in range(230):
        stage.repository.review(pull, f"user-{number}", "COMMENTED")
    assert [one.reviewer for one in stage.forge.list_reviews(pull.number)] == [
        f"user-{n}" for n in range(230)
    ]


def test_changed_files_are_those_of_the_pull_request_only(stage):
    stage.repository.branch("topic")
    stage.repository.commit({"chart/values.yaml": b"a: 1\n", "README.md": None}, branch="topic")
    pull = stage.repository.open_pull("topic")
    stage.repository.commit({"elsewhere": b"on main"})
    assert stage.forge.list_changed_files(pull.number) == [
        ChangedFile("README.md", "removed"),
        ChangedFile("chart/values.yaml", "added"),
    ]


def test_of_each_check_and_status_the_newest_result_counts(stage):
    sha = stage.repository.branches["main"]
    stage.repository.check(sha, "lint", "failure")
    stage.repository.check(sha, "lint", "success")
    stage.repository.check(sha, "render", None)
    stage.repository.check(sha, "ci/legacy", "failure", app="")
    stage.repository.check(sha, "ci/running", None, app="")
    assert stage.forge.list_checks(sha) == [
        Check("ci/legacy", "failure"),
        Check("ci/running", "pending"),
        Check("lint", "success", "github-actions", 15368),
        Check("render", "in_progress", "github-actions", 15368),
    ]


def test_more_checks_and_statuses_than_a_page_holds_are_all_read(stage):
    sha = stage.repository.branches["main"]
    for number in range(120):
        stage.repository.check(sha, f"run-{number:03}")
        stage.repository.check(sha, f"status-{number:03}", app="")
    assert len(stage.forge.list_checks(sha)) == 240


@pytest.mark.parametrize("by_ruleset", [False, True], ids=["classic", "ruleset"])
def test_what_a_branch_demands_is_found_wherever_it_is_kept(stage, by_ruleset):
    stage.repository.protect(required_checks=("lint", "render"), by_ruleset=by_ruleset)
    found = stage.forge.get_branch_protection("main")
    assert (found.protected, found.required_checks) == (
        True,
        {RequiredCheck("lint"), RequiredCheck("render")},
    )


@pytest.mark.parametrize("by_ruleset", [False, True], ids=["classic", "ruleset"])
def test_which_app_must_report_a_check_is_told(stage, by_ruleset):
    stage.repository.protect(required_checks={"lint": 15368, "any": None}, by_ruleset=by_ruleset)
    required = stage.forge.get_branch_protection("main").required_checks
    assert required == {RequiredCheck("lint", 15368), RequiredCheck("any")}


def test_the_same_check_by_another_app_is_another_result(stage):
    sha = stage.repository.branches["main"]
    stage.repository.check(sha, "lint", "failure")
    stage.repository.check(sha, "lint", "success", app="elsewhere")
    stage.repository.check(sha, "lint", "success", app="")
    found = {one.app: (one.state, one.app_id) for one in stage.forge.list_checks(sha)}
    assert (found["github-actions"], found[""]) == (("failure", 15368), ("success", 0))
    assert found["elsewhere"][1] not in (0, 15368)


def test_an_unprotected_branch_demands_nothing(stage):
    stage.repository.branch("feature/one")
    found = stage.forge.get_branch_protection("feature/one")
    assert (found.protected, found.required_checks) == (False, frozenset())


def test_an_environment_tells_its_whole_protection(stage):
    stage.repository.environment(
        "production",
        reviewers=("grace", "alan"),
        prevent_self_review=True,
        wait_minutes=15,
        branches=("main", "release/*"),
    )
    found = stage.forge.get_environment("production")
    assert found is not None
    assert found.reviewers == ("grace", "alan")
    assert found.prevent_self_review
    assert found.wait == timedelta(minutes=15)
    assert found.branches == ("main", "release/*")


def test_an_environment_for_protected_branches_says_so(stage):
    stage.repository.environment("production", branches="protected")
    found = stage.forge.get_environment("production")
    assert found is not None
    assert (found.protected_branches_only, found.branches) == (True, None)


def test_the_members_of_a_team_are_reviewers_if_they_can_be_read(stage):
    stage.repository.teams["ops"] = tuple(f"member-{number}" for number in range(120))
    stage.repository.environment("production", reviewers=("grace", "team/ops", "team/gone"))
    found = stage.forge.get_environment("production")
    assert found is not None
    assert found.reviewers == ("grace", *stage.repository.teams["ops"])
    assert found.unread_teams == ("gone",)
    stage.repository.teams_hidden = True
    hidden = stage.forge.get_environment("production")
    assert hidden is not None
    assert (hidden.reviewers, hidden.unread_teams) == (("grace",), ("ops", "gone"))


def test_an_environment_that_is_not_there_is_none(stage):
    assert stage.forge.get_environment("staging") is None


def test_the_relation_of_two_commits_is_told_from_the_first(stage):
    base = stage.repository.branches["main"]
    newer = stage.repository.commit({"a": b"1"})
    stage.repository.branch("side", base)
    side = stage.repository.commit({"b": b"1"}, branch="side")
    relation = stage.forge.compare_commits
    assert (relation(base, newer), relation(newer, base)) == ("ahead", "behind")
    assert (relation(base, base), relation(newer, side)) == ("identical", "diverged")


def test_a_commit_has_its_parents_and_the_date_it_gives_itself(stage):
    number, sha = stage.merged({"a": b"1"})
    found, made = stage.forge.get_commit(sha), stage.repository.history.commits[sha]
    assert (found.sha, found.parents, found.pulls) == (sha, made.parents, ())
    assert found.parents[1] == stage.repository.pulls[number].head_sha
    assert found.committed_at == made.date.replace(microsecond=0)


@pytest.mark.parametrize("method", ["merge", "squash"])
def test_what_came_since_a_commit_is_one_commit_for_each_merge_the_newest_first(stage, method):
    base = stage.repository.branches["main"]
    one, first = stage.merged({"a": b"1"}, method=method)
    pushed = stage.repository.commit({"b": b"1"})
    two, second = stage.merged({"c": b"1"}, method=method)
    found = stage.forge.list_first_parent_commits(base, second)
    assert [commit.sha for commit in found] == [second, pushed, first]
    assert [[pull.number for pull in commit.pulls] for commit in found] == [[two], [], [one]]
    assert all(pull.merged and pull.merged_at for commit in found for pull in commit.pulls)
    assert {len(commit.parents) for commit in found} == ({1, 2} if method == "merge" else {1})
    assert stage.forge.list_first_parent_commits(second, second) == []


def test_a_rebase_brings_a_copy_of_each_commit_and_all_name_their_pull_request(stage):
    base = stage.repository.branches["main"]
    stage.repository.branch("topic")
    own = [stage.repository.commit({name: b"1"}, branch="topic") for name in "abc"]
    pull = stage.repository.open_pull("topic")
    stage.repository.commit({"meanwhile": b"1"})
    sha = stage.repository.merge(pull, method="rebase")
    found = stage.forge.list_first_parent_commits(base, sha)
    assert [len(commit.parents) for commit in found] == [1, 1, 1, 1]
    assert [[one.merge_sha for one in commit.pulls] for commit in found] == [[sha], [sha], [sha], []]
    assert not {commit.sha for commit in found} & set(own)
    assert [stage.forge.compare_commits(commit.sha, own[-1]) for commit in found[:3]] == ["diverged"] * 3


def test_a_pull_request_whose_commits_come_in_by_another_is_merged_too(stage):
    stage.repository.branch("first")
    stage.repository.commit({"a": b"1"}, branch="first")
    inner = stage.repository.open_pull("first")
    stage.repository.branch("second", stage.repository.branches["first"])
    stage.repository.commit({"b": b"1"}, branch="second")
    outer = stage.repository.open_pull("second")
    base = stage.repository.branches["main"]
    sha = stage.repository.merge(outer, by="grace")
    (found,) = stage.forge.list_first_parent_commits(base, sha)
    assert {one.number for one in found.pulls} == {inner.number, outer.number}
    assert all(one.merged and one.merge_sha == sha for one in found.pulls)
    assert stage.forge.get_pull_request(inner.number).merged_by == "grace"


def test_a_merge_that_is_not_indexed_yet_has_no_pull_requests_in_any_list(stage):
    base = stage.repository.branches["main"]
    number, sha = stage.merged({"a": b"1"})
    stage.repository.unindexed.add(sha)
    assert stage.forge.list_pull_requests_of(sha) == []
    assert [one.pulls for one in stage.forge.list_first_parent_commits(base, sha)] == [()]
    assert stage.forge.get_pull_request(number).merge_sha == sha


def test_more_commits_than_a_page_holds_are_all_there_to_find_the_line_in(stage):
    base = stage.repository.branches["main"]
    stage.repository.branch("topic")
    for number in range(130):
        stage.repository.commit({"a": str(number).encode()}, branch="topic")
    sha = stage.repository.merge(stage.repository.open_pull("topic"))
    assert [commit.sha for commit in stage.forge.list_first_parent_commits(base, sha)] == [sha]


def test_a_line_that_is_longer_than_is_looked_at_is_refused_with_a_way_out(stage):
    base = stage.repository.branches["main"]
    tips = [stage.repository.commit({"a": str(number).encode()}) for number in range(MAX_BRANCH_COMMITS + 1)]
    assert len(stage.forge.list_first_parent_commits(base, tips[-2])) == MAX_BRANCH_COMMITS
    with pytest.raises(Refused, match="more commits came") as caught:
        stage.forge.list_first_parent_commits(base, tips[-1])
    assert caught.value.hint


def test_commits_that_have_nothing_in_common_are_not_compared(stage):
    base = stage.repository.branches["main"]
    other = stage.repository.history.add((), {"a": b"1"}, "ada", "another history")
    with pytest.raises(NotFound):
        stage.forge.list_first_parent_commits(base, other)


def test_a_branch_has_a_tip_that_moves(stage):
    assert stage.forge.get_branch_tip("main") == stage.repository.branches["main"]
    moved = stage.repository.commit({"a": b"1"})
    assert stage.forge.get_branch_tip("main") == moved


def test_the_archive_is_the_tree_at_the_sha_and_not_at_the_tip(stage):
    sha = stage.repository.branches["main"]
    stage.repository.commit({"chart/Chart.yaml": b"name: later\n", "link": Symlink("/etc/passwd")})
    files = read_files(stage.forge.download_tarball(sha), ["chart"], sha=sha)
    assert files == {"chart/Chart.yaml": b"name: chat\n"}
    packed = io.BytesIO(gzip.decompress(b"".join(stage.forge.download_tarball(sha))))
    with tarfile.open(fileobj=packed) as whole:
        assert len({name.split("/")[0] for name in whole.getnames()}) == 1


def test_a_deployment_has_the_state_of_its_newest_status(stage):
    sha = stage.repository.branches["main"]
    made = stage.forge.create_deployment(sha, "production", "Bigger uploads")
    assert [one.state for one in stage.forge.list_deployments("production")] == ["pending"]
    stage.forge.set_deployment_status(made, "in_progress", "helm runs", "https://example.org/log")
    stage.forge.set_deployment_status(made, "success", "done")
    (found,) = stage.forge.list_deployments("production", sha=sha)
    assert (found.id, found.sha, found.state) == (made, sha, "success")


def test_the_newest_deployment_comes_first_and_makes_the_earlier_inactive(stage):
    first = stage.forge.create_deployment(stage.repository.branches["main"], "production", "one")
    stage.forge.set_deployment_status(first, "success", "")
    second = stage.forge.create_deployment(stage.repository.commit({"a": b"1"}), "production", "two")
    stage.forge.set_deployment_status(second, "success", "")
    found = stage.forge.list_deployments("production")
    assert [(one.id, one.state) for one in found] == [(second, "success"), (first, "inactive")]
    assert stage.forge.list_deployments("staging") == []


def test_a_deployment_is_made_though_a_check_is_red_since_the_gates_decide(stage):
    sha = stage.repository.branches["main"]
    stage.repository.check(sha, "flaky", "failure")
    assert stage.forge.create_deployment(sha, "production", "") > 0


def test_long_descriptions_are_cut_to_what_the_forge_takes(stage):
    made = stage.forge.create_deployment(stage.repository.branches["main"], "production", "x" * 500)
    stage.forge.set_deployment_status(made, "failure", "y" * 500)
    assert stage.repository.deployments[0].statuses[0].description == "y" * 140


def test_a_comment_stands_under_the_pull_request(stage):
    number, _ = stage.merged({"a": b"1"})
    stage.forge.create_comment(number, "**Deployed** in 3 min")
    assert [one["body"] for one in stage.repository.comments[number]] == ["**Deployed** in 3 min"]


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda forge: forge.list_pull_requests_of(GONE), id="pulls of a commit"),
        pytest.param(lambda forge: forge.get_pull_request(99), id="pull request"),
        pytest.param(lambda forge: forge.list_reviews(99), id="reviews"),
        pytest.param(lambda forge: forge.list_changed_files(99), id="files"),
        pytest.param(lambda forge: forge.list_checks(GONE), id="checks"),
        pytest.param(lambda forge: forge.get_commit(GONE), id="commit"),
        pytest.param(
            lambda forge: forge.list_first_parent_commits(GONE, forge.get_branch_tip("main")),
            id="what came since",
        ),
        pytest.param(lambda forge: forge.get_branch_protection("nowhere"), id="protection"),
        pytest.param(lambda forge: forge.get_branch_tip("nowhere"), id="branch"),
        pytest.param(lambda forge: list(forge.download_tarball(GONE)), id="archive"),
        pytest.param(lambda forge: forge.create_deployment(GONE, "production", ""), id="deployment"),
        pytest.param(lambda forge: forge.set_deployment_status(99, "success", ""), id="status"),
        pytest.param(lambda forge: forge.create_comment(99, "hello"), id="comment"),
    ],
)
def test_what_is_not_there_is_not_found(stage, ask):
    with pytest.raises(NotFound):
        ask(stage.forge)


@pytest.mark.parametrize("sha", ["main", "abc1234", f"{GONE}/../..", f"{GONE}?x=1", f"{GONE.upper()}", ""])
def test_only_a_full_sha_is_taken(stage, sha):
    with pytest.raises(UsageError):
        stage.forge.list_pull_requests_of(sha)
    with pytest.raises(UsageError):
        list(stage.forge.download_tarball(sha))


def test_a_state_that_no_deployment_has_is_refused(stage):
    made = stage.forge.create_deployment(stage.repository.branches["main"], "production", "")
    with pytest.raises(UsageError, match=re.escape("great")):
        stage.forge.set_deployment_status(made, "great", "")


def test_the_fake_raises_what_a_test_plans():
    forge = MemoryForge(Repository("acme/chat"))
    forge.failures.append(NotFound("planned"))
    with pytest.raises(NotFound, match="planned"):
        forge.get_branch_tip("main")


MARKER = "<!-- marker -->"


def test_a_comment_of_ours_is_found_by_its_marker_and_changed_in_place(stage):
    number, _ = stage.merged({"chart/values.yaml": b"a: 1\n"})
    assert stage.forge.find_own_comment(number, MARKER) is None
    stage.forge.create_comment(number, "**something else**")
    stage.forge.create_comment(number, f"{MARKER}\nfirst")
    own = stage.forge.find_own_comment(number, MARKER)
    assert own is not None
    assert own.text == f"{MARKER}\nfirst"
    stage.forge.update_comment(own.id, f"{MARKER}\nsecond")
    assert stage.forge.find_own_comment(number, MARKER).text == f"{MARKER}\nsecond"
    assert [one["body"] for one in stage.repository.comments[number]] == [
        "**something else**",
        f"{MARKER}\nsecond",
    ]


def test_a_marker_that_another_wrote_or_that_stands_further_down_is_not_ours(stage):
    number, _ = stage.merged({"chart/values.yaml": b"a: 1\n"})
    stage.repository.comments[number] = [{"id": 7, "body": MARKER, "user": {"login": "mallory"}}]
    stage.forge.create_comment(number, f"quoted: {MARKER}")
    assert stage.forge.find_own_comment(number, MARKER) is None
    stage.forge.create_comment(number, MARKER)
    own = stage.forge.find_own_comment(number, MARKER)
    assert own is not None
    assert own.id != 7


def test_a_comment_that_is_gone_is_not_found(stage):
    stage.merged({"chart/values.yaml": b"a: 1\n"})
    with pytest.raises(NotFound):
        stage.forge.update_comment(4711, "text")
    with pytest.raises(NotFound):
        stage.forge.find_own_comment(4711, MARKER)


def test_the_merge_base_is_where_a_branch_began(stage):
    base = stage.repository.branches["main"]
    stage.repository.branch("topic")
    head = stage.repository.commit({"README.md": b"topic"}, branch="topic")
    tip = stage.repository.commit({"README.md": b"main"})
    assert stage.forge.find_merge_base(tip, head) == base
    assert stage.forge.find_merge_base(head, head) == head
    with pytest.raises(NotFound):
        stage.forge.find_merge_base(tip, GONE)


def test_a_pull_request_of_a_fork_says_so(stage):
    stage.repository.branch("topic")
    stage.repository.commit({"README.md": b"topic"}, branch="topic", author="ada")
    pull = stage.repository.open_pull("topic", author="ada")
    assert not stage.forge.get_pull_request(pull.number).from_fork
    pull.from_fork = True
    assert stage.forge.get_pull_request(pull.number).from_fork
