"""Compares queries/metrics/*.sql with metrics_oracle.py on random logs and on the worked example.

Needs `pip install datafusion pyarrow`. Registers the table `evidence`, the views and the SQL functions as
the engine does, and stands in for the engine in nothing else.

    python3 tests/oracle/compare_metrics.py [logs = 200] [first seed = 0]

A difference prints the seed; the same command with 1 and that seed replays it.
"""

import datetime
import decimal
import json
import pathlib
import random
import re
import sys

import datafusion
import pyarrow as pa

import metrics_oracle as oracle

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = pa.string_view()
INSTANT = pa.timestamp("us", "UTC")
INPUT = pa.struct([(name, TEXT) for name in ("system", "record_type", "record_id", "field")])
TYPES = {
    "occurred_at": INSTANT, "recorded_at": INSTANT, "review_opened_at": INSTANT, "source_seq": pa.int64(),
    "seq": pa.int64(), "attempt": pa.int32(), "permission_level": pa.int8(), "amount": pa.decimal128(18, 2),
    "confidence": pa.float64(), "threshold": pa.float64(), "inputs": pa.list_(INPUT),
}
COUNTS = pa.list_(pa.struct(
    [("source", pa.string()), ("day", pa.string())]
    + [(name, pa.int64()) for name in ("received", "accepted", "duplicate", "conflict", "rejected")]
))
PARAMETER_TYPES = {"utf8": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "timestamp": INSTANT}


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
    whole = pa.int64()
    for name, side in (("wilson_low", 0), ("wilson_high", 1)):
        session.register_udf(datafusion.udf(wilson(side), [whole, whole], pa.float64(), "immutable", name))
    session.register_udf(datafusion.udf(received_counts, [TEXT], COUNTS, "immutable", "received_counts"))
    register_views(session)
    return session


def wilson(side):
    def evaluate(hits, totals):
        pairs = zip(hits.to_pylist(), totals.to_pylist())
        bounds = [None if None in pair else oracle.wilson(*pair)[side] if pair[1] else float(side) for pair in pairs]
        return pa.array(bounds, pa.float64())

    return evaluate


def received_counts(extras):
    return pa.array([None if e is None else json.loads(e)["counts"] for e in extras.to_pylist()], COUNTS)


def register_views(session):
    waiting = {path.stem: sql_of(path) for path in sorted((ROOT / "queries/views").glob("*.sql"))}
    while waiting:
        for name, sql in waiting.items():
            needed = set(re.findall(r"\b(?:from|join)\s+(\w+)", sql)) - {name}
            if not needed & set(waiting):
                session.sql(f"create view {name} as {sql}").collect()
                del waiting[name]
                break
        else:
            raise SystemExit(f"views depend on each other in a circle: {sorted(waiting)}")


def run(session, name, arguments):
    path = ROOT / f"queries/metrics/{name}.sql"
    parameters = parameters_of(path.read_text(encoding="utf-8"))
    used = set(re.findall(r"\$(\w+)", sql_of(path)))
    if used != set(parameters):
        raise SystemExit(f"{name}: declared {sorted(parameters)}, used {sorted(used)}")
    values = {p: pa.scalar(arguments[p], PARAMETER_TYPES[t]) for p, t in parameters.items()}
    return session.sql(sql_of(path), param_values=values).to_pylist()


def parameters_of(text):
    block = re.search(r"^-- params:(.*?)^-- returns:", text, re.S | re.M).group(1)
    return dict(re.findall(r"^(?:--)?\s+(\w+)\s+(utf8|int64|float64|timestamp)\b", block, re.M))


# ---- random logs ------------------------------------------------------------------------------

START = datetime.datetime(2026, 1, 5, tzinfo=datetime.timezone.utc)
FACTS = {
    "decision": ("approved", "approved_with_changes", "rejected", "escalated", "expired", "withdrawn"),
    "outcome": ("succeeded", "succeeded", "failed", "partial", "unknown", "skipped", "denied"),
    "correction": oracle.KINDS + ("other",),
    "issue_type": tuple(oracle.KIND_OF_ISSUE) + ("rule_violation", "other"),
    "label": ("true_positive", "false_positive", "unclear", "true_negative"),
    "reason_code": oracle.WRONG_REASONS + ("timing", "wrong_owner"),
    "actor_kind": ("human", "human", "agent", "automation"),
    "environment": ("production",) * 8 + ("shadow", "sandbox"),
}
TYPES_OF_ACTIONS = ("action.proposed", "action.decided", "action.executed", "action.rolled_back", "action.labeled")


