"""The route matcher against an independent translation of templates into regular expressions."""

from __future__ import annotations

import re
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from local.host.routes import Route, RouteTable, decode_path
from shared.kernel.errors import UsageError

words = st.text(st.sampled_from("abcXYZ019-_."), min_size=1, max_size=5)
CONSTRAINTS = {"": "[^/]+", ":alpha": "[A-Za-z]+", ":length(2)": "[^/]{2}", ":bool": "(?:true|false)"}


@st.composite
def templates(draw: st.DrawFn) -> tuple[str, str]:
    """A template and the regular expression that it means."""
    template, pattern, closing = "", "", ""
    for index in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            word = draw(words)
            template, pattern = f"{template}/{word}", f"{pattern}/{re.escape(word)}"
        else:
            constraint = draw(st.sampled_from(sorted(CONSTRAINTS)))
            template = f"{template}/{{p{index}{constraint}}}"
            pattern = f"{pattern}/(?P<p{index}>{CONSTRAINTS[constraint]})"
    ending = draw(st.sampled_from(["", "optional", "two optional", "rest"]))
    if ending == "rest":
        return f"{template}/{{*tail}}", f"{pattern}(?:/(?P<tail>.+))?"
    for index in range({"": 0, "optional": 1, "two optional": 2}[ending]):
        template, pattern, closing = (
            f"{template}/{{o{index}?}}",
            f"{pattern}(?:/(?P<o{index}>[^/]+)",
            f"{closing})?",
        )
    return template, pattern + closing


@settings(max_examples=400, deadline=None)
@given(templates(), st.lists(st.one_of(words, st.sampled_from(["true", "ab"])), max_size=7), st.data())
def test_a_template_matches_what_its_regular_expression_matches(
    template: tuple[str, str], path: list[str], data: st.DataObject
) -> None:
    text, pattern = template
    if data.draw(st.booleans()):  # a path that is likely to match
        path = [word if "{" not in word else data.draw(words) for word in text.strip("/").split("/") if word]
    expected = re.fullmatch(pattern, "".join(f"/{word}" for word in path), re.IGNORECASE)
    found = Route.parse(text).match(path)
    if expected is None:
        assert found is None
    else:
        assert found == {name: value for name, value in expected.groupdict().items() if value is not None}


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30))
def test_any_template_is_parsed_or_refused_with_a_reason(template: str) -> None:
    try:
        Route.parse(template)
    except UsageError as error:
        assert "route" in str(error)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(max_codepoint=126, min_codepoint=33), max_size=30))
def test_any_path_is_looked_up_without_an_error(raw_path: str) -> None:
    table: RouteTable[str] = RouteTable("api")
    table.add("things/{id:int}/{*rest}", ["GET"], "things")
    table.add("{word}", [], "word")
    found = table.find("GET", raw_path)
    assert found is None or decode_path(raw_path)[0].lower() == "api"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6), min_size=1, max_size=4
    )
)
def test_segments_survive_percent_encoding_but_an_encoded_slash_stays_encoded(segments: list[str]) -> None:
    raw = "/" + "/".join(quote(segment, safe="") for segment in segments)
    assert decode_path(raw) == [segment.replace("/", "%2F") for segment in segments]
