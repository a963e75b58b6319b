"""Puts DuckDB beside the blast radius of Probity: the same radius by a recursive query on the same Parquet files.

usage: blast.py compare --store DIR --probity BIN [--simulated FILE.json] [--runs 7] [--only NAME,..] [--out FILE.json]
       blast.py growth --store DIR [--store DIR ..] --probity BIN [--runs 3] [--only NAME,..] [--out FILE.ndjson]
       blast.py check --probity BIN [--worlds 100] [--seed 1]

`compare` takes turns over incidents: those that `simulate --json` said it planted (--simulated), and some that every
log has. `growth` goes from one bad action to most of the log, over one store or several; blast_plot.py draws it. `check`
makes up small logs in which everything collides and compares nothing but the answers. Both sides have two threads and a
new process for every run; before each one others are waited for, up to --patience seconds. Runs of which other programs
took more than a tenth of the processors count only where there is no other; `others` says how much it was. An answer
that differs is reported and is no win. Fold the store first.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from blast_sides import QUIET, DuckDB, Probity, Reading, Selector, difference, watched, ways
from run import in_environment, local_path, machine

# How often `--runs` is tried before runs count that others disturbed.
MOST_TURNS = 2
EXECUTED = "event_type = 'action.executed'"
BY_AGENTS = f"{EXECUTED} and actor_kind = 'agent'"
# What the windows of `growth` hold, from the second day of the log on.
WINDOWS = {
    "half_an_hour": timedelta(minutes=30), "six_hours": timedelta(hours=6), "two_days": timedelta(days=2),
    "sixteen_days": timedelta(days=16), "a_hundred_days": timedelta(days=100), "six_hundred_days": timedelta(days=600),
}
FACTS = f"""
select
    count(*) as events,
    date_trunc('month', min(occurred_at)) as first_month,
    date_trunc('month', max(occurred_at)) as end_month,
    mode(workflow) filter (where {BY_AGENTS}) as workflow,
    mode(actor_id) filter (where {BY_AGENTS}) as actor,
    arg_min(action_id, occurred_at) filter (
        where {BY_AGENTS} and outcome = 'succeeded' and environment = 'production'
    ) as first_action