def random_log(rng):
    """Rows of the table. Few instants, records and values, so that ties and coincidences are common."""
    instants = [START + datetime.timedelta(hours=rng.choice((1, 7, 24)) * k) for k in range(rng.choice((6, 40, 400)))]
    records = [f"r{k}" for k in range(rng.choice((2, 5, 12, 80)))]
    events = [random_event(rng, instants, records, f"a{rng.choice((3, 15, 90)) * rng.random():.0f}") for _ in range(rng.choice((0, 20, 60, 120, 300)))]
    for action in range(rng.randint(0, 6)):
        events += random_life(rng, instants, records, f"life{action}")
    rng.shuffle(events)
    recorded_at = START
    for seq, event in enumerate(events):
        recorded_at = max(recorded_at, event["occurred_at"]) + datetime.timedelta(hours=rng.choice((0, 0, 1, 30)))
        event.update(seq=seq, recorded_at=recorded_at, event_id=f"e{seq}")
        event["occurred_month"] = event["occurred_at"].strftime("%Y-%m")
    return events


def maybe(rng, event, share, **values):
    for name, value in values.items():
        if rng.random() < share:
            event[name] = value


def random_event(rng, instants, records, action_id):
    kind = rng.choice(TYPES_OF_ACTIONS * 2 + ("record.reviewed",) * 6 + ("record.corrected",) * 4 + ("evidence.received",))
    event = {"source": rng.choice(("s1", "s2")), "event_type": kind, "occurred_at": rng.choice(instants)}
    event["environment"] = rng.choice(FACTS["environment"])
    maybe(rng, event, 0.7, source_seq=rng.randint(1, 60))
    if kind == "evidence.received":
        event["extra"] = json.dumps({"counts": [random_counts(rng, instants) for _ in range(rng.randint(0, 3))]})
        return event
    event.update(workflow=rng.choice(("w1", "w2")), system="crm", record_type="Lead", record_id=rng.choice(records))
    maybe(rng, event, 0.7, batch_id=rng.choice(("b1", "b2", "b3")), field=rng.choice(("owner", "stage")))
    maybe(rng, event, 0.8, actor_kind=rng.choice(FACTS["actor_kind"]))
    maybe(rng, event, 0.7, old_value=rng.choice(("", "x", "y")), new_value=rng.choice(("", "x", "y")))
    if kind == "record.corrected":
        event["correction"] = rng.choice(FACTS["correction"])
        maybe(rng, event, 0.1, action_id=action_id)
    if kind.startswith("action."):
        random_action_columns(rng, event, kind, action_id)
    return event


def random_action_columns(rng, event, kind, action_id):
    event["action_id"] = action_id
    maybe(rng, event, 0.5, issue_type=rng.choice(FACTS["issue_type"]), reason_code=rng.choice(FACTS["reason_code"]))
    maybe(rng, event, 1.0 if kind == "action.decided" else 0.2, decision=rng.choice(FACTS["decision"]))
    if kind in ("action.executed", "action.rolled_back"):
        event["outcome"] = rng.choice(FACTS["outcome"])
    if kind == "action.executed":
        event["attempt"] = rng.choice((1, 1, 1, 2, 3))
    if kind == "action.labeled":
        maybe(rng, event, 0.9, label=rng.choice(FACTS["label"]))


