"""The pages hold what they promise: links lead somewhere, queries run, files are imported, keys exist."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

import pytest

from pages import Block, blocks, pages, queries
from wattlake_contracts.config import AgentConfig, Config, KafkaConfig, LakeConfig, ReportConfig, load
from wattlake_contracts.factors.page import factors_page

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The names under which a page's headings can be linked to."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in _HEADING.findall(page.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_pictures_are_small_and_can_be_shown(root: Path) -> None:
    pictures = sorted((root / "docs/images").iterdir())
    assert {p.suffix for p in pictures} == {".svg", ".png"}
    for picture in pictures:
        assert picture.stat().st_size < 150_000, picture.name

    class Tags(HTMLParser):
        names: ClassVar[set[str]] = set()

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.names.add(tag)
            assert not [name for name, _ in attrs if name.startswith("on") or name in ("href", "src", "xlink:href")]

    parser = Tags()
    parser.feed((root / "docs/images/flow.svg").read_text(encoding="utf-8"))
    assert {"title", "desc"} <= parser.names
    assert "script" not in parser.names


def test_the_page_of_factors_is_what_the_files_say(root: Path) -> None:
    assert (root / "docs/factors.md").read_text(encoding="utf-8") == factors_page(), "run `make docs`"


def test_every_setting_is_documented_with_its_default(root: Path) -> None:
    text = (root / "docs/configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(.*?)` \| (.+) \|$", text, re.MULTILINE)
    written = {variable: (key, default) for key, variable, default, meaning in rows if meaning}
    expected = {}
    for section, struct in (("", Config), ("agent", AgentConfig), ("kafka", KafkaConfig), ("pipelines", LakeConfig), ("report", ReportConfig)):
        for key, default in zip(struct.__struct_fields__, struct.__struct_defaults__, strict=True):
            if not isinstance(default, AgentConfig | KafkaConfig | LakeConfig | ReportConfig):
                shown = list(default) if isinstance(default, tuple) else default
                expected["_".join(("WATTLAKE", *filter(None, (section, key)))).upper()] = (key, json.dumps(shown))
    assert written == expected
    assert set(re.findall(r"^## \[(\w+)\]$", text, re.MULTILINE)) == {"agent", "kafka", "pipelines", "report"}


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_a_configuration_in_a_page_is_one(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("WATTLAKE_")]:
        monkeypatch.delenv(name)
    (tmp_path / "wattlake.toml").write_text(block.body, encoding="utf-8")
    assert load(tmp_path / "wattlake.toml") != Config()


@pytest.mark.parametrize("block", blocks("csv"), ids=str)
def test_a_file_in_a_page_can_be_imported(block: Block, wattlake: Path, tmp_path: Path) -> None:
    header = block.body.splitlines()[0]
    kinds = re.findall(r"`(\w+)\.csv`", block.before)
    # of the names before it, the one whose kind has these columns
    name = {"sku,embodied_kg,life_years,source": "embodied", "node,site,sku,ownership,acquired_on": "nodes",
            "job,node,start,end,model,phase,team,status": "jobs", "node,device,ts,power_w": "readings"}.get(header, kinds[-1])
    assert name in kinds
    (tmp_path / f"{name}.csv").write_text(block.body, encoding="utf-8")
    done = subprocess.run([wattlake, "import", name, f"{name}.csv", "--log", f"file:{tmp_path / 'log'}", "--format", "json"],
                          cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["accepted"] == len(list(csv.reader(block.body.splitlines()))) - 1


def test_the_files_of_the_quickstart_give_a_job_with_all_its_figures(wattlake: Path, tmp_path: Path) -> None:
    files = dict(zip(("sites", "grid", "nodes", "embodied", "jobs", "readings"),
                     (block for block in blocks("csv") if block.page == "docs/quickstart.md"), strict=True))

    def run(*arguments: str) -> str:
        done = subprocess.run([wattlake, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    for kind, block in files.items():
        (tmp_path / f"{kind}.csv").write_text(block.body, encoding="utf-8")
        run("import", kind, f"{kind}.csv", "--log", "file:log")
    run("run", "--log", "file:log")
    job, *others = json.loads(run("sql", "--lake", "lake", "--format", "json", "SELECT * FROM footprint_by_job WHERE job NOT LIKE '(%'"))
    assert others == []
    # the trapezoids between the five readings; the job's edges halve the first and the last, as energy is interpolated, not power
    minutes_w = (118 + 412) / 2 * 2 + (412 + 418.5) / 2 * 4 + (418.5 + 415) / 2 * 4 + (415 + 121) / 2 * 2
    assert job["energy_kwh"] == pytest.approx(minutes_w / 60_000, rel=1e-6)
    for name in ("location_kg", "overhead_location_kg", "upstream_kg", "embodied_kg", "water_site_l"):
        assert job[name] > 0, name


@pytest.fixture(scope="session")
def lake(wattlake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small lake of a simulated fleet."""
    folder = tmp_path_factory.mktemp("pages")
    log = f"file:{folder / 'log'}"
    for command in (["simulate", "--nodes", "2", "--days", "0.2", "--gpus", "1", "--interval", "60", "--log", log],
                    ["run", "--log", log, "--lake", str(folder / "lake")]):
        subprocess.run([wattlake, *command], capture_output=True, check=True, timeout=240, cwd=folder)
    return folder / "lake"


@pytest.mark.parametrize(("place", "query"), queries(), ids=lambda value: value[:60])
def test_a_query_in_a_page_runs(wattlake: Path, lake: Path, place: str, query: str) -> None:
    done = subprocess.run([wattlake, "sql", "--lake", lake, "--format", "csv"], input=query, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{place}: {done.stderr}"
    assert done.stdout.strip()


def test_the_changelog_names_the_version_that_is_installed(root: Path) -> None:
    version = re.search(r'^version = "(.+)"$', (root / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{version[1]}]" in text
    assert text.index("## [Unreleased]") < text.index(f"## [{version[1]}]")


@pytest.mark.parametrize("record", sorted((Path(__file__).resolve().parents[2] / "docs/adr").glob("*.md")), ids=lambda p: p.stem)
def test_a_decision_has_its_context_and_consequences(record: Path) -> None:
    text = record.read_text(encoding="utf-8")
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+", record.stem)
    assert text.startswith(f"# {int(record.stem[:4])}. ")
    for part in ("**Context.**", "**Decision.**", "**Consequences.**"):
        assert text.count(part) == 1
    assert len(text) < 2_500


def test_nothing_in_the_tree_names_a_place_of_one_machine(root: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, timeout=30, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    # put together here, so that this file does not name them; ann is everybody's example
    pattern = re.compile(r"(?<![\w.])/(?:work|root|home(?!/ann\b))/" + r"[\w.]")
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = root / name
        if path.suffix in (".png", ".parquet", ".gz", ".lock") or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{name}:{number}: {line.strip()[:100]}")
    assert found == []
