"""Routes of HTTP triggers, by example."""

from __future__ import annotations

import pytest

from local.host.routes import Route, RouteTable
from shared.kernel.errors import UsageError


def table(*entries: tuple[str, tuple[str, ...], str], prefix: str = "api") -> RouteTable[str]:
    made: RouteTable[str] = RouteTable(prefix)
    for template, methods, target in entries:
        made.add(template, methods, target)
    return made


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        pytest.param("a/{id:int}", "/api/a/-5", {"id": "-5"}, id="int"),
        pytest.param("a/{id:int}", "/api/a/2147483648", None, id="int is 32 bits"),
        pytest.param("a/{id:long}", "/api/a/2147483648", {"id": "2147483648"}, id="long"),
        pytest.param("a/{id:int}", "/api/a/x", None, id="not int"),
        pytest.param("a/{id:int:min(3)}", "/api/a/2", None, id="two constraints"),
        pytest.param("a/{id:range(1,5)}", "/api/a/5", {"id": "5"}, id="range"),
        pytest.param("a/{id:length(2,3)}", "/api/a/abcd", None, id="length"),
        pytest.param("a/{id:minlength(2)}", "/api/a/a", None, id="minlength"),
        pytest.param("a/{id:maxlength(2)}", "/api/a/ab", {"id": "ab"}, id="maxlength"),
        pytest.param("a/{id:max(7)}", "/api/a/8", None, id="max"),
        pytest.param(
            "a/{id:guid}",
            "/api/a/7d444840-9dc0-11d1-b245-5ffdce74fad2",
            {"id": "7d444840-9dc0-11d1-b245-5ffdce74fad2"},
            id="guid",
        ),
        pytest.param("a/{id:guid}", "/api/a/7d444840", None, id="not guid"),
        pytest.param("a/{id:bool}", "/api/a/TRUE", {"id": "TRUE"}, id="bool"),
        pytest.param("a/{id:decimal}", "/api/a/1.5", {"id": "1.5"}, id="decimal"),
        pytest.param("a/{id:double}", "/api/a/1e3", {"id": "1e3"}, id="double"),
        pytest.param("a/{id:datetime}", "/api/a/2026-01-01", {"id": "2026-01-01"}, id="datetime"),
        pytest.param(r"a/{id:regex(^\d{{2}}$)}", "/api/a/12", {"id": "12"}, id="regex"),
        pytest.param(r"a/{id:regex(^\d{{2}}$)}", "/api/a/123", None, id="not regex"),
        pytest.param("a/{id?}", "/api/a", {}, id="optional"),
        pytest.param("a/{id:int?}", "/api/a", {}, id="optional with constraint"),
        pytest.param("a/{id:int?}", "/api/a/x", None, id="optional with constraint broken"),
        pytest.param("a/{id=7}", "/api/a", {"id": "7"}, id="default"),
        pytest.param("a/{*rest}", "/api/a/b/c%20d", {"rest": "b/c d"}, id="catch-all"),
        pytest.param("a/{*rest}", "/api/a", {}, id="empty catch-all"),
        pytest.param("A/b", "/API/a/B", {}, id="case"),
        pytest.param("a/b", "/api/a/b/", {}, id="trailing slash"),
        pytest.param("a/b", "/api/a//b", None, id="empty segment"),
        pytest.param("a/{id}", "/api/a/x%2Fy", {"id": "x%2Fy"}, id="encoded slash"),
        pytest.param("a", "/other/a", None, id="another prefix"),
    ],
)
def test_a_path_gives_parameters_or_nothing(
    template: str, path: str, expected: dict[str, str] | None
) -> None:
    found = table((template, (), "it")).find("GET", path)
    assert (found and found[1]) == expected


def test_the_more_specific_route_wins_whatever_the_order() -> None:
    made = table(("{*all}", (), "all"), ("{x}", (), "any"), ("{x:int}", (), "int"), ("me", (), "me"))
    found = {path: made.find("GET", f"/api/{path}") for path in ("me", "5", "x", "x/y")}
    assert {path: match and match[0] for path, match in found.items()} == {
        "me": "me", "5": "int", "x": "any", "x/y": "all",
    }  # fmt: skip


def test_methods_choose_between_functions_of_one_route_and_an_unknown_one_finds_nothing() -> None:
    made = table(("x", ("get",), "reader"), ("x", ("POST", "put"), "writer"))
    assert [(made.find(method, "/api/x") or ("none",))[0] for method in ("GET", "PUT", "DELETE")] == [
        "reader", "writer", "none",
    ]  # fmt: skip


def test_an_empty_prefix_serves_from_the_root() -> None:
    assert table(("x", (), "it"), prefix="").find("GET", "/x") == ("it", {})


@pytest.mark.parametrize(
    "template",
    [
        "a//b",
        "{a}.{b}",
        "x{a}",
        "{a",
        "a}",
        "{*rest}/b",
        "{a}/{A}",
        "{a:unknown}",
        "{a:range(1)}",
        "{a:regex([)}",
    ],
)
def test_a_template_that_is_not_served_is_refused(template: str) -> None:
    with pytest.raises(UsageError, match="route"):
        Route.parse(template)
