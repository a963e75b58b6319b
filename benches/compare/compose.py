"""One question behind the views that it reads, for an engine without our catalogue.

In: a question and views, in the dialect of one engine. Out: statements to run one after the other, the last of which
answers. There are several ways, and the runner keeps the one that an engine is fastest with: views are written out
where they are read (`inline`), left to the engine (`plain`), computed once as common table expressions (`once`), or
as temporary tables (`tables`). Only views that are read more than once, and cost more than reading the evidence
again, are computed; they hold the columns that their readers name. Invariant: all ways give the same rows.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# A filter of the evidence: reading it again is cheaper than to keep it.
CHEAP = {"events", "action_events", "reviewed", "corrections"}


@dataclass(frozen=True)
class Views:
    """Texts of the views of one engine, and the columns that each gives."""

    texts: Mapping[str, str]
    columns: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Way:
    """How to run: what stands before the text of a view that is not kept, and of one that is."""

    name: str
    once: str = ""
    kept: str = ""
    table: str = ""


def statements(sql: str, views: Views, way: Way) -> list[str]:
    if not way.table:
        return [behind(sql, needed(sql, views.texts), views, way)]
    kept = shared(sql, views)
    steps, names = [], needed(sql, views.texts)
    for name in kept:
        body = narrowed(name, views, readers(name, sql, names, views))
        steps.append(way.table.format(name=name, body=behind(body, others(body, kept, views), views, way)))
    return [*steps, behind(sql, others(sql, kept, views), views, way)]


def others(sql: str, kept: list[str], views: Views) -> list[str]:
    """The views behind `sql` that are no tables, as far as the tables."""
    return needed(sql, {name: text for name, text in views.texts.items() if name not in kept})


def behind(sql: str, names: list[str], views: Views, way: Way) -> str:
    """`sql` with these views before it."""
    kept = shared(sql, views) if way.once != way.kept else []
    parts = []
    for name in names:
        body = narrowed(name, views, readers(name, sql, names, views)) if name in kept else views.texts[name]
        parts.append(f"{name} as {way.kept if name in kept else way.once} (\n{body}\n)")
    return joined(parts, sql)


def needed(sql: str, texts: Mapping[str, str]) -> list[str]:
    """Names of the views behind `sql`, each after those that it reads."""
    order: list[str] = []

    def visit(text: str) -> None:
        for name in texts:
            if name not in order and reads(text, name) and text is not texts[name]:
                visit(texts[name])
                order.append(name)

    visit(sql)
    return order


def shared(sql: str, views: Views) -> list[str]:
    """The views behind `sql` that are worth keeping."""
    names = needed(sql, views.texts)
    count = lambda name: sum(reads(text, name) for text in readers(name, sql, names, views))
    return [name for name in names if name not in CHEAP and count(name) > 1]


def readers(name: str, sql: str, names: list[str], views: Views) -> list[str]:
    texts = [sql] + [views.texts[other] for other in names if other != name]
    return [text for text in texts if reads(text, name)]


def reads(text: str, name: str) -> int:
    return len(re.findall(rf"\b(?:from|join)\s+{name}\b", text, re.I))


def narrowed(name: str, views: Views, texts: list[str]) -> str:
    """The view with the columns only that one of `texts` names."""
    named = set(re.findall(r"\w+", " ".join(texts)))
    columns = views.columns[name]
    kept = [column for column in columns if column in named] or list(columns[:1])
    body = views.texts[name]
    return body if len(kept) == len(columns) else f"select {', '.join(kept)} from (\n{body}\n) as wide"


def joined(parts: list[str], sql: str) -> str:
    if not parts:
        return sql
    opened = re.match(r"\s*with\s+", sql, re.I)
    rest = ",\n" + sql[opened.end():] if opened else "\n" + sql
    return "with " + ",\n".join(parts) + rest
