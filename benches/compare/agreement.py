"""Whether two engines gave the same answer.

In: Probity's rows, another engine's table. Out: `same`, or what differs. Invariant: rows are compared as a multiset;
floats to nine digits; statistics that other engines cannot compute, listed here, are not compared.
"""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal

import pyarrow as pa

# No closed form: null in the other engines' texts.
NOT_COMPARED = {
    "confidence_threshold": {"threshold", "chosen", "correct", "lower_bound"},
    "segment_disparity": {"ratio_low", "ratio_high", "p_value", "p_holm", "verdict"},
    "trend_rates": {"center", "limit_low", "limit_high", "laney_low", "laney_high", "is_signal"},
    "trend_routing_exceptions": {
        "center", "limit_low", "limit_high", "laney_low", "laney_high", "is_signal", "ewma", "ewma_low", "ewma_high",
        "alarm",
    },
}
NUMBERS = ("grain", "key", "part", "numerator", "denominator", "value", "result", "seq")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@dataclass(frozen=True)
class Rows:
    """An answer. A control's may list violations only; `population` then says how many rows it judged."""

    columns: tuple[str, ...]
    rows: list[list]
    population: int | None = None

    def size(self) -> int:
        return len(self.rows) if self.population is None else self.population

    def violations(self) -> "Rows":
        place = self.columns.index("result")
        return Rows(self.columns, [row for row in self.rows if row[place] == "violation"])


def of_table(table: pa.Table) -> Rows:
    columns = [column.to_pylist() for column in table.columns]
    return Rows(tuple(table.column_names), [list(row) for row in zip(*columns, strict=True)])


def compared(name: str, ours: Rows, theirs: Rows) -> str:
    """`same`, `same but for` columns that only describe, or `differs` and how."""
    if ours.size() != theirs.size():
        return f"differs: {theirs.size():,} rows, expected {ours.size():,}"
    if ours.population is not None:
        ours, theirs = ours.violations(), theirs.violations()
    common = [c for c in ours.columns if c in theirs.columns and c not in NOT_COMPARED.get(name, ())]
    mine, other = chosen(ours, common), chosen(theirs, common)
    different = [c for i, c in enumerate(common) if Counter(r[i] for r in mine) != Counter(r[i] for r in other)]
    kept = [i for i, c in enumerate(common) if c not in different]
    counted = lambda side: Counter(tuple(row[i] for i in kept) for row in side)
    if set(different) & set(NUMBERS) or counted(mine) != counted(other):
        return f"differs: {', '.join(different) or 'rows'}; {example(mine, other)}"
    return f"same but for {', '.join(different)}" if different else "same"


def chosen(side: Rows, columns: list[str]) -> list[tuple]:
    places = [side.columns.index(column) for column in columns]
    return [tuple(plain(row[place]) for place in places) for row in side.rows]


def example(mine: list[tuple], other: list[tuple]) -> str:
    left, right = Counter(mine) - Counter(other), Counter(other) - Counter(mine)
    return f"{sum(left.values()):,} rows, e.g. expected {next(iter(left), None)}, found {next(iter(right), None)}"


def plain(value: object) -> object:
    """One form for what engines write differently."""
    if value is None or value == [] or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, (float, Decimal)):
        return rounded(float(value))
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return worded(value)
    if isinstance(value, (list, dict)):
        return json.dumps(value, sort_keys=True)
    return value


def rounded(number: float) -> float:
    """Nine digits; an exact half goes up whatever its last bit is, and what is nearly nothing is nothing."""
    return 0.0 if abs(number) < 1e-12 else float(f"{number * (1 + 3e-11):.9g}")


def worded(text: str) -> object:
    if INSTANT.fullmatch(text) and "." not in text:
        return text[:-1] + ".000000Z"
    return float(text) if re.fullmatch(r"-?\d+\.\d\d", text) else text
