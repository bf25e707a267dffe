"""What may be asked, by the word of the parser."""

from __future__ import annotations

import pytest

from wattlake_contracts.errors import USAGE
from wattlake_warehouse.sql.statements import RefusedError, checked


@pytest.mark.parametrize("sql", [
    "SELECT 1", "select 1;", "-- a comment\nFROM range(3)", "WITH a AS (SELECT 1) FROM a", "VALUES (1)", "TABLE fact_energy", "SHOW TABLES",
    "DESCRIBE t", "SUMMARIZE t",
    "SHOW ALL TABLES", "PIVOT t ON x IN ('a') USING count(*)", "SELECT 'COPY x TO y; DROP TABLE z'", "FROM unnest([1])",
])
def test_what_reads_may_pass(sql: str) -> None:
    assert checked(sql)


@pytest.mark.parametrize(("sql", "again"), [("EXPLAIN SELECT 1", "EXPLAIN SELECT 1"), ("explain  analyze\nselect 1", "explain  analyze select 1")])
def test_an_explain_of_what_reads_may_pass(sql: str, again: str) -> None:
    assert checked(sql) == again


@pytest.mark.parametrize("sql", [
    "INSERT INTO t VALUES (1)", "UPDATE t SET a = 1", "DELETE FROM t", "CREATE TABLE t (a INT)", "CREATE TEMP VIEW v AS SELECT 1", "DROP TABLE t",
    "ALTER TABLE t ADD b INT",
    "COPY t TO 'x'", "COPY (SELECT 1) TO 'x' (FORMAT parquet)", "EXPORT DATABASE 'x'", "IMPORT DATABASE 'x'", "ATTACH 'x'", "DETACH lake", "USE lake",
    "INSTALL httpfs",
    "LOAD httpfs", "FORCE INSTALL httpfs", "SET threads = 1", "RESET threads", "PRAGMA threads=1", "CALL ducklake_snapshots('lake')", "CHECKPOINT",
    "VACUUM", "BEGIN",
    "COMMIT", "PREPARE p AS SELECT 1", "EXECUTE p", "CREATE SECRET s (TYPE s3)", "SET VARIABLE x = 1", "EXPLAIN ANALYZE COPY (SELECT 1) TO 'x'",
    "EXPLAIN DELETE FROM t", "EXPLAIN EXPLAIN ANALYZE COPY t TO 'x'", "/**/ EXPLAIN ANALYZE DELETE FROM t", "EXPLAIN (FORMAT json) SELECT 1",
    "MERGE INTO t USING u ON a = b WHEN MATCHED THEN DELETE",
])
def test_what_does_more_than_read_is_refused(sql: str) -> None:
    with pytest.raises(RefusedError) as caught:
        checked(sql)
    assert caught.value.exit_code == USAGE
    assert caught.value.next_step


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "SELECT 1; DROP TABLE t", "PIVOT t ON x USING count(*)"])
def test_several_statements_are_refused(sql: str) -> None:
    with pytest.raises(RefusedError, match="2 statements"):
        checked(sql)


@pytest.mark.parametrize("sql", ["", "  ", "-- nothing", ";"])
def test_no_statement_is_said(sql: str) -> None:
    with pytest.raises(RefusedError, match="no statement"):
        checked(sql)


@pytest.mark.parametrize("function", [
    "sqlite_scan('x', 'y')", "sqlite_query('x', 'y')", "sqlite_attach('x')", "read_text('x')", "read_blob('x')", "read_csv('x')", "read_parquet('x')",
    "read_json('x')",
    "parquet_metadata('x')", "glob('*')", "query('SELECT 1')", "query_table('t')", "json_execute_serialized_sql('{}')", "arrow_scan(1, 2, 3)", "pandas_scan(1)",
    "seq_scan('t')", "read_duckdb('x')", "enable_logging(storage = 'file')", "enable_profiling()", "checkpoint()", "force_checkpoint()",
    "ducklake_cleanup_old_files('lake')",
    "ducklake_delete_orphaned_files('lake')", "ducklake_expire_snapshots('lake')", "ducklake_merge_adjacent_files('lake')",
    "ducklake_add_data_files('lake', 't', 'x')",
    "ducklake_set_option('lake', 'a', 'b')", "which_secret('x', 's3')", "sniff_csv('x')", "system.main.read_text('x')", 'main."READ_TEXT"(\'x\')',
])
@pytest.mark.parametrize("where", [
    "FROM {}", "SELECT (SELECT count(*) FROM {})", "WITH a AS (FROM {}) FROM a", "SELECT 1 WHERE EXISTS (FROM {})", "SELECT 1 UNION ALL SELECT 1 FROM {}",
    "SELECT * FROM range(1), LATERAL (SELECT * FROM {})", "DESCRIBE FROM {}", "SUMMARIZE FROM {}", "EXPLAIN SELECT * FROM {}",
    "SELECT 1 ORDER BY (SELECT 1 FROM {})",
    "SELECT list_transform([1], x -> (SELECT 1 FROM {}))", "PIVOT (FROM {}) ON x IN (1) USING count(*)",
])
def test_table_functions_that_reach_outside_are_refused_wherever_they_stand(function: str, where: str) -> None:
    with pytest.raises(RefusedError):
        checked(where.format(function))


def test_a_nul_character_is_refused() -> None:
    with pytest.raises(RefusedError, match="NUL"):
        checked("SELECT 1 \0 ; COPY t TO 'x'")


def test_a_statement_nested_beyond_measure_is_refused() -> None:
    with pytest.raises(RefusedError):
        checked("SELECT " + "abs(" * 5000 + "1" + ")" * 5000)