from evidence
"""


def main() -> None:
    asked = arguments()
    in_environment()
    asked.work(asked)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    works = parser.add_subparsers(required=True)
    for work, runs in ((compare, 7), (growth, 3), (check, 1)):
        one = works.add_parser(work.__name__, help=work.__doc__)
        one.set_defaults(work=work, runs=runs)
        one.add_argument("--probity", type=lambda text: Path(text).resolve(), required=True)
        one.add_argument("--limit-s", type=float, default=300)
        if work is check:
            one.add_argument("--worlds", type=int, default=100)
            one.add_argument("--seed", type=int, default=1)
            continue
        one.add_argument("--store", type=Path, required=True, action="append")
        one.add_argument("--tenant", default="default")
        one.add_argument("--runs", type=int, default=runs)
        one.add_argument("--only", type=lambda text: set(text.split(",")), default=set())
        one.add_argument("--patience", type=float, default=120)
        one.add_argument("--out", type=Path)
        if work is compare:
            one.add_argument("--simulated", type=Path, help="what `probity simulate --json` printed")
    return parser.parse_args()


# ---- what is asked ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Store:
    """A folded store, seen from both sides."""

    probity: Probity
    duckdb: DuckDB
    version: int
    bytes: int
    facts: dict

    def days(self) -> list[Selector]:
        """What agents did on a day near the end of the log, where little follows, and on one near its beginning."""
        late, early = self.facts["end_month"] - timedelta(days=12), self.facts["first_month"] + timedelta(days=19)
        return [window("in_the_last_month", late, timedelta(days=1)),
                window("in_the_first_month", early, timedelta(days=1))]


def window(name: str, start: datetime, length: timedelta) -> Selector:
    return Selector(name, BY_AGENTS, instant(start), instant(start + length))


def instant(at: datetime) -> str:
    return at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def opened(binary: Path, place: Path, tenant: str) -> Store:
    from deltalake import DeltaTable

    table = DeltaTable(place / "tenants" / tenant / "events")
    files = [local_path(uri) for uri in table.file_uris()]
    duckdb = DuckDB(files)
    size = sum(Path(path).stat().st_size for path in files)
    return Store(Probity(binary, place.resolve(), tenant), duckdb, table.version(), size, duckdb.row(FACTS))


def of_incidents(store: Store, simulated: Path | None) -> list[Selector]:
    planted = json.loads(simulated.read_text(encoding="utf-8"))["incidents"] if simulated else []
    facts = store.facts
    return [
        *store.days(),
        *(Selector(f"planted_{each['name'].replace('-', '_')}", each["predicate"]) for each in planted),
        Selector("one_action", f"action_id = '{facts['first_action']}'"),
        Selector("largest_workflow", f"workflow = '{facts['workflow']}' and {EXECUTED}"),
        Selector("largest_actor", f"actor_id = '{facts['actor']}'"),
        Selector("every_execution", EXECUTED),
    ]


def of_sizes(store: Store) -> list[Selector]:
    begun = store.facts["first_month"] + timedelta(days=1)
    return [
        *store.days(),
        Selector("one_action", f"action_id = '{store.facts['first_action']}'"),
        *(window(name, begun, length) for name, length in WINDOWS.items()),
    ]


# ---- runs in turns ----------------------------------------------------------------------------


@dataclass
class Side:
    """What one side did with one selector."""

    readings: list[Reading] = field(default_factory=list)
    agreement: str = "same"
    error: str | None = None

    def add(self, reading: Reading) -> None:
        self.error = reading.error
        if reading.error:
            return
        if self.readings and self.counts != reading.counts:
            self.agreement = f"not the same twice: {difference(self.counts, reading.counts)}"
        self.readings.append(reading)

    @property
    def counts(self) -> dict:
        return self.readings[0].counts if self.readings else {}

    def quiet(self) -> list[Reading]:
        return [reading for reading in self.readings if reading.others <= QUIET]

    def used(self) -> list[Reading]:
        """The runs that others left alone; where they were at work all the time, those that they disturbed least."""
        least = sorted(self.readings, key=lambda reading: reading.others)
        return self.quiet() or least[: (len(least) + 1) // 2]

    def median(self, *, with_opening: bool) -> float:
        return statistics.median(reading.ms + with_opening * reading.opening_ms for reading in self.used())

    def counts_for(self) -> bool:
        """Only a right answer can be a fast one."""
        return bool(self.readings) and not self.error and self.agreement == "same"

    def summary(self) -> dict:
        used = self.used()
        if not used:
            return {"error": self.error}
        told = {} if self.counts_for() else {"agreement": self.agreement, "error": self.error}
        return {
            "best_ms": round(min(reading.ms for reading in used), 1),
            "median_ms": round(self.median(with_opening=False), 1),
            "opening_ms": round(statistics.median(reading.opening_ms for reading in used), 1),
            "cpu_ms": round(statistics.median(reading.cpu_ms for reading in used)),
            "peak_mib": round(max(reading.peak_mib for reading in used)),
            "runs": len(used), "runs_disturbed": len(self.readings) - len(used),
            "others": round(max(reading.others for reading in used), 2), **told,
        }


def in_turns(store: Store, selector: Selector, asked: argparse.Namespace, duckdb_ways: tuple) -> dict[str, Side]:
    """Every side, one after the other, each second time backwards, until each had `runs` that nobody disturbed, or
    several times as many; the first side is the measure of the others."""
    texts, limit_s = ways(selector), asked.limit_s
    runs: dict[str, Callable[[], Reading]] = {
        "probity": lambda: store.probity.scope(selector, limit_s),
        "probity_sql": lambda: store.probity.sql(selector, limit_s),
        **{f"duckdb_{way}": lambda way=way: store.duckdb.ask(texts[way], limit_s) for way in duckdb_ways},
    }
    sides = {name: Side() for name in runs}
    for turn in range(asked.runs * MOST_TURNS):
        for name in list(runs)[:: -1 if turn % 2 else 1]:
            if not sides[name].error:
                sides[name].add(watched(runs[name], asked.patience))
        if turn + 1 >= asked.runs and all(side.error or len(side.quiet()) >= asked.runs for side in sides.values()):
            break
    first = sides["probity"]
    for side in sides.values():
        wrong = difference(first.counts, side.counts)
        side.agreement = f"differs: {wrong}" if wrong else side.agreement
    return sides


def ratio(sides: dict[str, Side], ours: str, *, with_opening: bool) -> float | None:
    """Median of ours by that of DuckDB's faster way; below 1 Probity is ahead."""
    theirs = [side for name, side in sides.items() if name.startswith("duckdb") and side.counts_for()]
    if not theirs or not sides[ours].counts_for():
        return None
    median = lambda side: side.median(with_opening=with_opening)
    return round(median(sides[ours]) / min(map(median, theirs)), 3)


