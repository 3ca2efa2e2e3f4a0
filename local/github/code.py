"""Endpoints for code: branches, commits, trees, contents, comparisons, tarballs."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Mapping

from aiohttp import web

from local.github import render
from local.github.call import Failure, GithubCall, Handler, cut_page, paged_response
from local.github.history import Content, Symlink, blob_sha, tree_sha
from local.github.model import Repository


def get_repository(call: GithubCall) -> web.Response:
    """`GET /repos/{o}/{r}`."""
    return web.json_response(render.render_repository(call.repo, call.base))


def get_branch(call: GithubCall) -> web.Response:
    """`GET /branches/{branch}`, with the classic protection's required checks."""
    name = call.match["branch"]
    sha = call.repo.resolve(name) if name in call.repo.branches else None
    if sha is None:
        raise Failure(404, "Branch not found")
    rule = call.repo.protections.get(name)
    # A ruleset protects a branch without being in here: who reads only the classic answer finds it unguarded.
    classic = rule is not None and not rule.by_ruleset
    contexts = list(rule.required_checks) if rule and classic else []
    checks = (
        [{"context": name, "app_id": app} for name, app in rule.required_checks.items()]
        if rule and classic
        else []
    )
    level = "non_admins" if contexts else "off"
    return web.json_response(
        {
            "name": name,
            "commit": render.render_commit(call.repo, call.repo.history.commits[sha], call.base),
            # True for either kind, as GitHub has it.
            "protected": rule is not None,
            "protection": {
                "enabled": classic,
                "required_status_checks": {
                    "enforcement_level": level,
                    "contexts": contexts,
                    "checks": checks,
                },
            },
        }
    )


def get_protection(call: GithubCall) -> web.Response:
    """`GET /branches/{branch}/protection`: 404 for a branch that is not protected."""
    rule = call.repo.protections.get(call.match["branch"])
    # 404 is also what a token without the right to see it gets there.
    if rule is None or rule.by_ruleset:
        raise Failure(404, "Branch not protected")
    contexts = list(rule.required_checks)
    return web.json_response(
        {
            "required_status_checks": {"strict": False, "contexts": contexts},
            "required_pull_request_reviews": {"required_approving_review_count": rule.approvals},
        }
    )


def get_branch_rules(call: GithubCall) -> web.Response:
    """`GET /rules/branches/{branch}`: the rules that rulesets put on a branch."""
    rule = call.repo.protections.get(call.match["branch"])
    rules = []
    if rule and rule.by_ruleset:
        checks = [
            # Without an app any may report the check, an author's own among them.
            {"context": name, **({} if app is None else {"integration_id": app})}
            for name, app in rule.required_checks.items()
        ]
        rules.append({"type": "required_status_checks", "parameters": {"required_status_checks": checks}})
        count = {"required_approving_review_count": rule.approvals}
        rules.append({"type": "pull_request", "parameters": count})
    return paged_response(call, rules)


def get_ref(call: GithubCall) -> web.Response:
    """`GET /git/ref/heads/{branch}`."""
    sha = call.repo.branches.get(call.match["branch"])
    if sha is None:
        raise Failure(404, "Not Found")
    target = {"type": "commit", "sha": sha}
    return web.json_response({"ref": f"refs/heads/{call.match['branch']}", "object": target})


def get_commit(call: GithubCall) -> web.Response:
    """`GET /commits/{ref}`: 422 for a SHA that is gone."""
    commit = call.repo.history.commits[call.sha()]
    parent = commit.parents[0] if commit.parents else None
    changes = call.repo.history.changes(parent, commit.sha)
    files = [render.changed_file(call.repo, path, word, commit.sha) for path, word in changes]
    return web.json_response({**render.render_commit(call.repo, commit, call.base), "files": files})


def get_git_commit(call: GithubCall) -> web.Response:
    """`GET /git/commits/{sha}`: git's part alone; 404 for a SHA that is gone."""
    commit = call.repo.history.commits.get(call.match["sha"])
    if commit is None:
        raise Failure(404, "Not Found")
    whole = render.render_commit(call.repo, commit, call.base)
    return web.json_response({"sha": commit.sha, **whole["commit"], "parents": whole["parents"]})


def get_tree(call: GithubCall) -> web.Response:
    """`GET /git/trees/{sha}`, always the whole tree."""
    sha = call.sha()
    entries = [
        {
            "path": path,
            "mode": "120000" if isinstance(content, Symlink) else "100644",
            "type": "blob",
            "sha": blob_sha(content),
            "size": len(render.data_of(content)),
        }
        for path, content in sorted(call.repo.history.commits[sha].files.items())
    ]
    return web.json_response({"sha": sha, "tree": entries, "truncated": False})


def get_contents(call: GithubCall) -> web.Response:
    """`GET /contents/{path}?ref=`: a file, a symbolic link, or a folder's list."""
    ref = call.query.get("ref") or call.repo.default_branch
    sha = call.repo.resolve(ref)
    if sha is None:
        raise Failure(404, f"No commit found for the ref {ref}")
    files, path = call.repo.history.commits[sha].files, call.match["path"].strip("/")
    if path in files:
        return web.json_response(_file_item(path, files[path], whole=True))
    prefix = f"{path}/" if path else ""
    names = sorted({name[len(prefix) :].split("/")[0] for name in files if name.startswith(prefix)})
    if not names:
        raise Failure(404, "Not Found")
    return web.json_response([_directory_items(prefix + name, files) for name in names])


