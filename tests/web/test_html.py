"""The frame of every page: what the browser is told."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

import pytest

from shared.web.html import html_page, render_document, render_footer, render_refusal


def test_only_a_page_that_says_so_reloads_itself_every_15_seconds() -> None:
    assert '<meta http-equiv="refresh" content="15">' in render_document("Deploys", "", refresh=True)
    assert "http-equiv" not in render_document("Deploys", "")
    assert "Reloads every 15 seconds." in render_footer("ana", refresh=True)
    assert "Reloads" not in render_footer("ana", refresh=False)


@pytest.mark.parametrize("style", ["", "b{color:red}"])
def test_the_policy_admits_the_pages_own_style_and_no_other(style: str) -> None:
    page = html_page(200, render_document("Deploys", "", style=style), style=style)
    (sheet,) = re.findall("<style>(.*)</style>", page.body)
    digest = b64encode(sha256(sheet.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"


def test_what_others_wrote_is_no_html() -> None:
    page = render_refusal("<b>", "<i>", link=("/x?a&b", "<u>"))
    assert not re.search("<[biu]>", page)
    assert '<a href="/x?a&amp;b">&lt;u&gt;</a>' in page
    assert "<nav>" not in render_refusal("no", "no")
