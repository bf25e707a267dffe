"""The configuration: what goes before what, where things lie, and on what an error is blamed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wattlake_contracts.config import LEAST_RECORD_BYTES, Config, data_home, load, unknown_variables, variables
from wattlake_contracts.errors import UsageError
from wattlake_contracts.log_address import FileLog, lake_root, log_address


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without a wattlake.toml, a home of its own, and no variable."""
    for name in [n for n in os.environ if n.startswith("WATTLAKE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def test_a_bad_variable_is_blamed_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTLAKE_AGENT_INTERVAL_S", "abc")
    with pytest.raises(UsageError) as caught:
        load()
    assert str(caught.value).startswith("the variable WATTLAKE_AGENT_INTERVAL_S: 'abc' will not do: expected a number\n")
    assert "wattlake.toml" not in str(caught.value)


def test_a_bad_value_of_a_file_is_blamed_on_the_file_though_a_variable_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WATTLAKE_AGENT_FLUSH_S", "30")
    (tmp_path / "wattlake.toml").write_text("[agent]\ninterval_s = 'abc'\n")
    with pytest.raises(UsageError, match=r"^wattlake\.toml: .*agent\.interval_s"):
        load()


@pytest.mark.parametrize(("key", "value"), [("long_gap_s", "nan"), ("long_gap_s", "inf"), ("long_gap_s", "-1"), ("shards", "0"), ("round_mib", "0")])
def test_a_figure_that_makes_no_sense_is_refused_wherever_it_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str, value: str) -> None:
    (tmp_path / "wattlake.toml").write_text(f"[pipelines]\n{key} = {value}\n")
    with pytest.raises(UsageError, match=rf"pipelines\.{key}"):
        load()
    (tmp_path / "wattlake.toml").unlink()
    monkeypatch.setenv(f"WATTLAKE_PIPELINES_{key.upper()}", value)
    with pytest.raises(UsageError, match=f"WATTLAKE_PIPELINES_{key.upper()}"):
        load()


def test_a_record_size_that_not_every_reading_fits_in_is_refused_with_the_least(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "wattlake.toml").write_text(f"[kafka]\nmax_record_bytes = {LEAST_RECORD_BYTES - 1}\n")
    with pytest.raises(UsageError, match=rf">= {LEAST_RECORD_BYTES} - at `\$\.kafka\.max_record_bytes`"):
        load()
    monkeypatch.setenv("WATTLAKE_KAFKA_MAX_RECORD_BYTES", "16384")
    with pytest.raises(UsageError, match=rf"WATTLAKE_KAFKA_MAX_RECORD_BYTES: '16384' will not do: expected a whole number >= {LEAST_RECORD_BYTES}"):
        load()
    monkeypatch.setenv("WATTLAKE_KAFKA_MAX_RECORD_BYTES", str(LEAST_RECORD_BYTES))
    assert load().kafka.max_record_bytes == LEAST_RECORD_BYTES


@pytest.mark.parametrize(("text", "says"), [
    ("[kafka]\nuser = 'x'", "there is no key user in [kafka]\n  next: did you mean username? in [kafka] may stand prefix, security_protocol, "),
    ("[kafka]\nsite = 'x'", "there is no key site in [kafka]\n  next: it stands in [agent]; in [kafka] may stand prefix, "),
    ("[kafka]\nlog = 'x'", "there is no key log in [kafka]\n  next: it stands before the first section; in [kafka] may stand prefix, "),
    ("zorch = 1", "there is no key zorch before the first section\n  next: before the first section may stand log, lake, [agent], [kafka], "),
    ("[Kafka]\nprefix = 'x'", "there is no key Kafka before the first section\n  next: did you mean [kafka]? before the first section may stand log, "),
    ("kafka = 3", "Expected `object`, got `int` - at `$.kafka`\n  next: write it as a section, [kafka]; see docs/configuration.md"),
    ("[kafka]\nsecurity_protocol = 'SASL'", "'SASL' will not do for kafka.security_protocol\n  next: write PLAINTEXT, SSL or SASL_SSL"),
])
def test_a_key_or_a_word_that_is_none_is_told_with_those_that_there_are(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "wattlake.toml").write_text(f"{text}\n")
    with pytest.raises(UsageError) as caught:
        load()
    assert str(caught.value).startswith(f"wattlake.toml: {says}")


def test_a_variable_with_a_word_that_is_none_is_told_with_those_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTLAKE_KAFKA_SASL_MECHANISM", "SCRAM")
    with pytest.raises(UsageError, match="'SCRAM' will not do: expected SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN"):
        load()


def test_a_variable_goes_before_the_file_and_an_empty_place_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "wattlake.toml").write_text("log = 'file:/a/log'\nlake = '/a/lake'\n[agent]\nsite = 'here'\n")
    monkeypatch.setenv("WATTLAKE_LOG", "file:/b/log")
    monkeypatch.setenv("WATTLAKE_LAKE", "")
    monkeypatch.setenv("WATTLAKE_AGENT_SITE", "")
    monkeypatch.setenv("WATTLAKE_AGENT_READERS", "nvml,rapl")
    config = load()
    assert (config.log, config.lake, config.agent.site, config.agent.readers) == ("file:/b/log", "/a/lake", "", ("nvml", "rapl"))


def test_an_unknown_variable_is_named_with_what_was_likely_meant() -> None:
    said = unknown_variables({"WATTLAKE_AGENT_INTREVAL_S": "1", "WATTLAKE_LAKE": "x", "WATTLAKE_ZZZZZZ": "1", "PATH": "/bin", "WATTLAKE_DEBUG": "1"})
    assert said == ["the variable WATTLAKE_AGENT_INTREVAL_S means nothing to wattlake; did you mean WATTLAKE_AGENT_INTERVAL_S?",
                    "the variable WATTLAKE_ZZZZZZ means nothing to wattlake: see docs/configuration.md"]


def test_the_variables_are_those_that_the_page_lists() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/configuration.md").read_text(encoding="utf-8")
    assert [name for name in variables() if name not in text] == []


def test_the_lake_lies_beside_the_log_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert log_address(Config()) == FileLog(data_home() / "log")
    assert lake_root(Config()) == data_home() / "lake"
    assert lake_root(Config(log="file:/a/log")) == Path("/a/lake")
    assert lake_root(Config(log="file:/a/log"), None, "file:/b/log") == Path("/b/lake")
    assert lake_root(Config(log="file:/a/log", lake="/c"), None, "file:/b/log") == Path("/c")
    assert lake_root(Config(lake="/c"), "/d", "file:/b/log") == Path("/d")
    assert lake_root(Config(), None, "file:log") == tmp_path / "lake"
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    assert lake_root(Config(), None, "file:.") == tmp_path / "lake"
