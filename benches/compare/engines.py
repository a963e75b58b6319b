"""The other engines, each in a process of its own: killed when a question takes too long, and started again.

In: the Parquet files of the table, the parsed policies. Out: per question milliseconds and an Arrow table. Invariant:
what is timed is the question alone, from text to Arrow in memory; files are opened, functions and views made before.
"""

import multiprocessing
import os
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

THREADS = 2
# Loading native tables takes its time.
OPENING_S = 900


@dataclass(frozen=True)
class Table:
    """What every engine reads."""

    files: list[str]
    policies: pa.Table


@dataclass
class Answer:
    """How long it took and what came out; or why not."""

    ms: float = 0.0
    rows: pa.Table | None = None
    error: str | None = None


# ---- engines, as they live in their process ---------------------------------------------------


class DuckDB:
    """DuckDB over read_parquet, or over a table of its own that the files were loaded into."""

    def __init__(self, table: Table, *, is_native: bool = False) -> None:
        import duckdb

        import duckdb_sql

        self.lake = duckdb.connect()
        for setting in (f"threads = {THREADS}", *duckdb_sql.SETTINGS):
            self.lake.execute(f"set {setting}")
        kind = "table" if is_native else "view"
        self.lake.execute(f"create {kind} evidence as {duckdb_evidence(table.files)}")
        self.lake.register("arrow_policies", table.policies)
        self.lake.execute("create table parsed_policies as select * from arrow_policies")
        for macro in duckdb_sql.MACROS:
            self.lake.execute(f"create macro {macro}")

    def run(self, statements: list[str]) -> pa.Table:
        for statement in statements[:-1]:
            self.lake.execute(statement)
        return self.lake.sql(statements[-1]).to_arrow_table()

    def clear(self) -> None:
        tables = self.lake.execute("select table_name from duckdb_tables() where temporary").fetchall()
        for (name,) in tables:
            self.lake.execute(f"drop table temp.{name}")


def duckdb_evidence(files: list[str]) -> str:
    paths = ", ".join("'" + path.replace("'", "''") + "'" for path in files)
    options = "hive_partitioning = true, hive_types_autocast = false, union_by_name = true"
    return f"select * from read_parquet([{paths}], {options})"


class ClickHouse:
    """ClickHouse in this process, over file(), or over a MergeTree table that the files were loaded into."""

    def __init__(self, table: Table, *, is_native: bool = False) -> None:
        from chdb import session

        import clickhouse_sql

        self.session = session.Session()
        for name, value in {**clickhouse_sql.SETTINGS, "max_threads": THREADS}.items():
            self.session.query(f"set {name} = {value}")
        root = os.path.commonpath([Path(path).parents[1] for path in table.files])
        paths = root + "/{" + ",".join(path[len(root) + 1:] for path in table.files) + "}"
        columns = "* except occurred_month, cast(occurred_month as String) as occurred_month"
        sorted_by = "engine = MergeTree order by (occurred_at, seq) settings allow_nullable_key = 1 "
        kind, storage = ("table", sorted_by) if is_native else ("view", "")
        self.session.query(f"create {kind} evidence {storage}as select {columns} from file('{paths}', Parquet)")
        with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
            pq.write_table(table.policies, file.name)
            source = f"select * from file('{file.name}', Parquet)"
            self.session.query(f"create table parsed_policies engine = Memory as {source}")
        for function in clickhouse_sql.FUNCTIONS:
            self.session.query(f"create or replace function {function}")

    def run(self, statements: list[str]) -> pa.Table:
        for statement in statements[:-1]:
            self.session.query(statement)
        return self.session.query(statements[-1], "ArrowTable")

    def clear(self) -> None:
        names = str(self.session.query("select name from system.tables where is_temporary", "TSV")).split()
        for name in names:
            self.session.query(f"drop temporary table if exists {name}")


class Polars:
    """Polars over scan_parquet; a statement is the name of a frame in polars_frames, and its values."""

    def __init__(self, table: Table) -> None:
        os.environ["POLARS_MAX_THREADS"] = str(THREADS)
        import polars

        import polars_frames

        self.frames = polars_frames.FRAMES
        month = {"occurred_month": polars.String}
        self.evidence = polars.scan_parquet(table.files, hive_partitioning=True, hive_schema=month)

    def run(self, statements: list[tuple[str, dict]]) -> pa.Table:
        [(name, values)] = statements
        return self.frames[name](self.evidence, values).collect().to_arrow()

    def clear(self) -> None:
        """Nothing is kept."""


NATIVE = "_native"
ENGINES = {
    "duckdb": DuckDB,
    "clickhouse": ClickHouse,
    "polars": Polars,
    f"duckdb{NATIVE}": partial(DuckDB, is_native=True),
    f"clickhouse{NATIVE}": partial(ClickHouse, is_native=True),
}


# ---- their processes --------------------------------------------------------------------------


def serve(name: str, table: Table, pipe: Connection) -> None:
    begun = time.perf_counter()
    engine = ENGINES[name](table)
    pipe.send((time.perf_counter() - begun) * 1000)
    while True:
        statements, wants_rows = pipe.recv()
        pipe.send(answered(engine, statements, wants_rows))


def answered(engine: DuckDB | ClickHouse | Polars, statements: list, wants_rows: bool) -> Answer:
    try:
        begun = time.perf_counter()
        rows = engine.run(statements)
        ms = (time.perf_counter() - begun) * 1000
        engine.clear()
        return Answer(ms, rows if wants_rows else None)
    except Exception as error:  # noqa: BLE001 - what an engine cannot do is a result
        try:
            engine.clear()
        except Exception as second:  # noqa: BLE001
            return Answer(error=f"{error}; then {second}"[:2000])
        return Answer(error=str(error)[:2000])


@dataclass
class Worker:
    """One engine's process."""

    name: str
    table: Table
    process: multiprocessing.Process | None = None
    pipe: Connection | None = field(default=None, repr=False)
    opening_ms: float = 0.0

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(self.name, self.table, theirs), daemon=True)
        self.process.start()
        theirs.close()
        if not self.pipe.poll(OPENING_S):
            raise EOFError(f"not open within {OPENING_S} s")
        self.opening_ms = self.pipe.recv()

    def ask(self, statements: list, limit_s: float, *, wants_rows: bool = False) -> Answer:
        try:
            if self.process is None:
                self.start()
            self.pipe.send((statements, wants_rows))
            if self.pipe.poll(limit_s):
                return self.pipe.recv()
            error = f"no answer within {limit_s:.0f} s"
        except (EOFError, OSError) as died:
            error = f"the process of {self.name} ended: {died}"
        self.stop()
        return Answer(error=error)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
        self.process = self.pipe = None
