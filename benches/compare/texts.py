"""What each engine is asked, in its own words.

In: the questions and views, values of their parameters. Out: per engine and question the ways to run it. Invariant:
every engine answers the same question; a file in duckdb/ or clickhouse/ stands for the view or query of that name,
one in views/ for a view of Probity that calls what no other engine has.
"""

from functools import cached_property
from pathlib import Path

import clickhouse_sql
import compose
import duckdb_sql
import polars_frames
from engines import NATIVE
from questions import HERE, Question, questions, views, without_comments

WAYS = {"duckdb": duckdb_sql.WAYS, "clickhouse": clickhouse_sql.WAYS}


class Texts:
    """The questions of one run."""

    def __init__(self, values: dict) -> None:
        self.values = values
        self.questions = questions()
        self.views = {engine: self.views_of(engine) for engine in WAYS}

    @cached_property
    def columns(self) -> dict[str, tuple[str, ...]]:
        return {name: view.columns for name, view in views().items()}

    def views_of(self, engine: str) -> compose.Views:
        ours = {name: by_hand("views", name) or view.sql for name, view in views().items()}
        texts = {name: by_hand(engine, name) or self.translated(engine, sql) for name, sql in ours.items()}
        return compose.Views(texts, self.columns)

    def translated(self, engine: str, sql: str, values: dict | None = None, kinds: dict | None = None) -> str:
        known = duckdb_sql.with_values(duckdb_sql.translated(sql), values or {}, kinds or {})
        return clickhouse_sql.translated(known, self.columns) if engine == "clickhouse" else known

    def values_of(self, question: Question) -> dict:
        """Those of the run, else as the header says."""
        return {name: self.values.get(name, parameter.default) for name, parameter in question.parameters.items()}

    def for_probity(self, question: Question) -> dict:
        """One line for whoever times Probity in process: a name and its values, or a text."""
        values, kinds = self.values_of(question), kinds_of(question)
        if question.is_named:
            return {"name": question.name, "params": {k: str(v) for k, v in values.items() if k != "as_of"}}
        return {"name": question.name, "sql": duckdb_sql.with_values(question.sql, values, kinds)}

    def ways(self, engine: str, question: Question) -> dict[str, list]:
        """Statements by name of the way; none when an engine is not asked."""
        values, kinds = self.values_of(question), kinds_of(question)
        engine = engine.removesuffix(NATIVE)
        if engine == "polars":
            typed = polars_frames.typed(values, kinds)
            return {"frame": [(question.name, typed)]} if question.name in polars_frames.FRAMES else {}
        sql = by_hand(engine, question.name) or self.translated(engine, question.sql, values, kinds)
        found = {way.name: compose.statements(sql, self.views[engine], way) for way in reversed(WAYS[engine])}
        distinct = {}
        for name, statements in found.items():
            if statements not in distinct.values():
                distinct[name] = statements
        return distinct


def kinds_of(question: Question) -> dict[str, str]:
    return {name: parameter.kind for name, parameter in question.parameters.items()}


def by_hand(folder: str, name: str) -> str | None:
    path: Path = HERE / folder / f"{name}.sql"
    return without_comments(path.read_text(encoding="utf-8")) if path.exists() else None
