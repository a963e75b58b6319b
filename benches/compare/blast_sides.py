"""A blast radius asked of either side: one timed run in a new process, and the counts that must be equal.

In: a store, a selector. Out: a `Reading`: milliseconds, peak memory, counts. Invariant: both sides read the same files,
start with nothing in memory but what the system keeps of files, and have two threads. The time of Probity is that of
the whole command; that of DuckDB begins after its library is loaded and the files are opened, which is told apart.
"""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
STATES = (
    "not_applied", "no_effect", "irreversible", "deleted", "unknown", "restored", "overwritten", "still_wrong",
)
COUNTS = ("direct_actions", "derived_actions", "max_depth", "exposed_records", "records", "affected_sha256", "cells")

# Share of the processors that others may take of a run that counts.
QUIET = 0.1

# The expressions of blast_radius.sql; one with columns is recursive.
EXPRESSION = re.compile(r"^(?:with recursive )?(\w+)(\([\w, ]+\))? as (?:(not )?materialized )?\(\n(.*?)^\),?\n", re.M | re.S)

# Runs a command whose output goes to a file, in a process small enough not to count in the peak of its child.
TIMED = """
import json, os, sys, time
into = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
begun = time.perf_counter()
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, into, 1)])
_, status, usage = os.wait4(child, 0)
ms = (time.perf_counter() - begun) * 1000
cpu_ms = (usage.ru_utime + usage.ru_stime) * 1000
print(json.dumps([ms, cpu_ms, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)]))
"""


@dataclass(frozen=True)
class Selector:
    """What picks the bad actions: a condition that both sides understand, and a half-open window."""

    name: str
    predicate: str
    start: str | None = None
    end: str | None = None

    def options(self) -> list[str]:
        bounds = [("--from", self.start), ("--to", self.end)]
        return ["--where", self.predicate, *(word for option, at in bounds if at for word in (option, at))]

    def condition(self) -> str:
        """For DuckDB."""
        bounds = [(">=", self.start), ("<", self.end)]
        return f"({self.predicate})" + "".join(f" and occurred_at {op} timestamptz '{at}'" for op, at in bounds if at)

    def call(self) -> str:
        """The table function of Probity's SQL."""
        literal = lambda text: "null" if text is None else "'" + text.replace("'", "''") + "'"
        return f"blast_radius({literal(self.predicate)}, {literal(self.start)}, {literal(self.end)})"


@dataclass
class Reading:
    """One run; `cpu_ms` of all its threads, opening included; `others` is what other programs took of the processors."""

    ms: float = 0.0
    opening_ms: float = 0.0
    cpu_ms: float = 0.0
    peak_mib: float = 0.0
    others: float = 0.0
    counts: dict = field(default_factory=dict)
    error: str | None = None


# ---- Probity ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Probity:
    """The command over a store, which must be folded: what is only in the journal, no other engine sees."""

    binary: Path
    store: Path
    tenant: str

    def scope(self, selector: Selector, limit_s: float) -> Reading:
        """Everything that there is to say of the incident, as JSON."""
        reading, text = self.timed(["incident", "scope", *selector.options()], limit_s)
        if not reading.error:
            document = json.loads(text)
            reading.counts = {name: document[name] for name in COUNTS} | document["states"]
        return reading

    def sql(self, selector: Selector, limit_s: float) -> Reading:
        """The radius alone: as little is written as DuckDB writes."""
        sql = f"select state, count(*) as cells from {selector.call()} group by state"
        reading, text = self.timed(["query", sql], limit_s)
        if not reading.error:
            states = dict.fromkeys(STATES, 0) | dict(json.loads(text)["rows"])
            reading.counts = states | {"cells": sum(states.values())}
        return reading

    def timed(self, words: list[str], limit_s: float) -> tuple[Reading, str]:
        command = [self.binary, "-q", "--json", "--store", self.store, "--tenant", self.tenant, *words]
        with tempfile.TemporaryDirectory() as place:
            out = Path(place) / "out"
            timer = [sys.executable, "-S", "-E", "-c", TIMED, out, *command]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
            with subprocess.Popen(timer, **pipes) as process:
                try:
                    told, errors = process.communicate(timeout=limit_s)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    return Reading(error=f"no answer within {limit_s:.0f} s"), ""
            ms, cpu_ms, peak_mib, code = json.loads(told)
            error = errors.decode(errors="replace")[-2000:] or f"exit code {code}" if code else None
            text = "" if error else out.read_text(encoding="utf-8")
            return Reading(ms, 0.0, cpu_ms, peak_mib, error=error), text

    def version(self) -> str:
        return subprocess.run([self.binary, "--version"], stdout=subprocess.PIPE, check=False).stdout.decode().strip()


