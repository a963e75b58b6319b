"""Puts DuckDB, ClickHouse (chdb) and Polars beside Probity: the same questions on the same Parquet files, one run.

usage: run.py --store DIR --probity BIN [--runs 3] [--only NAME,..] [--period-start T --period-end T] [--native]
              [--probity-timings FILE.ndjson] [--questions-to FILE.ndjson] [--limit-s 120] [--out FILE.json]

Every engine has two threads and its own process. Per question each way to run it is tried once, the fastest is kept,
then the engines take turns. An answer that differs from Probity's is reported and is no win; nor is an error. Times of
Probity are those of --probity-timings where it has the question, else of the whole command; the table says which.
Makes its own environment from requirements.txt in a cache directory; run.py needs nothing but Python 3.11.
"""

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import unquote, urlparse

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
OTHERS = ("duckdb", "clickhouse", "polars")
NOT_ASKED = "not asked"
NATIVE_OTHERS = ("duckdb_native", "clickhouse_native")


def main() -> None:
    asked = arguments()
    in_environment()
    Run(asked).go()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--tenant", default="default")
    parser.add_argument("--probity", help="the binary; without it DuckDB's answers are the measure")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", type=lambda text: set(text.split(",")), default=set())
    parser.add_argument("--engines", type=lambda text: tuple(text.split(",")), default=OTHERS)
    parser.add_argument("--native", action="store_true", help="also on tables that DuckDB and ClickHouse load first")
    parser.add_argument("--period-start", help="default: the first month of the table")
    parser.add_argument("--period-end", help="default: the end of the last month")
    parser.add_argument("--probity-timings", type=Path)
    parser.add_argument("--questions-to", type=Path, help="write the questions as Probity is asked them, and go on")
    parser.add_argument("--limit-s", type=float, default=120)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def in_environment() -> None:
    """Goes on in an environment with the pinned packages, made when it is not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    pins = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    home = cache / f"probity-compare-{pins}-{platform.python_version()}"
    python = home / "bin" / "python"
    if Path(sys.prefix) == home:
        return
    if not (home / "ready").exists():
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS], check=True)
        (home / "ready").touch()
    os.execv(python, [str(python), *sys.argv])


@dataclass
class Side:
    """What one engine did with one question."""

    times_ms: list[float] = field(default_factory=list)
    rows: int | None = None
    way: str | None = None
    ways_ms: dict[str, float] = field(default_factory=dict)
    agreement: str | None = None
    error: str | None = None

    @property
    def best_ms(self) -> float | None:
        return min(self.times_ms, default=None)

    def counts(self) -> bool:
        """Only a right answer can be a fast one."""
        return self.best_ms is not None and not self.error and (self.agreement or "same").startswith("same")

    def is_failed(self) -> bool:
        return self.error is not None and self.error != NOT_ASKED

    def shown(self) -> dict:
        median = statistics.median(self.times_ms) if self.times_ms else None
        return {"best_ms": self.best_ms, "median_ms": median, **self.__dict__}


def shown(sides: dict[str, Side]) -> dict:
    return {"ratio": ratio(sides), **{name: side.shown() for name, side in sides.items()}}


class Run:
    """One comparison."""

    def __init__(self, asked: argparse.Namespace) -> None:
        from texts import Texts

        self.asked = asked
        self.table = opened(asked.store / "tenants" / asked.tenant / "events")
        self.values = self.table.values(asked.period_start, asked.period_end)
        self.texts = Texts(self.values)
        self.timed_ms = {}
        self.probity = None
        self.prepare()

    def prepare(self) -> None:
        import probity
        from engines import Worker

        if self.asked.probity:
            self.probity = probity.CommandLine(self.asked.probity, self.asked.store, self.table.events)
        if self.asked.probity_timings:
            self.timed_ms = probity.timings(self.asked.probity_timings)
        names = (*self.asked.engines, *(NATIVE_OTHERS if self.asked.native else ()))
        self.workers = {name: Worker(name, self.table.shared) for name in names}
        only = self.asked.only
        self.questions = [q for q in self.texts.questions if not only or q.name in only or q.folder in only]
        if self.asked.questions_to:
            lines = [json.dumps(self.texts.for_probity(question)) for question in self.questions]
            self.asked.questions_to.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def go(self) -> None:
        """Asks everything; what is known so far is written after each question."""
        results = {}
        for question in self.questions:
            results[question.name] = self.compare(question)
            print(line_of(question.name, results[question.name]), flush=True)
            self.write(results)
        for worker in self.workers.values():
            worker.stop()
        print(summary(results))
        print("\n".join(f"{name}: opened in {worker.opening_ms:,.0f} ms" for name, worker in self.workers.items()))

    def write(self, results: dict[str, dict[str, Side]]) -> None:
        if self.asked.out:
            report = {**about(self), "questions": {name: shown(sides) for name, sides in results.items()}}
            self.asked.out.write_text(json.dumps(report, indent=1, default=str) + "\n", encoding="utf-8")

    def compare(self, question) -> dict[str, Side]:
        """The first answers, then runs in turns."""
        expected, ours = self.first_of_probity(question)
        sides, ways = {"probity": ours}, {}
        for name, worker in self.workers.items():
            sides[name], ways[name], answer = self.first_of(worker, question)
            if answer is not None:
                expected = expected or answer
                sides[name].agreement = self.agreement(question, expected, answer)
        for _ in range(self.asked.runs):
            self.time_probity(question, ours)
            for name, worker in self.workers.items():
                if ways[name] is not None and not sides[name].error:
                    again(worker, ways[name], self.asked.limit_s, sides[name])
        return sides

    def agreement(self, question, expected, answer) -> str:
        import agreement

        return agreement.compared(question.name, expected, answer)

    def first_of_probity(self, question):
        """Its answer, the measure of all others."""
        import agreement

        if self.probity is None:
            return None, Side(error=None if question.name in self.timed_ms else NOT_ASKED)
        reply = self.ask_probity(question)
        if reply.error:
            return None, Side(error=reply.error)
        answer = agreement.Rows(reply.columns, reply.rows, reply.population)
        return answer, Side(rows=answer.size(), agreement="same")

    def time_probity(self, question, side: Side) -> None:
        if question.name in self.timed_ms:
            timed = self.timed_ms[question.name]
            side.way, side.rows = "in process", timed.get("rows", side.rows)
            side.times_ms = [timed["best_ms"], timed["median_ms"], timed["median_ms"]]
        elif self.probity is not None and not side.error:
            reply = self.ask_probity(question)
            side.way, side.error = "command", reply.error
            side.times_ms.append(reply.ms)

    def ask_probity(self, question):
        sql = self.texts.for_probity(question).get("sql") or ""
        return self.probity.ask(question, sql, self.texts.values_of(question), self.asked.limit_s)

    def first_of(self, worker, question):
        """Tries every way once; gives what came out and the statements of the fastest way."""
        import agreement

        side, best, answer = Side(), None, None
        try:
            ways = self.texts.ways(worker.name, question)
        except Exception as error:  # noqa: BLE001 - a text that cannot be translated is a result
            return Side(error=f"not translated: {error}"[:2000]), None, None
        errors = {}
        for way, statements in ways.items():
            fastest = min(side.ways_ms.values(), default=None)
            limit_s = self.asked.limit_s if fastest is None else min(self.asked.limit_s, 1 + fastest / 1000 * 2)
            found = worker.ask(statements, limit_s, wants_rows=answer is None)
            if found.error:
                errors[way] = found.error
                continue
            side.ways_ms[way] = found.ms
            if found.rows is not None:
                answer = agreement.of_table(found.rows)
                side.rows = answer.size()
            if found.ms == min(side.ways_ms.values()):
                side.way, best = way, statements
        if best is None:
            side.error = "; ".join(f"{way}: {text}" for way, text in errors.items()) or NOT_ASKED
        return side, best, answer


def again(worker, statements: list, limit_s: float, side: Side) -> None:
    found = worker.ask(statements, limit_s)
    side.error = found.error
    if not found.error:
        side.times_ms.append(found.ms)


# ---- the table --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """The newest version of the table, and what look-ups ask for."""

    shared: object
    version: int
    events: int
    bytes: int
    examples: dict

    def values(self, start: str | None, end: str | None) -> dict:
        first, last = self.examples["first_month"], self.examples["last_month"]
        year, month = map(int, last.split("-"))
        after = f"{year + month // 12}-{month % 12 + 1:02}"
        picked = {name: self.examples[name] for name in (
            "run_id", "batch_id", "event_id", "action_id", "system", "record_type", "record_id"
        )}
        as_of = self.examples["as_of"].astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        period = {"period_start": start or f"{first}-01T00:00:00Z", "period_end": end or f"{after}-01T00:00:00Z"}
        return {**picked, **period, "as_of": as_of}


def opened(place: Path) -> Opened:
    import duckdb
    from deltalake import DeltaTable

    import policies
    from engines import Table, duckdb_evidence
    from questions import without_comments

    table = DeltaTable(place)
    files = [local_path(uri) for uri in table.file_uris()]
    lake = duckdb.connect()
    lake.execute("set TimeZone = 'UTC'")
    lake.execute(f"create view evidence as {duckdb_evidence(files)}")
    found = lake.sql(without_comments((HERE / "examples.sql").read_text(encoding="utf-8"))).to_arrow_table().to_pylist()
    [examples] = found
    documents = [document for (document,) in lake.execute(policies.DOCUMENTS).fetchall()]
    size = sum(Path(path).stat().st_size for path in files)
    shared = Table(files, policies.table(documents))
    return Opened(shared, table.version(), examples["events"], size, examples)


def local_path(uri: str) -> str:
    return unquote(urlparse(uri).path) if uri.startswith("file://") else uri


# ---- words ------------------------------------------------------------------------------------


def ratio(sides: dict[str, Side]) -> float | None:
    """Ours by the best of the others that answered right, on the same files; below 1 Probity is ahead."""
    others = [side.best_ms for name, side in sides.items() if name in OTHERS and side.counts()]
    ours = sides["probity"]
    return ours.best_ms / min(others) if others and ours.counts() and ours.best_ms else None


def line_of(name: str, sides: dict[str, Side]) -> str:
    known = ratio(sides)
    cells = [f"{name:34}", f"{known:7.2f}" if known else f"{'-':>7}", *map(cell, sides.values())]
    loud = [f"    {engine} {side.agreement}" for engine, side in sides.items() if side.agreement not in (None, "same")]
    wrong = [f"    {engine} error: {last_line(side.error)}" for engine, side in sides.items() if side.is_failed()]
    return "\n".join([" ".join(cells), *loud, *wrong])


def cell(side: Side) -> str:
    best = side.best_ms
    time = "error" if side.is_failed() else "differs" if best and not side.counts() else f"{best:.1f}" if best else "-"
    return f"{time:>10} {(side.way or '')[:10]:10}"


def last_line(error: str) -> str:
    return error.strip().splitlines()[-1][:300]


def summary(results: dict[str, dict[str, Side]]) -> str:
    engines = list(next(iter(results.values()), {}))
    head = f"{'question':34} {'ratio':>7} " + " ".join(f"{engine + ', ms':>21}" for engine in engines)
    order = sorted(results, key=lambda name: -(ratio(results[name]) or 0))
    lines = ["", head, *[line_of(name, results[name]).splitlines()[0] for name in order], ""]
    known = [value for sides in results.values() if (value := ratio(sides)) is not None]
    lines.append(f"ahead of every other: {sum(v < 1 for v in known)}; behind: {sum(v >= 1 for v in known)}; "
                 f"not comparable: {len(results) - len(known)}")
    for engine in engines:
        sides = [sides[engine] for sides in results.values()]
        asked = [side for side in sides if side.error != NOT_ASKED]
        differing = sum(not (side.agreement or "same").startswith("same") for side in asked)
        lines.append(f"{engine}: {len(asked)} asked, {sum(s.is_failed() for s in asked)} errors, {differing} differ")
    return "\n".join(lines)


def about(run: Run) -> dict:
    from importlib.metadata import version

    packages = [line.split("==")[0] for line in REQUIREMENTS.read_text().split()]
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": sys.argv,
        "machine": machine(),
        "versions": {**{name: version(name) for name in packages}, "python": platform.python_version(),
                     "probity": run.probity.version() if run.probity else None},
        "table": {"version": run.table.version, "files": len(run.table.shared.files), "bytes": run.table.bytes,
                  "events": run.table.events},
        "opening_ms": {name: worker.opening_ms for name, worker in run.workers.items()},
        "values": run.values,
        "runs": run.asked.runs,
        "threads": 2,
    }


def machine() -> dict:
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.processor())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": cpu, "cores": os.cpu_count(), "memory_bytes": memory, "kernel": platform.release()}


if __name__ == "__main__":
    main()
