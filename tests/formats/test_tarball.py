"""The archive of a repository: what is wanted comes out, and nothing else ever does."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import time
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.github import Repository, code
from shared.formats.tarball import Limits, files_below, read_files
from shared.kernel.errors import Corrupt, GroundcrewError, Refused

TOP = "acme-chat-0123456"
SMALL = Limits(
    entries=50,
    packed_bytes=1 << 20,
    unpacked_bytes=4 << 20,
    file_bytes=1 << 20,
    total_bytes=2 << 20,
    ratio=50,
    ratio_from_bytes=256 << 10,
)
NAMES = st.text("abcXYZ019-_", min_size=1, max_size=8)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


def archive(*entries: tuple[tarfile.TarInfo, bytes], sha: str = "") -> bytes:
    out = io.BytesIO()
    headers = {"comment": sha} if sha else {}
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT, pax_headers=headers) as made:
        for info, data in entries:
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def file(name: str, data: bytes = b"x", *, top: str = TOP + "/") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(top + name)
    info.size = len(data)
    return info, data


def special(name: str, kind: bytes, target: str = "/etc/passwd") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(f"{TOP}/{name}")
    info.type, info.linkname = kind, target
    return info, b""


def pieces(data: bytes, size: int = 777) -> Iterator[bytes]:
    yield from (data[at : at + size] for at in range(0, len(data), size))


def conflicting(paths: set[str]) -> bool:
    return any(one != other and other.startswith(one + "/") for one in paths for other in paths)


@given(files=st.dictionaries(PATHS, st.binary(max_size=3000), max_size=8), size=st.integers(1, 5000))
def test_everything_that_was_put_in_comes_out_however_it_is_cut(files, size):
    data = archive(*(file(name, content) for name, content in files.items()))
    assert read_files(pieces(data, size), ["."]) == dict(sorted(files.items()))


@given(files=st.dictionaries(PATHS, st.binary(max_size=50), max_size=8), folder=PATHS)
def test_only_what_is_wanted_is_kept(files, folder):
    found = read_files([archive(*(file(name, content) for name, content in files.items()))], [folder])
    wanted = {name: data for name, data in files.items() if name == folder or name.startswith(folder + "/")}
    assert found == dict(sorted(wanted.items()))


def test_what_the_forge_makes_is_read_and_its_commit_is_checked():
    repository = Repository("acme/chat")
    sha = repository.commit({"chart/Chart.yaml": b"name: chat\n", "values/prod.yaml": b"a: 1\n", "x": b""})
    data = code.build_tarball(repository, sha)
    found = read_files(pieces(data), ["chart", "values/prod.yaml"], sha=sha)
    assert found == {"chart/Chart.yaml": b"name: chat\n", "values/prod.yaml": b"a: 1\n"}
    with pytest.raises(Corrupt, match="another commit"):
        read_files(pieces(data), ["chart"], sha="0" * 40)


def test_files_below_a_folder_lose_its_name():
    files = {"chart/Chart.yaml": b"1", "chart/templates/a.yaml": b"2", "charts/x": b"3"}
    assert files_below(files, "chart/") == {"Chart.yaml": b"1", "templates/a.yaml": b"2"}
    assert files_below(files, ".") == files


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "chart/../../evil",
        "/etc/passwd",
        "chart//x",
        "chart/./x",
        "chart/..",
        "chart\\..\\x",
        "chart/new\nline",
        "chart/esc\x1b[31m",
    ],
)
@pytest.mark.parametrize("top", [f"{TOP}/", ""], ids=["below the top", "at the top"])
def test_a_path_that_leaves_its_folder_refuses_the_archive(name, top):
    with pytest.raises(Refused):
        read_files([archive(file(name if top else f"../{name}", top=top))], ["chart"])


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE],
    ids=["symlink", "hard link", "character device", "block device", "fifo"],
)
@pytest.mark.parametrize(
    ("name", "wanted", "refused"),
    [
        pytest.param("chart/values.yaml", ["chart"], True, id="within"),
        pytest.param("values/prod.yaml", ["chart", "values/prod.yaml"], True, id="a values file"),
        pytest.param("chart", ["chart"], True, id="the folder itself"),
        pytest.param("deploy", ["deploy/chart"], True, id="a folder on the way"),
        pytest.param("docs/link", ["chart"], False, id="elsewhere"),
        pytest.param("docs/link", ["."], True, id="anywhere if all is wanted"),
    ],
)
def test_links_and_devices_are_refused_where_they_matter(kind, name, wanted, refused):
    data = archive(file("chart/Chart.yaml"), special(name, kind))
    if refused:
        with pytest.raises(Refused, match="link or a device"):
            read_files([data], wanted)
    else:
        assert read_files([data], wanted) == {"chart/Chart.yaml": b"x"}


def test_a_file_that_is_in_it_twice_is_refused_since_nobody_reviewed_which():
    with pytest.raises(Refused, match="twice"):
        read_files([archive(file("chart/a", b"1"), file("chart/a", b"2"))], ["chart"])


def bomb(size: int) -> bytes:
    return archive(file("elsewhere/zeros", bytes(size)))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        pytest.param(lambda: bomb(3 << 20), "bomb", id="ratio"),
        pytest.param(
            lambda: archive(file("elsewhere/big", random.Random(1).randbytes(5 << 20))), "larger", id="packed"
        ),
        pytest.param(lambda: archive(*(file(f"chart/{n}") for n in range(51))), "entries", id="entries"),
        pytest.param(
            lambda: archive(file("chart/big", random.Random(1).randbytes((1 << 20) + 1))), "a file", id="file"
        ),
        pytest.param(lambda: archive(file("chart/" + "a/" * 600 + "b")), "longer", id="path"),
    ],
)
def test_an_archive_above_a_limit_is_refused(data, why):
    with pytest.raises(Refused, match=why):
        read_files(pieces(data(), 64 << 10), ["chart"], limits=SMALL)


def test_a_bomb_is_given_up_long_before_it_is_unpacked():
    packer = zlib.compressobj(9, wbits=31)
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        while True:
            piece = packer.compress(bytes(1 << 20))
            read += 1
            yield piece

    with pytest.raises((Refused, Corrupt)):
        read_files(endless(), ["."], limits=SMALL)
    assert read < 100


def test_a_sparse_file_that_claims_to_be_huge_is_refused():
    info = tarfile.TarInfo(f"{TOP}/chart/sparse")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 40)}
    body = b"0\n".ljust(512, b"\0")
    info.size = len(body)
    with pytest.raises((Refused, Corrupt)):
        read_files([archive((info, body))], ["chart"])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_an_archive_that_was_cut_off_is_corrupt(share):
    data = archive(file("chart/a", random.Random(1).randbytes(20_000)), file("chart/b", b"2"))
    with pytest.raises(Corrupt):
        read_files(pieces(data[: int(len(data) * share)]), ["chart"])


@pytest.mark.parametrize(
    "data", [b"", b"not a gzip", gzip.compress(b"not a tar" * 100)], ids=["empty", "no gzip", "no tar"]
)
def test_what_is_no_archive_is_corrupt(data):
    with pytest.raises(Corrupt):
        read_files([data], ["."])


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME], ids=["pax", "long name"])
def test_headers_that_follow_each_other_without_end_are_corrupt(kind):
    header = tarfile.TarInfo("header")
    header.type, header.size = kind, 11
    block = header.tobuf(tarfile.USTAR_FORMAT) + b"11 path=aa\n".ljust(512, b"\0")
    with pytest.raises(Corrupt):
        read_files([gzip.compress(block * 5000)], ["."])


def test_four_times_the_files_take_four_times_the_work_and_not_sixteen_times():
    def work(data: bytes) -> float:
        started = time.process_time()
        read_files([data], ["."])
        return time.process_time() - started

    few, many = (archive(*(file(f"chart/{n}") for n in range(count))) for count in (3000, 12_000))
    assert min(work(many) for _ in range(2)) < 7.5 * min(work(few) for _ in range(3))


@given(data=st.data())
def test_damage_ends_in_one_of_our_errors_or_in_nothing_unwanted(data):
    good = gzip.decompress(
        archive(file("chart/a", b"1" * 600), file("b", b"2"), special("l", tarfile.SYMTYPE))
    )
    broken = bytearray(good)
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_files([gzip.compress(bytes(broken), 1)], ["chart"], limits=SMALL)
    except GroundcrewError:
        return
    assert all(name.startswith("chart/") or name == "chart" for name in found)
    assert not any(".." in name.split("/") for name in found)