def random_life(rng, instants, records, action_id):
    """A plausible action in order, so that verdicts and windows are reached often; perhaps in one event."""
    at = rng.choice(instants)
    base = {"source": "s1", "environment": "production", "workflow": "w1", "system": "crm", "record_type": "Lead",
            "record_id": rng.choice(records), "field": "owner", "action_id": action_id,
            "issue_type": rng.choice(FACTS["issue_type"])}
    steps = [
        {"event_type": "action.proposed"},
        {"event_type": "action.decided", "decision": rng.choice(FACTS["decision"][:4]),
         "reason_code": rng.choice(FACTS["reason_code"])},
        {"event_type": "action.executed", "outcome": rng.choice(FACTS["outcome"]), "old_value": "x", "new_value": "y",
         "attempt": rng.choice((1, 2))},
    ]
    if rng.random() < 0.2:
        steps = [{**steps[0], **steps[1], **steps[2]}]
    else:
        steps = steps[: rng.choice((1, 2, 3, 3, 3))]
    if rng.random() < 0.3:
        steps.append({"event_type": "action.rolled_back", "outcome": rng.choice(("succeeded", "failed")),
                      "actor_kind": rng.choice(FACTS["actor_kind"])})
    if rng.random() < 0.4:
        steps.append({"event_type": "record.corrected", "action_id": None, "actor_kind": "human", "new_value": "x",
                      "correction": rng.choice(FACTS["correction"])})
    events = [{"event_type": "record.reviewed", "action_id": None}] + steps
    for event in events:
        for name, value in base.items():
            event.setdefault(name, value)
        event["occurred_at"] = at
        at += datetime.timedelta(days=rng.choice((0, 0, 1, 5, 13, 14, 30)), microseconds=rng.choice((-1, 0, 0, 1)))
    batch = rng.choice(("b1", "b2", None))
    return [{**event, "batch_id": batch} for event in events]


def random_counts(rng, instants):
    day = rng.choice(instants).strftime("%Y-%m-%d") if rng.random() < 0.8 else None
    counts = {name: rng.randint(0, 9) for name in ("accepted", "duplicate", "conflict", "rejected")}
    return {"source": rng.choice(("s1", "s2", "s3")), "day": day, "received": sum(counts.values()), **counts}


def random_arguments(rng):
    start = START + datetime.timedelta(days=rng.choice((0, 0, 3, 20)))
    return {
        "period_start": start,
        "period_end": start + datetime.timedelta(days=rng.choice((1, 7, 31, 400)), hours=rng.choice((0, 5))),
        "as_of": start + datetime.timedelta(days=rng.choice((5, 30, 60, 500))),
        "maturity_days": rng.choice((30, 30, 1, 3650)),
    }


# ---- comparison -------------------------------------------------------------------------------


def text_of(row):
    """A table row as the oracle reads it."""
    plain = {}
    for name, value in row.items():
        if isinstance(value, datetime.datetime):
            value = value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        plain[name] = value
    return json.dumps(plain)


def rounded(rows):
    def plain(value):
        if isinstance(value, (float, decimal.Decimal)):
            return round(float(value), 9)
        return value

    return sorted((json.dumps({k: plain(v) for k, v in row.items()}, sort_keys=True) for row in rows))


def differences(rows, arguments):
    """(metric, rows only in the SQL, rows only in the oracle) for each metric that differs."""
    session = context(rows)
    events = oracle.load(text_of(row) for row in rows)
    instants = [oracle.micros(arguments[n].strftime("%Y-%m-%dT%H:%M:%SZ")) for n in ("period_start", "period_end", "as_of")]
    expected = oracle.compute(events, *instants, arguments["maturity_days"])
    found = []
    for name, rows_expected in expected.items():
        given, wanted = rounded(run(session, name, arguments)), rounded(rows_expected)
        if given != wanted:
            found.append((name, [r for r in given if r not in wanted], [r for r in wanted if r not in given]))
    return found


def main(arguments):
    logs = int(arguments[0]) if arguments else 200
    first_seed = int(arguments[1]) if len(arguments) > 1 else 0
    for seed in range(first_seed, first_seed + logs):
        rng = random.Random(seed)
        rows, values = random_log(rng), random_arguments(rng)
        found = differences(rows, values)
        for name, given, wanted in found:
            print(f"seed {seed} {name} {values}\n  sql    " + "\n         ".join(given))
            print("  oracle " + "\n         ".join(wanted))
        if found:
            raise SystemExit(f"replay: python3 tests/oracle/compare_metrics.py 1 {seed}")
    print(f"{logs} logs, {len(oracle.METRICS)} metrics: equal")


if __name__ == "__main__":
    main(sys.argv[1:])