# ---- DuckDB -----------------------------------------------------------------------------------


def ways(selector: Selector) -> dict[str, list[str]]:
    """The statement as it is, and cut into temporary tables."""
    from questions import without_comments

    text = without_comments((HERE / "duckdb" / "blast_radius.sql").read_text(encoding="utf-8"))
    text = text.replace("$predicate", selector.condition())
    tables, end = [], 0
    for found in EXPRESSION.finditer(text):
        if found.start() != end:
            raise ValueError(f"blast_radius.sql: not an expression by itself:\n{text[end:found.start()][:200]}")
        end = found.end()
        name, columns, is_view, body = found.groups()
        if columns:
            body = f"with recursive {name}{columns} as (\n{body}) select * from {name}\n"
        tables.append(f"create or replace temp {'view' if is_view else 'table'} {name} as\n{body}")
    return {"once": [text], "tables": [*tables, text[end:]]}


@dataclass(frozen=True)
class DuckDB:
    """DuckDB over the data files of the table's newest version."""

    files: list[str]

    def ask(self, statements: list[str], limit_s: float) -> Reading:
        """In a new process."""
        session = self.session()
        reading = self.again(session, statements, limit_s)
        session.stop()
        return reading

    def session(self) -> "Worker":
        import policies
        from engines import Table, Worker

        return Worker("duckdb", Table(self.files, policies.table([])))

    def again(self, session: "Worker", statements: list[str], limit_s: float) -> Reading:
        """In a process that may have answered before."""
        answer = session.ask(statements, limit_s, wants_rows=True)
        if answer.error:
            return Reading(error=answer.error)
        [counts] = answer.rows.to_pylist()
        process = session.process.pid
        return Reading(answer.ms, session.opening_ms, cpu_ms(process), peak_mib(process), counts=counts)

    def row(self, sql: str) -> dict:
        """The one row of `sql`, not timed."""
        reading = self.ask([sql], 600)
        if reading.error:
            raise SystemExit(f"the store cannot be read: {reading.error}")
        return reading.counts


def cpu_ms(process: int) -> float:
    """How long a living process has had a processor; of DuckDB's, its library is loaded by then."""
    words = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK") * 1000


def peak_mib(process: int) -> float:
    """Most memory that a living process has held."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)
    return int(found[1]) / 1024 if found else 0.0


# ---- both -------------------------------------------------------------------------------------


def difference(ours: dict, theirs: dict) -> str | None:
    """What two sides say of the same count, where they do not agree."""
    both = [name for name in (*COUNTS, *STATES) if name in ours and name in theirs]
    wrong = [f"{name}: {ours[name]} here, {theirs[name]} there" for name in both if ours[name] != theirs[name]]
    return "; ".join(wrong) or None


def watched(run: Callable[[], Reading], patience_s: float) -> Reading:
    """Runs once others leave the processors alone, and notes what they took nevertheless."""
    begun = time.monotonic()
    while busy_share(0.4) > QUIET and time.monotonic() - begun < patience_s:
        pass
    before, own_s, started = processor_times(), own_seconds(), time.monotonic()
    reading = run()
    busy_s, elapsed_s = busy_ticks(before) / os.sysconf("SC_CLK_TCK"), time.monotonic() - started
    others_s = busy_s - (own_seconds() - own_s)
    reading.others = max(others_s, 0.0) / (elapsed_s * (os.cpu_count() or 1))
    return reading


def busy_share(seconds: float) -> float:
    """Share of all processors that was in use."""
    before = processor_times()
    time.sleep(seconds)
    return busy_ticks(before) / max(sum(processor_times()) - sum(before), 1)


def busy_ticks(before: list[int]) -> int:
    """Ticks since then in which a processor did something."""
    passed = [now - then for now, then in zip(processor_times(), before, strict=True)]
    return sum(passed) - passed[3] - passed[4]


def processor_times() -> list[int]:
    """Ticks: user, nice, system, idle, waiting for disks, interrupts, soft interrupts, stolen."""
    line = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0]
    return [int(word) for word in line.split()[1:9]]


def own_seconds() -> float:
    """Seconds that this process and those that it has waited for had a processor."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
