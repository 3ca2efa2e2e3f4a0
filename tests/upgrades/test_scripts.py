"""What scripts of integrations do, told from their text."""

from __future__ import annotations

import pytest

from shared.upgrades.scripts import breaks_in_strict_mode, calls_other_servers

FINE = """
class Script {
  /* msg = 1 */
  prepare_outgoing_request({ request }) {
    let match; const {a, b: [c]} = request.data
    // other = 2
    match = request.data.text.match(/^it's = (\\w+)$/)
    for (const x of [1, 2]) { c += x }
    for (var i = 0, n = 5; i < n; i++) { a.b = i; }
    try { a = 1 } catch (error) { error = 2; }
    const f = (p, q) => { p = q / 2; return this.x; };
    items.forEach(item => { item = 3 });
    return { url: request.url, text: "x = 3", other: `y = ${match}` };
  }
}
"""


@pytest.mark.parametrize(
    "body",
    [
        "msg = build(request.content); return msg;",
        "count++;",
        "--count;",
        "const { a } = request; b += a;",
        "function helper() { return this.JSON.stringify(request); } return helper();",
        "var helper = function ({ x }) { return this.x; };",
        "return arguments.callee;",
        "with (request) { return url; }",
        "return 0777;",
        "var ratio = a / b; left = c / d;",  # a slash that divides hides nothing
    ],
)
def test_what_strict_mode_refuses_is_found(body: str) -> None:
    assert breaks_in_strict_mode(f"class Script {{ process_incoming_request({{ request }}) {{ {body} }} }}")


@pytest.mark.parametrize(
    "script",
    [
        FINE,
        "",
        "class Script { run() { return { b() { return 1 }, c: this.d } } }",
        "class Script { run() { const g = function () { class Inner { go() { return this.x } } } } }",
        "class Script { run() { let a = 1, b = 2; b = a; } }",
        "class Script { run() { let a = 1\n let b = 2\n b = a } }",
        "function plain() { return this.x }",  # outside of a class nothing is strict
        "class Script { run() { return 0 + 10 + 0.5 } }",
    ],
)
def test_what_is_fine_in_strict_mode_is_not_named(script: str) -> None:
    assert not breaks_in_strict_mode(script)


@pytest.mark.parametrize("sign", ["(", "var ", "=>", "a=", "/", "`", "/*", "var a=1,", "{", "class A{this "])
def test_a_hostile_script_ends_like_any_other(sign: str) -> None:
    # Quadratic in its length it would take hours: whoever may write an integration would hold the gate up.
    breaks_in_strict_mode(sign * 60_000)
    calls_other_servers(sign * 60_000)


def test_calls_are_found_in_code_and_not_in_comments_or_texts() -> None:
    assert calls_other_servers("const a = HTTP('GET', url)")
    assert calls_other_servers("await fetch(url)")
    assert not calls_other_servers("// HTTP(x)\nconst a = 'fetch(url)'; HTTPS(x); http.get(HTTP)")
