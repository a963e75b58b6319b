"""Reads the evidence table with programs that are not Probity, and compares what they see.

usage: interop.py STORE PROBITY

STORE is the directory of a store made by `probity demo` and folded by `probity maintain`; PROBITY is the
binary. The deltalake package (with PyArrow), DuckDB and Polars read the Delta table of tenant `default`; they
must agree with each other, with the table's own count, and with the numbers known of the log. The headline is
computed once more in plain DuckDB SQL that shares nothing with `queries/`. Ends with 1 on the first difference.
"""

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlparse

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

KNOWN = {"record.reviewed": 24_545, "action.executed": 138_577, "record.corrected": 19_087}
HEADLINE = (9_379, 24_545)
PERIOD = ("2016-01-01T00:00:00Z", "2018-01-01T00:00:00Z")
COLUMNS = ["seq", "occurred_at", "event_type", "record_id", "old_value", "occurred_month"]

TYPES = {
    "occurred_at": pa.timestamp("us", tz="UTC"),
    "recorded_at": pa.timestamp("us", tz="UTC"),
    "amount": pa.decimal128(18, 2),
    "seq": pa.int64(),
    "attempt": pa.int32(),
    "permission_level": pa.int8(),
    "confidence": pa.float64(),
    "old_value": pa.string(),
    "salt": pa.binary(),
    "occurred_month": pa.string(),
    "inputs": pa.list_(pa.struct([(name, pa.string()) for name in ("system", "record_type", "record_id", "field")])),
}
DUCKDB_TYPES = {
    "occurred_at": "TIMESTAMP WITH TIME ZONE",
    "amount": "DECIMAL(18,2)",
    "inputs": 'STRUCT("system" VARCHAR, record_type VARCHAR, record_id VARCHAR, field VARCHAR)[]',
}
POLARS_TYPES = {
    "occurred_at": pl.Datetime("us", "UTC"),
    "amount": pl.Decimal(18, 2),
    "inputs": pl.List(pl.Struct({name: pl.String for name in ("system", "record_type", "record_id", "field")})),
}

# A record is an exception when its routing was corrected after its review and within 30 days.
HEADLINE_SQL = """
with reviewed as (
    select record_id, occurred_at, seq
    from evidence
    where event_type = 'record.reviewed'
),
exceptions as (
    select distinct reviewed.record_id
    from reviewed
    join evidence as correction on correction.record_id = reviewed.record_id
    where correction.event_type = 'record.corrected'
        and correction.correction = 'routing'
        and (correction.occurred_at, correction.seq) > (reviewed.occurred_at, reviewed.seq)
        and correction.occurred_at < reviewed.occurred_at + interval 30 day
        and correction.old_value is distinct from correction.new_value
)
select (select count(*) from exceptions), (select count(distinct record_id) from reviewed)
"""

FACTS_SQL = """
select
    count(*), count(distinct seq), min(seq), max(seq), epoch_us(min(occurred_at)), epoch_us(max(occurred_at)),
    count(distinct record_id), count(*) filter (old_value = ''), count(*) filter (old_value is null),
    count(distinct occurred_month),
    count(*) filter (event_type = 'record.reviewed'), count(*) filter (event_type = 'action.executed'),
    count(*) filter (event_type = 'record.corrected')
from evidence
"""
FACTS = [
    "rows", "distinct seq", "first seq", "last seq", "first occurred_at, us", "last occurred_at, us",
    "records", "old_value empty", "old_value absent", "months", *KNOWN,
]


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    store, probity = Path(sys.argv[1]), sys.argv[2]
    table = DeltaTable(store / "tenants" / "default" / "events")
    rows = table.transaction_version("ledger")
    same("protocol", (table.protocol().min_reader_version, table.protocol().min_writer_version), (1, 2))
    lake = duckdb_view(table)
    polars = pl.scan_delta(table)
    check_types(table, lake, polars)
    seen = {
        "deltalake": facts_of_pyarrow(table),
        "duckdb": list(lake.execute(FACTS_SQL).fetchone()),
        "polars": facts_of_polars(polars),
    }
    show(seen)
    for reader, facts in seen.items():
        check_facts(reader, dict(zip(FACTS, facts, strict=True)), rows)
    same("facts of duckdb and deltalake", seen["duckdb"], seen["deltalake"])
    same("facts of polars and deltalake", seen["polars"], seen["deltalake"])
    check_headline(lake, probity, store, rows)
    print(f"interop: three readers agree on {rows:,} rows of table version {table.version()}")


