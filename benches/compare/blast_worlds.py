"""Small logs in which everything collides: few records, few actions, every outcome, parts of targets left out.

In: a number and a seed. Out: events as a source would send them, and a selector for each world. Invariant: worlds share
no record and no action, so that one store can hold them all. What `tests/blast/world.rs` is to the engine's own oracle,
this is to SQL over stored files.
"""

import json
import random
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

from blast_sides import Selector

RECORDED = datetime(2026, 3, 1, tzinfo=timezone.utc)
PARTS = ("system", "record_type", "record_id", "field")
TYPES = (
    *["action.executed"] * 4, *["action.proposed"] * 2, "action.evaluated", "action.decided", "action.rolled_back",
    "record.corrected", "record.reviewed", "data.accessed",
)
OUTCOMES = (*["succeeded"] * 5, "partial", "unknown", "failed", "skipped", "denied")
VALUES = ("", "x", "y", "z")
# How often a part of a target is set, by world: complete, sparse, hardly ever on executions.
SHARES = (0.97, 0.75, 0.4)


class Worlds:
    """Logs of up to 60 events each."""

    def __init__(self, count: int, seed: int) -> None:
        self.events: list[dict] = []
        self.selectors: list[Selector] = []
        for number in range(count):
            world = World(f"w{number}", random.Random(f"{seed}-{number}"))
            self.events += world.events
            self.selectors.append(world.selector)

    def ingest(self, binary: Path, store: Path) -> None:
        lines = store / "worlds.ndjson"
        lines.write_text("".join(json.dumps(event) + "\n" for event in self.events), encoding="utf-8")
        for words in (["ingest", "--strict", str(lines)], ["maintain"]):
            subprocess.run([binary, "-q", "--store", str(store), *words], check=True)


class World:
    """One log; which of its actions are bad is part of it."""

    def __init__(self, name: str, dice: random.Random) -> None:
        self.name, self.dice = name, dice
        self.share = dice.choice(SHARES)
        self.events = [self.event(number) for number in range(dice.randint(1, 60))]
        bad = ("a0",) if dice.random() < 0.7 else ("a0", "a3")
        self.selector = Selector(name, " or ".join(f"action_id = '{name}-{action}'" for action in bad))

    def maybe(self, share: float, words: tuple) -> str | None:
        return self.dice.choice(words) if self.dice.random() < share else None

    def target(self, share: float) -> list[str | None]:
        ids = tuple(f"{self.name}-{n}" for n in (1, 1, 2, 3))
        return [
            self.maybe(max(share, 0.9), ("crm", "crm", "crm", "e/p%")),
            self.maybe(max(share, 0.9), ("lead", "lead", "lead", "deal")),
            self.maybe(share, ids),
            self.maybe(share * 0.85, ("f", "f", "g")),
        ]

    def named(self, target: list[str | None], record: int) -> list[str | None]:
        """With all that names a record."""
        system, record_type, record_id, field = target
        return [system or "crm", record_type or "lead", record_id or f"{self.name}-{record}", field]

    def event(self, number: int) -> dict:
        dice, event_type = self.dice, self.dice.choice(TYPES)
        is_change = event_type in ("action.executed", "action.rolled_back")
        target = self.target(self.share if is_change else max(self.share, 0.7))
        if event_type.startswith("record."):
            target = self.named(target, 1)
        reads = dice.randint(1, 2) if dice.random() < 0.5 else 0
        has_action = event_type.startswith("action.") or dice.random() < 0.3
        late = 2_000 if dice.random() < 0.04 else 0
        minutes = 40 - number // 2 + dice.randint(-3, 3) + late
        event = {
            "event_id": f"{self.name}-{number}", "source": "worlds", "workflow": "w", "event_type": event_type,
            "occurred_at": (RECORDED - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "environment": dice.choice(("production",) * 5 + ("shadow",)),
            "action_id": f"{self.name}-a{dice.randint(0, 5)}" if has_action else None,
            **dict(zip(PARTS, target, strict=True)),
            "outcome": dice.choice(OUTCOMES) if is_change else self.maybe(0.2, OUTCOMES),
            "old_value": self.maybe(0.7, VALUES), "new_value": self.maybe(0.7, VALUES),
            "operation": self.maybe(0.4, ("update", "update", "delete", "merge", "send")),
            "reversibility": self.maybe(0.3, (*["reversible"] * 3, "compensable", "irreversible")),
            "inputs": [said(dict(zip(PARTS, self.named(self.target(0.9), 2), strict=True))) for _ in range(reads)],
        }
        return said(event)


def said(words: dict) -> dict:
    """Without what is missing."""
    return {name: word for name, word in words.items() if word is not None}
