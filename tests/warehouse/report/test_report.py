"""The report: self-contained, escaped, complete and the same every time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from wattlake_contracts.errors import WattlakeError
from wattlake_warehouse.lake import open_lake
from wattlake_warehouse.report.figures import collect
from wattlake_warehouse.report.page import render

COMMAND = [sys.executable, "-c", "from wattlake_agents.command import main; main()"]
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"


class Tags(HTMLParser):
    """All tags with their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def run(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, "report", *args], capture_output=True, text=True, timeout=120, env={**os.environ, **environment})


@pytest.fixture(scope="module")
def page(lake: Path) -> str:
    return render(collect(lake), "Example & Sons")


def test_it_loads_nothing_and_runs_nothing(page: str) -> None:
    found = Tags(page)
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & {tag for tag, _ in found.tags}
    for _, attributes in found.tags:
        assert not any(name.startswith("on") or name in {"src", "href", "srcset", "xlink:href", "action", "data"} for name in attributes)
    assert not re.search(r"url\(|@import|javascript:", page)
    # nothing but the name of the SVG vocabulary looks like an address
    assert set(re.findall(r"https?://[^\"' <]+", page)) <= {"http://www.w3.org/2000/svg"}


def test_the_content_security_policy_allows_styles_only(page: str) -> None:
    policies = [a["content"] or "" for tag, a in Tags(page).tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert "default-src 'none'" in policies[0]
    assert "script-src" not in policies[0]
    assert policies[0].index("default-src") == 0
    # it must come before what it governs
    assert page.index("Content-Security-Policy") < page.index("<style")


def test_hostile_names_stay_text(new_lake: Callable[..., Path], filling: str) -> None:
    name = HOSTILE.replace("'", "''")
    lake = new_lake(filling + f"UPDATE lake.dim_jobs SET model = '{name}', team = '{name}', phase = 'train' WHERE job = 'train-1';"
                    f"UPDATE lake.fact_emissions SET zone = '{name}' WHERE zone = 'NO'; UPDATE lake.rejects SET reason = '{name}';")
    page = render(collect(lake), HOSTILE)
    found = Tags(page)
    assert HOSTILE in " ".join(found.words)
    assert not {"script", "img"} & {tag for tag, _ in found.tags}
    svgs = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(svgs) == 3
    assert all("<script" not in svg and "<img" not in svg for svg in svgs)


def test_the_same_lake_gives_the_same_bytes(lake: Path, page: str) -> None:
    assert render(collect(lake), "Example & Sons") == page


def test_every_section_is_there(page: str) -> None:
    text = Tags(page).text
    for heading in ("IT energy", "Facility overhead", "Location-based, Scope 2", "Upstream, Scope 3.3", "Embodied, accrued", "Coverage", "Measured",
                    "Life cycle of each model", "Teams", "Energy and the grid over time", "Jobs", "Where the energy went", "Inference", "Data movement",
                    "Hardware", "Data quality", "Method and factors", "Factors in use", "Example & Sons"):
        assert heading in text
    for label in ("not market-based", "For what-if only", "average allocation", "estimate or default", "a grid operator, hourly", "facility report 2025"):
        assert label in text


def test_headline_figures_are_the_facts(lake: Path, page: str) -> None:
    text = Tags(page).text
    with open_lake(lake) as connection:
        energy, overhead, location, upstream = connection.execute(
            "SELECT sum(energy_mj) / 3.6e9, sum(overhead_mj) / 3.6e9, (sum(location_ug) + sum(overhead_location_ug)) / 1e9, sum(upstream_ug) / 1e9 "
            "FROM fact_emissions WHERE NOT simulated").fetchall()[0]
    assert f"IT energy {energy:.0f} kWh" in text
    assert f"Facility overhead {overhead:.1f} kWh" in text
    assert f"Location-based, Scope 2 {location:.1f} kg CO₂e" in text
    assert f"Upstream, Scope 3.3 {upstream:.2f} kg CO₂e" in text


def test_the_lines_add_up_to_the_counters_exactly(lake: Path, page: str) -> None:
    with open_lake(lake) as connection:
        for simulated in (False, True):
            found = connection.execute(f"SELECT sum(energy_mj) FROM fact_energy WHERE simulated = {simulated} GROUP BY line").fetchall()
            lines = [f"{mj:,}" for (mj,) in found]
            (counted,) = connection.execute(f"SELECT sum(counter_mj) FROM counters WHERE outermost AND simulated = {simulated}").fetchall()[0]
            assert all(line in page for line in lines)
            assert page.count(f"{counted:,}") == 2  # the sum of the lines, and the counters
    assert page.count(">Difference<") + page.count(">Difference ") == 2


def test_failed_jobs_are_visible(page: str) -> None:
    assert '<td class="status-failed">failed</td>' in page
    assert "2 jobs failed or were cancelled" in page


def test_unknown_is_said_and_a_partial_sum_is_marked(page: str) -> None:
    text = Tags(page).text
    assert "left out of the sums" in text
    assert "† leaves out what is unknown" in text
    assert "unknown site" in text


def test_simulated_figures_are_announced_and_marked(page: str, new_lake: Callable[..., Path], filling: str) -> None:
    assert "Some of these figures are simulated." in page
    simulated_row = re.search(r"<tr><th[^>]*><span[^>]*>sim-train</span> <span class=\"sim\">simulated</span></th>", page)
    assert simulated_row is not None
    without = "".join(f"DELETE FROM lake.{table} WHERE simulated;" for table in ("fact_energy", "fact_emissions", "fact_embodied", "dim_jobs",
                                                                                 "dim_nodes", "dim_devices", "reading_bounds"))
    assert 'class="sim"' not in render(collect(new_lake(filling + without)))


def test_a_lake_of_simulated_data_only_marks_every_tile(new_lake: Callable[..., Path], filling: str) -> None:
    only = "".join(f"DELETE FROM lake.{table} WHERE NOT simulated;" for table in ("fact_energy", "fact_emissions", "fact_embodied", "dim_jobs"))
    only += "DELETE FROM lake.accounted_jobs WHERE job <> 'sim-train';"
    page = render(collect(new_lake(filling + only)))
    assert "All energy figures here are simulated." in page
    tiles = re.findall(r"<li><span class=\"label\">.*?</li>", page)
    assert len(tiles) == 7
    assert all('class="sim"' in tile for tile in tiles)


def test_every_chart_has_a_name_and_a_table(page: str) -> None:
    figures = re.findall(r"<figure>.*?</figure>", page, flags=re.DOTALL)
    assert len(figures) == 3
    for figure in figures:
        assert re.search(r'role="img" aria-label="[^"]{20,}"', figure)
        assert "<figcaption>" in figure
    tables = re.findall(r"<table>\s*<caption>(.+?)</caption>", page)
    assert len(tables) == page.count("<table>")
    assert "Life cycle of each model, by phase" in tables


def life_cycle_chart(page: str) -> tuple[str, str]:
    """The words in the chart of the life cycle, and its caption."""
    figure = re.findall(r"<figure>.*?</figure>", page, flags=re.DOTALL)[0]
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", figure)), re.findall(r"<figcaption>(.*?)</figcaption>", figure, flags=re.DOTALL)[0]


def test_a_model_without_a_figure_has_the_word_and_no_bar(page: str) -> None:
    words, caption = life_cycle_chart(page)
    # the simulated model's machine is held by no whole-node job, so it has no embodied figure
    assert words.count("unknown") == 1
    assert "what-if-xl (simulated)" in words
    assert "Embodied, accrued" in words
    assert "on a scale of its own" in caption


def test_embodied_emissions_that_nobody_knows_are_not_drawn_as_zero(new_lake: Callable[..., Path], filling: str) -> None:
    page = render(collect(new_lake(filling + """
        DELETE FROM lake.fact_embodied WHERE simulated OR job IS NOT NULL;
        UPDATE lake.fact_embodied SET embodied_ug = NULL, version = NULL, basis = if(device IS NULL, 'no sku', 'no factor');""")))
    words, caption = life_cycle_chart(page)
    assert "Operational, location-based" in words
    assert "Embodied" not in words
    assert "Embodied emissions are unknown and not drawn: no factor for the model of 3 items, no model named for 3 items" in caption
    assert "Embodied, accrued unknown no factor for the model of 3 items, no model named for 3 items" in Tags(page).text


def test_emissions_without_any_grid_figure_are_not_drawn_as_zero(new_lake: Callable[..., Path], filling: str) -> None:
    page = render(collect(new_lake(filling + """
        UPDATE lake.fact_emissions SET location_ug = NULL, overhead_location_ug = NULL, upstream_ug = NULL, basis = 'no grid figure';""")))
    words, caption = life_cycle_chart(page)
    assert "Operational" not in words
    assert "Embodied, accrued" in words
    assert "Emissions of the electricity are unknown and not drawn" in caption


def test_what_is_estimated_is_said_at_the_head(page: str, new_lake: Callable[..., Path], filling: str) -> None:
    text = Tags(page).text
    assert "% of the energy is an estimate from a model: no hardware counted it." in text
    without = "DELETE FROM lake.fact_energy WHERE estimated_mj > 0;"
    assert "is an estimate from a model" not in Tags(render(collect(new_lake(filling + without)))).text


def test_models_without_serving_counters_are_counted_in_words(new_lake: Callable[..., Path], filling: str) -> None:
    text = Tags(render(collect(new_lake(filling + "DELETE FROM lake.fact_serving;")))).text
    assert "1 model had inference jobs and no serving counters" in text
    assert "IT energy per request" not in text


def test_an_empty_lake_says_what_to_do(empty_lake: Path) -> None:
    with pytest.raises(WattlakeError, match="nothing accounted yet") as caught:
        collect(empty_lake)
    assert "wattlake run" in caught.value.next_step


def test_readings_that_wait_for_accounting_are_named(new_lake: Callable[..., Path]) -> None:
    lake = new_lake("INSERT INTO lake.raw_readings (node, device, ts_ms, energy_mj) VALUES ('a', 'gpu0', 1772409600000, 5)")
    with pytest.raises(WattlakeError, match="1 reading and nothing accounted") as caught:
        collect(lake)
    assert "wattlake account" in caught.value.next_step


def test_a_lake_with_energy_only_is_reported_without_inventing_the_rest(new_lake: Callable[..., Path], filling: str) -> None:
    bare = "".join(f"DELETE FROM lake.{table};" for table in ("fact_emissions", "fact_embodied", "fact_transfers", "fact_serving", "dim_jobs",
                                                              "rejects", "reading_bounds",
                                                              "ref_grid", "ref_sites", "commits"))
    page = render(collect(new_lake(filling + bare)))
    text = Tags(page).text
    assert "Location-based, Scope 2 unknown" in text
    assert "Embodied, accrued unknown" in text
    assert "No inference job" in text
    assert "No transfers were recorded" in text
    assert "holds no inventory" in text


def test_the_command_writes_the_file_and_prints_its_path_last(lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "report.html"
    done = run("--lake", str(lake), "--out", str(out), WATTLAKE_REPORT_ORGANISATION="Ministry")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(out)
    assert "Ministry" in out.read_text(encoding="utf-8")


def test_the_figures_come_as_json(lake: Path) -> None:
    done = run("--lake", str(lake), "--format", "json", "--from", "2026-03-02", "--to", "2026-03-03")
    figures = json.loads(done.stdout)
    assert figures["from_utc"] == "2026-03-02T00:00:00Z"
    assert figures["to_utc"] == "2026-03-03T00:00:00Z"
    assert sum(row["energy_mj"] for row in figures["lines"]) < figures["counters"][0]["facts_mj"]
    assert figures["headline"][0]["energy_kwh"] == pytest.approx(35.09481489944444)


def test_a_window_shows_its_lines_and_the_whole_lakes_counters(lake: Path) -> None:
    text = Tags(render(collect(lake, (1_772_409_600_000, 1_772_496_000_000)))).text
    assert "Sum of the lines, whole lake" in text
    assert "2026-03-02 00:00 to 2026-03-03 00:00 UTC" in text


@pytest.mark.parametrize(("args", "said"), [
    (("--from", "yesterday"), "is no day"), (("--from", "2026-03-03", "--to", "2026-03-03"), "--to must be after --from"), (("--from", "1970-01-01"),
                                                                                                                            "out of range"),
    (("--format", "pdf"), "not one of html, json"), (("--all", "--to", "2026-03-03"), "--all with --from or --to")])
def test_a_wrong_option_is_a_usage_error(lake: Path, args: tuple[str, ...], said: str) -> None:
    done = run("--lake", str(lake), *args)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_job_in_which_nothing_was_read_is_unknown_and_named_with_the_reason(page: str) -> None:
    text = Tags(page).text
    assert "In 1 job nothing was read, in whole or on a machine or device: the energy there is unknown, not zero" in text
    assert "Jobs without energy" in text
    assert "lost-1 a1 gpu9 llama-mini-chat nlp 2026-03-04 06:00 4.00 no reading of the device" in text


def test_jobs_that_hold_more_than_there_is_are_said(new_lake: Callable[..., Path], filling: str) -> None:
    nested = "UPDATE lake.fact_energy SET flags = 'conflict,oversubscribed' WHERE job IN ('tune-1', 'half-1');"
    assert "2 jobs held more of a device than there is" in Tags(render(collect(new_lake(filling + nested)))).text


def test_each_team_has_a_row_and_what_no_job_held_comes_last(page: str) -> None:
    (table,) = re.findall(r"<caption>Energy and emissions of each team and project</caption>.*?</table>", page, flags=re.DOTALL)
    teams = re.findall(r'<tr><th scope="row"><span[^>]*>([^<]*)</span>', table)
    assert teams == ["nlp", "platform", "(none)", "(unattributed)", "research", "(unattributed)"]


BOUGHT_LONG_AGO = """
    INSERT INTO lake.fact_embodied BY NAME
    SELECT getvariable('t0') - d * 86400000::BIGINT AS start_ms, getvariable('t0') - (d - 1) * 86400000::BIGINT AS end_ms, 'a1' AS node, 'unattributed' AS line,
           1000000000 AS embodied_ug, 86400000 AS reserved_ms, md5('host') AS version, false AS estimated, false AS simulated, 'acquired_on' AS basis
    FROM range(1, 501) r(d);
    INSERT INTO lake.dim_jobs BY NAME
    SELECT 'early' AS job, getvariable('t0') - 9 * 86400000::BIGINT AS start_ms, getvariable('t0') - 8 * 86400000::BIGINT AS end_ms, false AS open,
           1 AS nodes, false AS simulated;"""


def test_what_accrued_before_anything_was_measured_is_said_and_not_in_the_figures(new_lake: Callable[..., Path], filling: str, page: str) -> None:
    lake = new_lake(filling + BOUGHT_LONG_AGO)
    tile = re.compile(r"Embodied, accrued ([\d.]+) kg")
    usual, *simulated = tile.findall(Tags(page).text)
    found = Tags(render(collect(lake))).text
    assert tile.findall(found) == [usual, *simulated]
    assert "2026-03-02 00:00 to 2026-03-05 00:00 UTC" in found
    assert "Outside the days that were measured 500 kg CO₂e of embodied emissions accrued from 2024-10-18 on and 1 job ran." in found
    assert "Sum of the lines, whole lake" not in found
    everything = Tags(render(collect(lake, everything=True))).text
    assert float(tile.findall(everything)[0]) == pytest.approx(500 + float(usual), abs=1)
    assert "Outside the days" not in everything


def test_a_chart_of_one_hour_is_a_table(new_lake: Callable[..., Path], filling: str) -> None:
    hour = "".join(f"DELETE FROM lake.{table} WHERE start_ms <> getvariable('t0');" for table in ("fact_energy", "fact_emissions", "fact_embodied"))
    page = render(collect(new_lake(filling + hour)))
    assert "Energy and grid intensity per hour" in page
    assert "above the intensity of the grid" not in page


def test_the_largest_model_is_in_the_chart_though_its_emissions_are_unknown(new_lake: Callable[..., Path], filling: str) -> None:
    unknown = """UPDATE lake.fact_emissions SET location_ug = NULL, overhead_location_ug = NULL WHERE job IN ('prep-1', 'sweep-1', 'train-1');
                 UPDATE lake.fact_embodied SET embodied_ug = NULL WHERE job IN ('prep-1', 'sweep-1', 'train-1');"""
    words, _ = life_cycle_chart(render(collect(new_lake(filling + unknown))))
    assert "llama-mini " in words
    assert words.count("unknown") == 3  # both of its figures, and the simulated model's hardware


def test_days_without_data_are_said(lake: Path) -> None:
    done = run("--lake", str(lake), "--from", "2027-01-01")
    assert done.returncode == 1
    assert "nothing accounted in those days" in done.stderr