def duckdb_view(table: DeltaTable) -> duckdb.DuckDBPyConnection:
    """The files of the table's newest version as a view; DuckDB's delta extension would need a download."""
    lake = duckdb.connect()
    paths = ", ".join("'" + local_path(uri).replace("'", "''") + "'" for uri in table.file_uris())
    options = "hive_partitioning = true, hive_types_autocast = false, union_by_name = true"
    lake.execute(f"create view evidence as select * from read_parquet([{paths}], {options})")
    return lake


def local_path(uri: str) -> str:
    return unquote(urlparse(uri).path) if uri.startswith("file://") else uri


def check_types(table: DeltaTable, lake: duckdb.DuckDBPyConnection, polars: pl.LazyFrame) -> None:
    schema = pa.schema(table.schema().to_arrow())
    for name, expected in TYPES.items():
        same(f"deltalake type of {name}", schema.field(name).type, expected)
    described = {row[0]: row[1] for row in lake.execute("describe evidence").fetchall()}
    same("columns of duckdb", sorted(described), sorted(schema.names))
    for name, expected in DUCKDB_TYPES.items():
        same(f"duckdb type of {name}", described[name], expected)
    frame = polars.collect_schema()
    same("columns of polars", sorted(frame.names()), sorted(schema.names))
    for name, expected in POLARS_TYPES.items():
        same(f"polars type of {name}", frame[name], expected)


def facts_of_pyarrow(table: DeltaTable) -> list[int]:
    rows = table.to_pyarrow_table(columns=COLUMNS)
    number = lambda scalar: scalar.cast(pa.int64()).as_py()
    seq, at = pc.min_max(rows["seq"]), pc.min_max(rows["occurred_at"])
    old = rows["old_value"]
    return [
        rows.num_rows,
        pc.count_distinct(rows["seq"]).as_py(),
        *[number(seq[side]) for side in ("min", "max")],
        *[number(at[side]) for side in ("min", "max")],
        pc.count_distinct(rows["record_id"]).as_py(),
        pc.sum(pc.equal(old, "")).as_py(),
        old.null_count,
        pc.count_distinct(rows["occurred_month"]).as_py(),
        *[pc.sum(pc.equal(rows["event_type"], kind)).as_py() for kind in KNOWN],
    ]


def facts_of_polars(frame: pl.LazyFrame) -> list[int]:
    seq, at, old = pl.col("seq"), pl.col("occurred_at").dt.epoch("us"), pl.col("old_value")
    facts = [
        pl.len(), seq.n_unique(), seq.min(), seq.max(), at.min(), at.max(),
        pl.col("record_id").drop_nulls().n_unique(), (old == "").sum(), old.is_null().sum(),
        pl.col("occurred_month").n_unique(), *[(pl.col("event_type") == kind).sum() for kind in KNOWN],
    ]
    return list(frame.select(fact.alias(name) for name, fact in zip(FACTS, facts, strict=True)).collect().row(0))


def check_facts(reader: str, facts: dict[str, int], rows: int) -> None:
    same(f"{reader}: rows and the table's `ledger` transaction", facts["rows"], rows)
    same(f"{reader}: distinct seq", facts["distinct seq"], rows)
    same(f"{reader}: first and last seq", (facts["first seq"], facts["last seq"]), (0, rows - 1))
    for kind, count in KNOWN.items():
        same(f"{reader}: {kind}", facts[kind], count)


def check_headline(lake: duckdb.DuckDBPyConnection, probity: str, store: Path, rows: int) -> None:
    own = lake.execute(HEADLINE_SQL).fetchone()
    start, end = PERIOD
    query = ["query", "routing_exception_rate", "-p", f"period_start={start}", "-p", f"period_end={end}"]
    command = [probity, "--store", str(store), "--as-of", str(rows), "--json", *query]
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    found = [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]
    period = next(row for row in found if row["grain"] == "period")
    same("size of the as-of point", answer["as_of"]["size"], rows)
    same("headline by duckdb", own, HEADLINE)
    same("headline by probity", (period["numerator"], period["denominator"]), HEADLINE)
    print(f"headline: {own[0]:,} of {own[1]:,} records by duckdb, the same by probity")


def show(seen: dict[str, list[int]]) -> None:
    print(f"{'':24}" + "".join(f"{reader:>24}" for reader in seen))
    for row, name in enumerate(FACTS):
        print(f"{name:24}" + "".join(f"{facts[row]:>24,}" for facts in seen.values()))


def same(what: str, found: object, expected: object) -> None:
    if found != expected:
        sys.exit(f"interop: {what}: found {found}, expected {expected}")


if __name__ == "__main__":
    main()