def _directory_items(path: str, files: Mapping[str, Content]) -> dict[str, object]:
    if path in files:
        return _file_item(path, files[path], whole=False)
    return {
        "type": "dir",
        "path": path,
        "name": path.rpartition("/")[2],
        "size": 0,
        "sha": tree_sha({path: b""}),
    }


def _file_item(path: str, content: Content, *, whole: bool) -> dict[str, object]:
    data = render.data_of(content)
    entry: dict[str, object] = {
        "type": "symlink" if isinstance(content, Symlink) else "file",
        "path": path,
        "name": path.rpartition("/")[2],
        "size": len(data),
        "sha": blob_sha(content),
    }
    if isinstance(content, Symlink):
        # A link's target, and nothing is followed: what it points to may be outside of the chart.
        entry["target"] = content.target
    elif whole:
        # Above 1 MB the JSON form has no content: callers must ask for the raw one or for the tarball.
        small = len(data) <= 1_000_000
        entry["encoding"] = "base64" if small else "none"
        entry["content"] = base64.encodebytes(data).decode() if small else ""
    return entry


def compare_commits(call: GithubCall) -> web.Response:
    """`GET /compare/{base}...{head}`.

    Commits in pages if asked for, else the newest 250; the files stand on the first page only.
    """
    base_ref, _, head_ref = call.match["basehead"].partition("...")
    base, head = call.repo.resolve(base_ref), call.repo.resolve(head_ref)
    if base is None or head is None:
        raise Failure(404, "Not Found")
    history = call.repo.history
    merge_base = history.merge_base(base, head)
    if merge_base is None:
        raise Failure(404, f"No common ancestor between {base_ref} and {head_ref}.")
    ahead, behind = history.only_in(head, base), history.only_in(base, head)
    words = {
        (True, True): "diverged",
        (True, False): "ahead",
        (False, True): "behind",
        (False, False): "identical",
    }
    paged = {"per_page", "page"} & call.query.keys()
    # Without pages the oldest of a long range are missing:
    # https://docs.github.com/en/rest/commits/commits#compare-two-commits
    part, headers = cut_page(call, ahead) if paged else (ahead[-250:], {})
    changes = history.changes(merge_base, head) if call.query.get("page", "1") == "1" else []
    return web.json_response(
        {
            "status": words[bool(ahead), bool(behind)],
            "ahead_by": len(ahead),
            "behind_by": len(behind),
            "total_commits": len(ahead),
            "merge_base_commit": render.render_commit(call.repo, history.commits[merge_base], call.base),
            "commits": [render.render_commit(call.repo, history.commits[sha], call.base) for sha in part],
            # At most 300, and nothing says that there were more.
            "files": [render.changed_file(call.repo, path, word, head) for path, word in changes[:300]],
        },
        headers=headers,
    )


def get_tarball(call: GithubCall) -> web.Response:
    """`GET /tarball/{ref}`: a redirect to the server that makes archives."""
    sha = call.repo.resolve(call.match["ref"])
    if sha is None:
        raise Failure(404, "Not Found")
    # Another host there: a token that is sent on to it has left GitHub's API.
    place = f"{call.base}/codeload/{call.repo.full_name}/legacy.tar.gz/{sha}"
    return web.Response(status=302, headers={"Location": place})


def build_tarball(repo: Repository, sha: str) -> bytes:
    """The archive GitHub makes: everything below `owner-repo-sha7/`, symbolic links as such."""
    out, prefix = io.BytesIO(), f"{repo.owner}-{repo.name}-{sha[:7]}"
    # The global header with the commit's SHA is what `git archive` writes first.
    with tarfile.open(
        fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT, pax_headers={"comment": sha}
    ) as archive:
        for folder in sorted(_list_folders(prefix, repo.history.commits[sha].files)):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o775
            archive.addfile(info)
        for path, content in sorted(repo.history.commits[sha].files.items()):
            info = tarfile.TarInfo(f"{prefix}/{path}")
            info.mode = 0o664
            if isinstance(content, Symlink):
                info.type, info.linkname = tarfile.SYMTYPE, content.target
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _list_folders(prefix: str, files: Mapping[str, Content]) -> set[str]:
    folders = {prefix}
    for path in files:
        parts = path.split("/")[:-1]
        folders |= {"/".join([prefix, *parts[: depth + 1]]) for depth in range(len(parts))}
    return folders


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "", get_repository),
    ("GET", "/branches/{branch:.+}/protection", get_protection),
    ("GET", "/branches/{branch:.+}", get_branch),
    ("GET", "/rules/branches/{branch:.+}", get_branch_rules),
    ("GET", "/git/ref/heads/{branch:.+}", get_ref),
    ("GET", "/git/commits/{sha}", get_git_commit),
    ("GET", "/git/trees/{ref}", get_tree),
    ("GET", "/contents/{path:.*}", get_contents),
    ("GET", "/compare/{basehead:.+}", compare_commits),
    ("GET", "/tarball/{ref:.+}", get_tarball),
)
# After all others: its pattern would swallow `/commits/{ref}/pulls`.
LAST_ROUTES: tuple[tuple[str, str, Handler], ...] = (("GET", "/commits/{ref:.+}", get_commit),)
