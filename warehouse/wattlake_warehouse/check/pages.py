"""The Data Docs as pages of their own: what the library writes loads styles and scripts from other people's servers.

A page of figures must be readable where there is no network, and must tell nobody that it is read. So what comes from elsewhere is
taken out, the tables of the index, which a script would draw, are written out, and a small style stands in the page.
"""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Mapping, Sequence
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from wattlake_contracts.errors import WattlakeError

#: Tells a page that was made so already.
_MARK = '<meta name="generator" content="wattlake check">'
#: What is left out with all that is in it: it needs a script, looks elsewhere, or advertises.
_LEFT_OUT = frozenset({"script", "style", "footer", "button", "label"})
#: The attributes that are kept: no others load, run or style anything. The library writes values of the lake into its pages as they are.
_KEPT = frozenset({"id", "class", "role", "href", "src", "alt", "title", "charset", "name", "content", "hidden", "colspan", "rowspan"})
#: Elements that have no end.
_VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
#: The signs of the library's icon font, in words: by colour.
_SIGNS = {"text-success": '<b class="passed">✓ passed</b>', "text-danger": '<b class="failed">✗ failed</b>', "text-warning": '<b class="failed">! error</b>'}
_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 1.5rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: .4rem 0 1rem }
th, td { text-align: left; vertical-align: top; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid #8886 }
.alert { border-left: 4px solid #8888; padding-left: .6rem; margin: 1.2rem 0 .4rem }
.badge { font-family: ui-monospace, monospace; background: #8883; padding: 0 .3em; border-radius: 3px }
.cooltip .top { display: none }
.cooltip:hover .top { display: inline }
.passed { color: #17803d; white-space: nowrap } .failed { color: #c22; white-space: nowrap }
ol, ul { padding-left: 1.2rem } p { margin: .3rem 0 }
"""
_TABLE = re.compile(r"\$\('#([^']+)'\)\.bootstrapTable\(")
_DATA = re.compile(r"^\s*data: (\[.*\]),$", re.MULTILINE)


def write_out(site: Path) -> None:
    """Make every page of the Data Docs in the folder one that needs nothing but itself, and take away what they needed before.

    WattlakeError if the index has no results that could be read.
    """
    for page in sorted(site.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        if _MARK not in text:
            page.write_text(rewritten(text, str(page)), encoding="utf-8")
    shutil.rmtree(site / "static", ignore_errors=True)


def rewritten(text: str, subject: str) -> str:
    """A page of the library without anything from elsewhere. subject: its name, for errors."""
    writer = _Page({table: _drawn(text[at:], subject) for table, at in ((m[1], m.end()) for m in _TABLE.finditer(text))})
    writer.feed(text)
    writer.close()
    return "".join(writer.parts)


def _drawn(script: str, subject: str) -> str:
    """The table that a script would draw, from the rows that it holds."""
    found = _DATA.search(script)
    try:
        rows: Sequence[Mapping[str, Any]] = ast.literal_eval(found[1]) if found else []
        return _runs(rows) if rows and "validation_success" in rows[0] else _suites(rows)
    except (ValueError, SyntaxError, KeyError, TypeError) as error:
        raise WattlakeError(f"the library's table of results cannot be read: {error}", subject=subject,
                            next_step="install the version of great-expectations that this Wattlake was made with") from error


def _runs(rows: Sequence[Mapping[str, Any]]) -> str:
    """Each run of a suite, the latest first."""
    ordered = sorted(rows, key=lambda row: (-float(row["_run_time_sort"]), str(row["_expectation_suite_name_sort"])))
    lines = [f'<tr><td>{_SIGNS["text-success" if row["_validation_success_text"] == "Success" else "text-danger"]}</td>'
             f'<td>{_link(row["_table_row_link_path"], row["_expectation_suite_name_sort"])}</td><td>{escape(str(row["run_time"]))}</td></tr>'
             for row in ordered]
    return "\n".join(["<table><thead><tr><th>Result</th><th>Suite</th><th>Run</th></tr></thead><tbody>", *lines, "</tbody></table>"])


def _suites(rows: Sequence[Mapping[str, Any]]) -> str:
    names = sorted((str(row["expectation_suite_name"]), str(row["_table_row_link_path"])) for row in rows)
    return "\n".join(["<ul>", *(f"<li>{_link(path, name)}</li>" for name, path in names), "</ul>"])


def _link(path: object, name: object) -> str:
    return f'<a href="{escape(str(path))}">{escape(str(name).strip())}</a>'


def _elsewhere(url: str | None) -> bool:
    return url is not None and (url.lstrip().startswith("//") or ":" in url.partition("/")[0])


class _Page(HTMLParser):
    """Copies a page into `parts`, less what is left out. tables: what to write for each table that a script would draw, by its id."""

    def __init__(self, tables: Mapping[str, str]) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self._tables = tables
        #: how deep within an element that is left out, and which
        self._depth, self._out = 0, ""
        #: for each open link whether it is kept
        self._links: list[bool] = []
        self._titled = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if self._depth:
            self._depth += tag == self._out
            return
        classes = (given.get("class") or "").split()
        # the card of filters works by scripts alone
        if tag in _LEFT_OUT or (tag == "div" and classes[:2] == ["card", "mb-3"]):
            self._depth, self._out = 1, tag
        elif tag in ("link", "input", "base") or (tag == "img" and _elsewhere(given.get("src"))):
            return
        elif tag == "i" and (sign := next((_SIGNS[c] for c in classes if c in _SIGNS), None)):
            self.parts.append(sign)
        elif tag == "table" and (drawn := self._tables.get(given.get("id") or "")) is not None:
            self.parts.append(drawn)
            self._depth, self._out = 1, tag
        elif tag == "title" and self._titled:
            self._depth, self._out = 1, tag
        elif tag == "a":
            self._links.append(not _elsewhere(given.get("href")))
            if self._links[-1]:
                self._start(tag, attrs)
        else:
            self._titled = self._titled or tag == "title"
            self._start(tag, attrs)

    def _start(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kept = [(name, value) for name, value in attrs
                if (name in _KEPT or name.startswith("aria-")) and not (name in ("src", "href") and _elsewhere(value))]
        written = "".join(f" {name}" if value is None else f' {name}="{escape(value)}"' for name, value in kept)
        self.parts.append(f"<{tag}{written}>")

    def handle_endtag(self, tag: str) -> None:
        if self._depth:
            self._depth -= tag == self._out
            return
        if tag == "head":
            self.parts.append(f"{_MARK}<style>{_STYLE}</style>")
        if tag in _VOID or (tag == "a" and not (self._links.pop() if self._links else False)):
            return
        self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._depth:
            self.parts.append(data)

    def handle_entityref(self, name: str) -> None:
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.handle_data(f"&#{name};")

    def handle_decl(self, decl: str) -> None:
        self.parts.append(f"<!{decl}>")
