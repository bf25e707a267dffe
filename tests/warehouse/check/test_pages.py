"""The Data Docs can be read without a network and without scripts, and call nobody."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest

from wattlake_contracts.errors import WattlakeError
from wattlake_warehouse.check.expectations import SITE, run_gates
from wattlake_warehouse.check.gate import Gate, Rule
from wattlake_warehouse.check.pages import rewritten

HARM = "<img src=//elsewhere/i onerror=alert(1)><script>alert(1)</script><meta http-equiv=refresh content=0>"
GATES = (
    Gate("sound", "SELECT 1 AS a", (Rule("not_null", ("a",), "must be given"),)),
    Gate("broken", f"SELECT 'http://elsewhere/{HARM}' AS a", (Rule("none", ("a",), "must not be there"),)),
)


class Page(HTMLParser):
    """The tags and links of a page, and its text, cell by cell."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data.strip())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of two checks, one after the other."""
    folder = tmp_path_factory.mktemp("docs")
    with duckdb.connect() as connection:
        for _ in range(2):
            assert [[o.ok for o in outcomes] for _, outcomes in run_gates(connection, GATES, folder)] == [[True], [False]]
    return folder / SITE


def test_no_page_has_a_script_or_anything_from_elsewhere_and_every_link_leads_somewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) == 1 + len(GATES) * 3
    for path in pages:
        page = Page(path)
        assert {"script", "link", "img", "button", "footer"}.isdisjoint(page.tags)
        assert [link for link in page.links if re.match(r"\s*(//|[a-z]+:)", link)] == []
        assert [link for link in page.links if not link.startswith("#") and not (path.parent / link).is_file()] == []
        assert "url(" not in path.read_text(encoding="utf-8")
        assert page.tags.count("style") == 1
        assert not re.search(r"http-equiv|alert\(", path.read_text(encoding="utf-8"))
        assert "newsletter" not in " ".join(page.words)
    assert {path.suffix for path in site.rglob("*") if path.is_file()} == {".html"}


def test_the_index_names_each_run_of_each_suite_and_whether_it_passed(site: Path) -> None:
    words = Page(site / "index.html").words
    at = words.index("Run") + 1
    rows = [tuple(words[i : i + 2]) for i in range(at, at + 12, 3)]
    assert rows == [("✗ failed", "broken"), ("✓ passed", "sound")] * 2
    assert [words[i] for i in range(at + 2, at + 12, 3)] == sorted((words[i] for i in range(at + 2, at + 12, 3)), reverse=True)
    assert words.count("sound") == 3, "two runs, and the suite itself"


def test_a_page_of_results_says_what_was_found(site: Path) -> None:
    [page, *_] = sorted(site.glob("validations/broken/**/*.html"))
    words = Page(page).words
    assert "✗ failed" in words
    assert "http://elsewhere/" in words
    assert "values must be null." in " ".join(words)


def test_a_table_that_cannot_be_read_is_said() -> None:
    with pytest.raises(WattlakeError, match="cannot be read"):
        rewritten("<table id=t></table><script>$('#t').bootstrapTable(\n data: [{'a': 1}, b()],\n</script>", "index.html")
