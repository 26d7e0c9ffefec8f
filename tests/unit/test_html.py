"""Pages: nothing that people write becomes code, and nothing is fetched."""

import base64
import re
from hashlib import sha256

import pytest

from clusterfirst import html

from ..html import Page

EVIL = "</td><script>alert('1')</script>\" onload=x &amp;"


def test_all_text_is_escaped_unless_it_is_html_already():
    cell = html.tag("p", EVIL, html.tag("b", 1 < 2), title=EVIL, data_sort=3, class_=None)
    (told,) = [attributes for name, attributes in Page(cell).elements if name == "p"]
    assert told == {"title": EVIL, "data-sort": "3"}
    assert "<script" not in cell
    assert Page(cell).text == EVIL + "True"


def test_what_is_put_together_as_plain_text_is_escaped_again_rather_than_trusted():
    assert html.html(html.tag("b", "x") + " & y") == "&lt;b&gt;x&lt;/b&gt; &amp; y"
    assert html.join([html.tag("b", "x"), " & y"]) == "<b>x</b> &amp; y"


def test_a_table_names_columns_rows_and_itself():
    made = html.table(
        ["slide", "cells", "note"],
        [["a", ("1,000", 1000), "<i>"], ["b", "2", ""]],
        texts=(2,),
        caption="Cells & slides",
        names=["a", None],
        kinds=[None, "best"],
        total=["all", "1,002", ""],
    )
    read = Page(made)
    assert read.tables == [[["slide", "cells", "note"], ["a", "1,000", "<i>"], ["b", "2", ""], ["all", "1,002", ""]]]
    heads = [attributes for name, attributes in read.elements if name == "th"]
    assert [head["scope"] for head in heads] == ["col"] * 3 + ["row"] * 3
    assert next(attributes["data-sort"] for name, attributes in read.elements if name == "td") == "1000"
    rows = [attributes for name, attributes in read.elements if name == "tr"]
    assert rows == [{}, {"data-name": "a"}, {"class": "best"}, {}]
    assert next(attributes for name, attributes in read.elements if name == "div")["aria-label"] == "Cells & slides"


@pytest.mark.parametrize("tables", [False, True])
def test_a_page_allows_its_own_script_and_nothing_else(tables, tmp_path):
    html.write(html.document(EVIL, html.tag("h1", EVIL), tables=tables), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert Page(text).text.strip() == EVIL
    (policy,) = [a["content"] for name, a in Page(text).elements if a.get("http-equiv") == "Content-Security-Policy"]
    scripts = re.findall("<script>(.*?)</script>", text, flags=re.S)
    assert len(scripts) == tables
    for script in scripts:
        assert f"'sha256-{base64.b64encode(sha256(script.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "://" not in text
    assert "@import" not in text
