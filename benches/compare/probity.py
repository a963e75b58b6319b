"""Probity itself: asked on the command line, or timed elsewhere and read from a file.

In: a store, the binary. Out: answers with the wall time of the whole process: start, opening of the store, planning,
answering, writing JSON. The times of a file are of the questions alone, as those of the other engines are.
"""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from questions import Question


@dataclass
class Reply:
    """One run. Of a control the command lists violations, and counts all items in `population`."""

    ms: float = 0.0
    columns: tuple[str, ...] = ()
    rows: list[list] | None = None
    population: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class CommandLine:
    """The binary over a store, at the table's size so that nothing is read that others do not see."""

    binary: str
    store: Path
    size: int

    def ask(self, question: Question, sql: str, values: dict, limit_s: float) -> Reply:
        what = [question.name] if question.is_named else [sql]
        given = [f"{name}={value}" for name, value in values.items() if name != "as_of" and question.is_named]
        command = [self.binary, "--store", str(self.store), "--as-of", str(self.size), "--json", "query", *what]
        for pair in given:
            command += ["-p", pair]
        begun = time.perf_counter()
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=limit_s, check=False)
        except subprocess.TimeoutExpired:
            return Reply(error=f"no answer within {limit_s:.0f} s")
        ms = (time.perf_counter() - begun) * 1000
        # 1 says that a control is violated.
        if done.returncode not in (0, 1) or not done.stdout:
            return Reply(error=done.stderr.decode(errors="replace")[-2000:])
        answer = json.loads(done.stdout)
        population = answer.get("control", {}).get("population")
        return Reply(ms, tuple(answer["columns"]), answer["rows"], population)

    def version(self) -> str:
        return subprocess.run([self.binary, "--version"], stdout=subprocess.PIPE, check=False).stdout.decode().strip()


def timings(path: Path) -> dict[str, dict]:
    """Lines {"name", "best_ms", "median_ms", "rows"} by name."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {line["name"]: line for line in lines}