def line_of(name: str, sides: dict[str, Side]) -> str:
    first = sides["probity"].counts
    size = f"{first.get('direct_actions', 0):>9,} + {first.get('derived_actions', 0):<7,} {first.get('cells', 0):>9,} cells"
    cells = [f"{engine} {time_of(side)}" for engine, side in sides.items()]
    loud = [f"    {engine} {side.agreement}" for engine, side in sides.items() if side.agreement != "same"]
    wrong = [f"    {engine} error: {side.error}" for engine, side in sides.items() if side.error]
    return "\n".join([f"{name:30} {size}  " + "  ".join(cells), *loud, *wrong])


def time_of(side: Side) -> str:
    if not side.readings:
        return "-"
    opening = side.median(with_opening=True) - side.median(with_opening=False)
    return f"{side.median(with_opening=False):,.0f}" + (f" + {opening:.0f}" if opening else "") + " ms"


def about(asked: argparse.Namespace, probity: Probity) -> dict:
    from importlib.metadata import version

    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"), "command": sys.argv, "machine": machine(),
        "versions": {"duckdb": version("duckdb"), "deltalake": version("deltalake"), "probity": probity.version()},
        "runs": asked.runs, "threads": 2,
    }


# ---- works ------------------------------------------------------------------------------------


def compare(asked: argparse.Namespace) -> None:
    """Times and answers of incidents, side by side."""
    if len(asked.store) > 1:
        raise SystemExit("compare takes one --store")
    store = opened(asked.probity, asked.store[0], asked.tenant)
    facts = {"version": store.version, "files": len(store.duckdb.files), "bytes": store.bytes,
             "events": store.facts["events"]}
    results = {}
    for selector in of_incidents(store, asked.simulated):
        if asked.only and selector.name not in asked.only:
            continue
        sides = in_turns(store, selector, asked, ("once", "tables"))
        print(line_of(selector.name, sides), flush=True)
        results[selector.name] = {
            "selector": {"where": selector.predicate, "from": selector.start, "to": selector.end},
            "counts": sides["probity"].counts,
            "ratio": ratio(sides, "probity", with_opening=True),
            "ratio_without_opening": ratio(sides, "probity", with_opening=False),
            "ratio_of_the_radius_alone": ratio(sides, "probity_sql", with_opening=True),
            "sides": {name: {**side.summary(), "times_ms": [round(reading.ms, 1) for reading in side.used()]}
                      for name, side in sides.items()},
        }
        if asked.out:
            report = {**about(asked, store.probity), "table": facts, "incidents": results}
            asked.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    known = [each["ratio"] for each in results.values() if each["ratio"]]
    ahead = sum(value < 1 for value in known)
    print(f"\nprobity is ahead in {ahead} of {len(known)}; in {len(results) - len(known)} nothing can be compared")


def growth(asked: argparse.Namespace) -> None:
    """Time and memory by the size of the log and of what is affected."""
    lines = []
    for place in asked.store:
        store = opened(asked.probity, place, asked.tenant)
        for selector in of_sizes(store):
            if asked.only and selector.name not in asked.only:
                continue
            sides = in_turns(store, selector, asked, ("tables",))
            print(line_of(selector.name, sides), flush=True)
            counts = sides["probity"].counts
            size = {"events": store.facts["events"], "direct": counts.get("direct_actions"),
                    "derived": counts.get("derived_actions"), "cells": counts.get("cells")}
            lines += [{"name": f"scope_{selector.name}", "engine": name, **size, **side.summary()}
                      for name, side in sides.items()]
            if asked.out:
                asked.out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def check(asked: argparse.Namespace) -> None:
    """Answers of both sides over small logs in which everything collides."""
    from blast_worlds import Worlds

    worlds = Worlds(asked.worlds, asked.seed)
    with tempfile.TemporaryDirectory() as place:
        worlds.ingest(asked.probity, Path(place))
        store = opened(asked.probity, Path(place), "default")
        session, wrong = store.duckdb.session(), 0
        for selector in worlds.selectors:
            expected = store.probity.scope(selector, asked.limit_s)
            for way, statements in ways(selector).items():
                found = store.duckdb.again(session, statements, asked.limit_s)
                problem = expected.error or found.error or difference(expected.counts, found.counts)
                if problem:
                    wrong += 1
                    print(f"{selector.name} ({selector.predicate}), duckdb_{way}: {problem}")
        session.stop()
    print(f"{wrong} answers differ over {asked.worlds} worlds of seed {asked.seed}")
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
