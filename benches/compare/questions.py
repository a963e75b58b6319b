"""What is asked: the named queries of the project, and questions written for this comparison.

In: queries/{metrics,controls,views}/*.sql and own/*.sql, all in Probity's SQL with a header. Out: `Question`s and
views. Invariant: nothing is rewritten here; a text is the one that Probity runs.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PARAMETER = re.compile(r"^(?:--)?\s+(\w+)\s+(utf8|int64|float64|timestamp)\b(?:[ ]+=[ ]+('[^']*'|\S+))?", re.M)
RETURNED = re.compile(r"^--\s+(\w+)\s+(?:utf8|int\d+|float64|timestamp|boolean|list|decimal\S*)(?:\s|$)", re.M)


@dataclass(frozen=True)
class Parameter:
    """What a query takes, as its header says it."""

    kind: str
    default: str | None


@dataclass(frozen=True)
class Question:
    """One text with its parameters. `is_named` when Probity knows it by its name."""

    name: str
    folder: str
    sql: str
    parameters: dict[str, Parameter] = field(default_factory=dict)
    columns: tuple[str, ...] = ()

    @property
    def is_named(self) -> bool:
        return self.folder != "own"


def questions() -> list[Question]:
    """Metrics, controls, then our own."""
    return [question(path) for folder in ("metrics", "controls") for path in files(ROOT / "queries" / folder)] + [
        question(path) for path in files(HERE / "own")
    ]


def views() -> dict[str, Question]:
    return {path.stem: question(path) for path in files(ROOT / "queries" / "views")}


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.sql"))


def question(path: Path) -> Question:
    text = path.read_text(encoding="utf-8")
    return Question(path.stem, path.parent.name, without_comments(text), parameters_of(text), columns_of(text))


def without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("--")).strip().rstrip(";")


def parameters_of(text: str) -> dict[str, Parameter]:
    block = re.search(r"^-- params:(.*?)^-- returns:", text, re.S | re.M)
    found = PARAMETER.findall(block.group(1)) if block else []
    return {name: Parameter(kind, default.strip("'") or None) for name, kind, default in found}


def columns_of(text: str) -> tuple[str, ...]:
    block = re.search(r"^-- returns:(.*?)^-- needs:", text, re.S | re.M)
    return tuple(RETURNED.findall("--" + block.group(1))) if block else ()
