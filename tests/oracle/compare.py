"""Compares queries/{metrics,controls,governance,review}/*.sql with the oracle on random logs.

Needs `pip install datafusion pyarrow`. Registers the table `evidence`, the views (each as a table, behind
those that it needs) and stand-ins for the SQL functions that call the oracle's formulas; stands in for the
engine in nothing else.

    python3 tests/oracle/compare.py [logs = 200] [first seed = 0] [name of a query ...]

Prints each difference with seed, query and rows; the same command with 1 and that seed replays it.
"""

import collections
import datetime
import decimal
import json
import pathlib
import random
import re
import sys

import datafusion
import pyarrow as pa

import controls_oracle
import fold
import governance_oracle
import metrics_oracle
import review_oracle
import scopes
import sql_functions
import tables_oracle
from random_logs import random_arguments, random_log

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = pa.string_view()
INSTANT = pa.timestamp("us", "UTC")
INPUT = pa.struct([(name, TEXT) for name in ("system", "record_type", "record_id", "field")])
TYPES = {
    "occurred_at": INSTANT, "recorded_at": INSTANT, "review_opened_at": INSTANT, "source_seq": pa.int64(),
    "seq": pa.int64(), "attempt": pa.int32(), "permission_level": pa.int8(), "amount": pa.decimal128(18, 2),
    "confidence": pa.float64(), "threshold": pa.float64(), "inputs": pa.list_(INPUT),
}
PARAMETER_TYPES = {"utf8": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "timestamp": INSTANT}
ORACLES = {"metrics": metrics_oracle.METRICS, "controls": controls_oracle.CONTROLS,
           "governance": governance_oracle.TABLES + tables_oracle.TABLES, "review": review_oracle.TABLES}


# ---- the engine's side ------------------------------------------------------------------------


def schema():
    """The columns that the view `events` lists are those of the table."""
    body = sql_of(ROOT / "queries/views/events.sql").split("select")[1].split("cast(")[0]
    names = [name.strip() for name in body.split(",") if name.strip()]
    return pa.schema([(name, TYPES.get(name, TEXT)) for name in names])


def sql_of(path):
    return re.sub(r"--.*", "", path.read_text(encoding="utf-8"))


def context(rows):
    session = datafusion.SessionContext()
    columns = schema()
    arrays = [pa.array([row.get(field.name) for row in rows], field.type) for field in columns]
    session.register_record_batches("evidence", [[pa.record_batch(arrays, schema=columns)]])
    sql_functions.register(session)
    register_views(session)
    return session


def register_views(session):
    waiting = {path.stem: sql_of(path) for path in sorted((ROOT / "queries/views").glob("*.sql"))}
    while waiting:
        for name, sql in waiting.items():
            needed = set(re.findall(r"\b(?:from|join)\s+(\w+)", sql)) - {name}
            if not needed & set(waiting):
                register_view(session, name, sql)
                del waiting[name]
                break
        else:
            raise SystemExit(f"views depend on each other in a circle: {sorted(waiting)}")


def register_view(session, name, sql):
    if name == "events":
        session.sql(f"create view events as {sql}").collect()
        return
    frame = session.sql(sql)
    batches = frame.collect() or [pa.RecordBatch.from_pylist([], schema=frame.schema())]
    session.register_record_batches(name, [batches])


def run(session, path, arguments):
    parameters = parameters_of(path.read_text(encoding="utf-8"))
    used = set(re.findall(r"\$(\w+)", sql_of(path)))
    if used != set(parameters):
        raise ValueError(f"declared {sorted(parameters)}, used {sorted(used)}")
    values = {p: pa.scalar(arguments[p], PARAMETER_TYPES[t]) for p, t in parameters.items()}
    return session.sql(sql_of(path), param_values=values).to_pylist()


def parameters_of(text):
    block = re.search(r"^-- params:(.*?)^-- returns:", text, re.S | re.M).group(1)
    return dict(re.findall(r"^(?:--)?\s+(\w+)\s+(utf8|int64|float64|timestamp)\b", block, re.M))


# ---- comparison -------------------------------------------------------------------------------


def text_of(row):
    """A table row as the oracle reads it."""
    plain = {}
    for name, value in row.items():
        if isinstance(value, datetime.datetime):
            value = value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        plain[name] = str(value) if isinstance(value, decimal.Decimal) else value
    return json.dumps(plain)


def rounded(rows, columns):
    def plain(value):
        if isinstance(value, datetime.datetime):
            return fold.micros(value.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
        if isinstance(value, (float, decimal.Decimal)):
            return round(float(value) * (1 + 3e-11), 9)  # exact halves are rounded up, whatever the last bit
        return value

    return sorted(json.dumps({k: plain(row.get(k)) for k in columns}, sort_keys=True) for row in rows)


def question(arguments):
    values = dict(arguments)
    for name in ("period_start", "period_end", "as_of"):
        values[name] = fold.micros(values[name].strftime("%Y-%m-%dT%H:%M:%SZ"))
    return scopes.Question(
        values["period_start"], values["period_end"], values["as_of"], values["maturity_days"],
        values["fast_seconds"], values["target"], values["alpha"], values["time_zone"], values["window_days"],
        values["batch_id"],
    )


def differences(rows, arguments, names):
    """(query, rows only in the SQL, rows only in the oracle) for each query that differs."""
    session = context(rows)
    log, ask = fold.load(text_of(row) for row in rows), question(arguments)
    found = []
    for folder, oracles in ORACLES.items():
        for oracle in oracles:
            path = ROOT / f"queries/{folder}/{oracle.__name__}.sql"
            if names and oracle.__name__ not in names:
                continue
            try:
                given = run(session, path, arguments)
            except Exception as error:  # noqa: BLE001 - a query that does not run is a difference
                found.append((oracle.__name__, [str(error)[:300]], []))
                continue
            wanted = oracle(log, ask)
            ROWS[oracle.__name__].update(row.get("result", "rows") for row in wanted)
            columns = sorted(wanted[0]) if wanted else []
            given, wanted = rounded(given, columns), rounded(wanted, columns)
            if given != wanted:
                found.append((oracle.__name__, without(given, wanted), without(wanted, given)))
    return found


ROWS = collections.defaultdict(collections.Counter)


def without(rows, others):
    """A multiset difference."""
    return list((collections.Counter(rows) - collections.Counter(others)).elements())


def main(arguments):
    logs = int(arguments[0]) if arguments else 200
    first_seed = int(arguments[1]) if len(arguments) > 1 else 0
    names, wrong = set(arguments[2:]), collections.Counter()
    for seed in range(first_seed, first_seed + logs):
        rng = random.Random(seed)
        rows, values = random_log(rng), random_arguments(rng)
        for name, given, wanted in differences(rows, values, names):
            wrong[name] += 1
            if wrong[name] <= 2:
                print(f"seed {seed} {name} {({k: str(v) for k, v in values.items()})}")
                print("  sql    " + "\n         ".join(given[:5]))
                print("  oracle " + "\n         ".join(wanted[:5]), flush=True)
    for name, kinds in ROWS.items():
        print(f"{name}: {dict(kinds)}")
    print(f"{logs} logs, {len(ROWS)} queries: {dict(wrong) or 'equal'}")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
