"""Random logs in which coincidences are common: few instants, records, values, people and hashes.

In: a seeded `random.Random`. Out: rows of the evidence table as dicts, and parameters of the queries. The
policies are applied at several times, some with an `effective_from` in the past.
"""

import datetime
import decimal
import json

from fold import KIND_OF_ISSUE, KINDS, WRONG_REASONS

START = datetime.datetime(2026, 1, 5, tzinfo=datetime.timezone.utc)
FACTS = {
    "decision": ("approved", "approved", "approved_with_changes", "rejected", "escalated", "expired", "withdrawn"),
    "outcome": ("succeeded", "succeeded", "failed", "partial", "unknown", "skipped", "denied"),
    "correction": KINDS + ("other",),
    "issue_type": tuple(KIND_OF_ISSUE) + ("rule_violation", "other"),
    "label": ("true_positive", "false_positive", "unclear", "true_negative"),
    "reason_code": WRONG_REASONS + ("timing", "wrong_owner"),
    "actor_kind": ("human", "human", "agent", "automation"),
    "environment": ("production",) * 8 + ("shadow", "sandbox"),
    "workflow": ("w1", "w1", "w2", "w3"),
    "permission_area": ("crm_fields", "crm_fields", "finance_fields", "customer_messages"),
    "permission_level": (1, 2, 3, 3, 4, 4, 5),
    "operation": ("update", "update", "assign", "create", "delete", "send", "read", "draft", "refund"),
    "field": ("owner", "stage", "ssn"),
    "system": ("crm", "crm", "crm", "erp"),
    "record_type": ("Lead", "Lead", "Contact"),
    "policy_outcome": ("auto_run", "approval_required", "blocked"),
    "reversibility": ("reversible", "compensable", "irreversible"),
    "prompt_version": ("p1", "p2"),
    "rule_version": ("r1", "r2"),
    "model_version": ("m1", "m2"),
    "segment": ("smb", "mid", "enterprise"),
    "trigger": ("batch", "user"),
    "run_id": ("run1", "run2", "run3"),
    "rollback_ref": ("undo-1",),
    "payload_hash": ("h1", "h1", "h1", "h2"),
    "reviewer": ("ann", "ann", "bob", "cas", "agent-1"),
    "actor_id": ("agent-1", "agent-1", "agent-2", "ann", "bob"),
    "currency": ("EUR", "EUR", "USD"),
    "processor": ("llm-co", "mail-co"),
    "region": ("eu", "us"),
    "confidence": (0.05, 0.1, 0.3, 0.55, 0.7, 0.9, 0.95, 0.95, 1.0),
}
ARTEFACTS = ("sample_notes", "failure_patterns", "rollback_path", "roi_decision")
PROMOTION = ("min_decisions = 2", "min_approval_rate = 0.5", "max_false_discovery_rate = 0.5",
             "min_approval_coverage = 0.2")
WORK = ("action.proposed", "action.decided", "action.executed", "action.rolled_back", "action.labeled")
CONTROL = ("workflow.paused", "workflow.resumed", "config.changed")
INCIDENT = ("incident.opened", "incident.updated", "incident.closed")
STORE = ("evidence.retired", "evidence.erased", "evidence.held", "evidence.released")


def random_log(rng):
    """Rows of the table in the order of their arrival."""
    instants = [START + datetime.timedelta(hours=rng.choice((1, 7, 24)) * k) for k in range(rng.choice((6, 40, 400)))]
    records = [f"r{k}" for k in range(rng.choice((2, 5, 12, 80)))]
    events = []
    for _ in range(rng.choice((0, 20, 60, 120, 300))):
        events.append(random_event(rng, instants, records, f"a{rng.choice((3, 15, 90)) * rng.random():.0f}"))
    for action in range(rng.choice((0, 3, 8, 30, 30, 250))):
        events += random_life(rng, instants, records, f"life{action}")
    for review in range(rng.choice((0, 1, 4))):
        events += random_review(rng, instants, f"rev{review}")
    for version in range(rng.choice((0, 0, 1, 2, 4))):
        events.append(random_policy_event(rng, instants, f"v{version}"))
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


def facts(rng, event, share, *names):
    maybe(rng, event, share, **{name: rng.choice(FACTS[name]) for name in names})


# ---- single events ----------------------------------------------------------------------------


def random_event(rng, instants, records, action_id):
    kind = rng.choice(
        WORK * 3 + ("record.reviewed",) * 6 + ("record.corrected",) * 4 + ("data.accessed", "exception.raised") * 2
        + CONTROL + ("evidence.received", "review.decided", "review.marked", "action.evaluated")
        + INCIDENT + (rng.choice(STORE),)
    )
    event = {"source": rng.choice(("s1", "s2")), "event_type": kind, "occurred_at": rng.choice(instants)}
    event["environment"] = rng.choice(FACTS["environment"])
    maybe(rng, event, 0.7, source_seq=rng.randint(1, 60))
    if kind == "evidence.received":
        event["extra"] = json.dumps({"counts": [random_counts(rng, instants) for _ in range(rng.randint(0, 3))]})
        return event
    if kind in STORE:
        return event
    facts(rng, event, 0.8, "actor_kind", "actor_id")
    facts(rng, event, 0.2, "processor", "region")
    event["workflow"] = rng.choice(FACTS["workflow"])
    if kind in CONTROL + INCIDENT or kind.startswith("review."):
        random_control_columns(rng, event, kind)
        return event
    facts(rng, event, 0.6, "field", "prompt_version", "rule_version", "model_version", "segment", "permission_area")
    event.update({name: rng.choice(FACTS[name]) for name in ("system", "record_type")}, record_id=rng.choice(records))
    maybe(rng, event, 0.7, batch_id=rng.choice(("b1", "b2", "b3")))
    maybe(rng, event, 0.7, old_value=rng.choice(("", "x", "y")), new_value=rng.choice(("", "x", "y")))
    if kind == "record.corrected":
        event["correction"] = rng.choice(FACTS["correction"])
        maybe(rng, event, 0.1, action_id=action_id)
    if kind == "data.accessed":
        maybe(rng, event, 0.5, action_id=action_id)
        facts(rng, event, 0.6, "outcome", "permission_level", "operation")
        maybe(rng, event, 0.4, inputs=random_inputs(rng, records))
    if kind == "exception.raised":
        facts(rng, event, 0.6, "reason_code")
        maybe(rng, event, 0.2, record_id=None)
    if kind.startswith("action."):
        random_action_columns(rng, event, kind, action_id, records)
    return event


def random_control_columns(rng, event, kind):
    maybe(rng, event, 0.2, workflow=None)
    facts(rng, event, 0.5, "permission_area")
    if kind == "config.changed":
        event["field"] = rng.choice(("prompt_version", "rule_version", "model_version"))
        maybe(rng, event, 0.8, old_value="r1", new_value=rng.choice(("r1", "r2")))
    if kind.startswith("review."):
        event["reviewer"] = rng.choice(FACTS["reviewer"])
    if kind in INCIDENT:
        event["environment"] = "production"
        event["incident_id"] = rng.choice(("i1", "i2", "i3"))
        said = {"title": ("late", "wrong"), "class": ("quality", "control"), "severity": ("low", "high"),
                "state": ("draft", "open", "contained"), "rule": ("wrong too often",)}
        event["extra"] = json.dumps({name: rng.choice(said[name]) for name in said if rng.random() < 0.5})
    if kind.startswith("workflow."):
        maybe(rng, event, 0.3, incident_id=rng.choice(("i1", "i2", "i3")))


def random_inputs(rng, records):
    inputs = []
    for _ in range(rng.randint(1, 2)):
        entry = {"system": rng.choice(FACTS["system"]), "record_type": rng.choice(FACTS["record_type"])}
        entry["record_id"] = rng.choice(records)
        facts(rng, entry, 0.6, "field")
        inputs.append(entry)
    return inputs


def random_action_columns(rng, event, kind, action_id, records):
    event["action_id"] = action_id
    facts(rng, event, 0.5, "issue_type", "reason_code", "permission_level", "operation", "confidence", "payload_hash")
    facts(rng, event, 0.3, "trigger", "run_id", "rollback_ref", "reversibility", "policy_outcome")
    maybe(rng, event, 0.3, inputs=random_inputs(rng, records), **random_money(rng))
    maybe(rng, event, 0.2, threshold=rng.choice((0.5, 0.9)))
    maybe(rng, event, 1.0 if kind == "action.decided" else 0.2, decision=rng.choice(FACTS["decision"]))
    if "decision" in event:
        facts(rng, event, 0.8, "reviewer")
        seconds = rng.choice((-1, 0, 4, 5, 60, 7200))
        maybe(rng, event, 0.5, review_opened_at=event["occurred_at"] - datetime.timedelta(seconds=seconds))
    if kind in ("action.executed", "action.rolled_back"):
        event["outcome"] = rng.choice(FACTS["outcome"])
    if kind == "action.executed":
        event["attempt"] = rng.choice((1, 1, 1, 2, 3))
    if kind == "action.labeled":
        maybe(rng, event, 0.9, label=rng.choice(FACTS["label"]))


def random_money(rng):
    return {"amount": decimal.Decimal(rng.choice(("5.00", "100.00", "100.01", "9000.00"))),
            "currency": rng.choice(FACTS["currency"])}


def random_counts(rng, instants):
    day = rng.choice(instants).strftime("%Y-%m-%d") if rng.random() < 0.8 else None
    counts = {name: rng.randint(0, 9) for name in ("accepted", "duplicate", "conflict", "rejected")}
    return {"source": rng.choice(("s1", "s2", "s3")), "day": day, "received": sum(counts.values()), **counts}


# ---- lives of actions -------------------------------------------------------------------------


def random_life(rng, instants, records, action_id):
    """A plausible action in order, so that verdicts, approvals and windows are reached; perhaps in one event."""
    at = rng.choice(instants)
    base = {"source": "s1", "environment": "production", "record_id": rng.choice(records), "action_id": action_id}
    for name in ("workflow", "issue_type", "permission_area", "permission_level", "system", "record_type", "field"):
        base[name] = rng.choice(FACTS[name])
    facts(rng, base, 0.8, "operation", "confidence", "segment", "rule_version", "prompt_version", "trigger", "run_id")
    maybe(rng, base, 0.4, **random_money(rng))
    maybe(rng, base, 0.6, inputs=random_inputs(rng, records), rollback_ref="undo")
    agent, person = rng.choice(("agent-1", "agent-2")), rng.choice(FACTS["reviewer"])
    decided = {"event_type": "action.decided", "decision": rng.choice(FACTS["decision"][:5]), "actor_kind": "human",
               "actor_id": person, "reviewer": person, "reason_code": rng.choice(FACTS["reason_code"])}
    executed = {"event_type": "action.executed", "outcome": rng.choice(FACTS["outcome"]), "old_value": "x",
                "new_value": "y", "attempt": rng.choice((1, 2)), "actor_kind": "agent", "actor_id": agent}
    steps = [{"event_type": "action.proposed", "actor_kind": "agent", "actor_id": agent}, decided, executed]
    if rng.random() < 0.9:
        decided["payload_hash"] = "h1"
        executed["payload_hash"] = rng.choice(("h1", "h1", "h1", "h2"))
    if rng.random() < 0.2:
        steps = [{**steps[0], **steps[1], **steps[2]}]
    else:
        steps = steps[: rng.choice((1, 2, 3, 3, 3))]
    if rng.random() < 0.1:
        steps.append({**executed})
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


# ---- sample reviews ---------------------------------------------------------------------------


def random_review(rng, instants, review_id):
    """What the engine states of a review, in any order; some of it is made up by somebody else."""
    events = []
    few = rng.sample(instants, min(len(instants), rng.choice((1, 3, 9))))
    items = [f"i{k}" for k in range(rng.choice((2, 6, 40)))]

    def add(kind, extra, **columns):
        event = {"source": rng.choice(("probity",) * 12 + ("s1",)), "event_type": kind, "environment": "production",
                 "occurred_at": rng.choice(few), "review_id": review_id, "actor_kind": "human", "workflow": "w1",
                 "extra": json.dumps(extra)}
        facts(rng, event, 0.9, "actor_id")
        facts(rng, event, 0.5, "permission_area")
        events.append({**event, **columns})

    for _ in range(rng.choice((0, 1, 1, 1, 2))):
        plan = {"attempt": rng.randint(1, 3), "claim": {"below": rng.choice(("5%", "1/10"))}, "frame": {"items": len(items)}}
        add("review.planned", {"purpose": rng.choice(("re_enable", "cadence")), "plan": plan})
    for _ in range(rng.choice((0, 1, 1, 2))):
        add("review.drawn", {})
    lenient = rng.choice(("ann", "bob", None))
    for item in items:
        for reviewer in ("ann", "bob", "cas"):
            for _ in range(rng.choice((0, 1, 1, 2))):
                words = ("correct",) if reviewer == lenient else ("correct", "correct", "incorrect", "escalate")
                add("review.marked", {"item": item, "mark": rng.choice(words)}, reviewer=reviewer)
                wait = datetime.timedelta(seconds=rng.choice((1, 5, 60)), microseconds=rng.choice((-1, 0, 0)))
                maybe(rng, events[-1], 0.7, review_opened_at=events[-1]["occurred_at"] - wait)
                maybe(rng, events[-1], 0.05, reviewer=None)
    for _ in range(rng.choice((0, 1, 1, 3))):
        status = {"decision": rng.choice(("ENABLE", "EXTEND", "CENSUS", "REJECTED")), "n": rng.randint(0, 9),
                  "k": rng.randint(0, 3), "e": "1.000000"}
        said = {"status": status}
        maybe(rng, said, 0.6, planted=rng.sample(items, min(len(items), rng.choice((0, 2, 6)))))
        add("review.decided", said)
    for _ in range(rng.choice((0, 1, 2))):
        add("workflow.resumed", {})
    return events


# ---- policies ---------------------------------------------------------------------------------


def random_policy_event(rng, instants, version):
    at = rng.choice(instants)
    event = {"source": rng.choice(("probity",) * 9 + ("s1",)), "event_type": "config.changed",
             "environment": "production", "occurred_at": at, "field": "policy",
             "new_value": random_policy(rng, instants, version), "policy_version": version, "actor_kind": "human",
             "actor_id": "admin"}
    if rng.random() < 0.1:
        event["new_value"] = "this is = no policy ["
    return event


def random_policy(rng, instants, version):
    """The text of a policy; each table is there or not."""
    effective_from = rng.choice((START, rng.choice(instants), rng.choice(instants)))
    levels = rng.choice(([2, 4, 5], [4], []))
    lines = [f'version = "{version}"', f"effective_from = {effective_from:%Y-%m-%dT%H:%M:%SZ}",
             f"approval_levels = {levels}"]
    if rng.random() < 0.6:
        lines.append(f"approval_valid_hours = {rng.choice((1, 24, 72))}")
    if rng.random() < 0.6:
        lines.append(f"bulk_limit = {rng.choice((1, 2, 5))}")
    if rng.random() < 0.7:
        lines += ["[sample_review_days]", f"3 = {rng.choice((1, 7))}"]
    if rng.random() < 0.5:
        lines.insert(3, f"retention_months = {rng.choice((1, 13))}")
    if rng.random() < 0.7:
        lines += ["[promotion]"] + rng.sample(PROMOTION, rng.randint(1, 4))
    lines += ["[roles]", 'manager = ["ann", "bob"]']
    for workflow in ("w1", "w2"):
        if rng.random() < 0.8:
            lines += random_workflow(rng, workflow)
    for _ in range(rng.randint(0, 3)):
        lines += table(rng, "permission", "area", "record_type", "field", "operation", level=rng.randint(1, 5))
    for _ in range(rng.randint(0, 2)):
        limit = {} if rng.random() < 0.5 else {"min_amount": "100.00", "currency": "EUR"}
        lines += table(rng, "approval_required", "area", "field", "operation", "issue_type", name="rule", **limit)
    for _ in range(rng.randint(0, 3)):
        limit = {} if rng.random() < 0.5 else {"max_amount": "100.00", "currency": "EUR"}
        level = {} if rng.random() < 0.7 else {"level": rng.choice((3, 4))}
        reviewers = rng.choice((["manager"], ["cas"], ["*"]))
        lines += table(rng, "approver", "area", "workflow", reviewers=reviewers, **limit, **level)
    for _ in range(rng.randint(0, 2)):
        lines += table(rng, "threshold", "workflow", "area", "issue_type", min_confidence=rng.choice((0.5, 0.9)))
    for _ in range(rng.randint(0, 2)):
        lines += table(rng, "prohibited", "operation", "field", "workflow", name="never", reason="too risky")
    for _ in range(rng.randint(0, 2)):
        lines += table(rng, "owner", "area", business="manager", technical="tess", review_days=rng.choice((1, 7)))
    for _ in range(rng.randint(0, 2)):
        regions = rng.choice(({}, {"regions": ["eu"]}, {"regions": ["eu", "us"]}))
        lines += table(rng, "processor", name=rng.choice(FACTS["processor"]), **regions)
    if rng.random() < 0.5:
        lines += table(rng, "incident_rule", "workflow", name="rule", metric="approval_rate", below=0.5, window_days=7)
    if rng.random() < 0.5:
        lines += table(rng, "deadline", notify=rng.choice(("authority", "owner")), article="rule 1", asks="tell them",
                       **{"class": "quality", rng.choice(("hours", "days")): rng.choice((4, 72))})
    return "\n".join(lines) + "\n"


def random_workflow(rng, workflow):
    paths = ("crm/Lead/owner", "*/*/ssn", "crm/Contact/*", "erp/Lead/stage")
    lines = ["[[workflow]]", f'name = "{workflow}"', f"stage = {rng.randint(1, 5)}"]
    lines.append(f"agents = {json.dumps(rng.choice((['agent-1'], ['agent-1', 'agent-2'], ['*'])))}")
    if rng.random() < 0.3:
        lines.append(f"allowed_fields = {json.dumps(rng.sample(paths, 2))}")
    if rng.random() < 0.6:
        lines.append(f"blocked_fields = {json.dumps(rng.sample(paths, rng.randint(1, 2)))}")
    if rng.random() < 0.5:
        lines += ["[workflow.artefacts]"] + [f'{name} = "wiki"' for name in rng.sample(ARTEFACTS, 2)]
    return lines


def table(rng, kind, *scope, **columns):
    fact = {"area": "permission_area"}
    named = {name: rng.choice(FACTS[fact.get(name, name)]) for name in scope if rng.random() < 0.5}
    return [f"[[{kind}]]"] + [f"{name} = {json.dumps(value)}" for name, value in {**named, **columns}.items()]


# ---- parameters -------------------------------------------------------------------------------


def random_arguments(rng):
    start = START + datetime.timedelta(days=rng.choice((0, 0, 3, 20)))
    return {
        "period_start": start,
        "period_end": start + datetime.timedelta(days=rng.choice((1, 7, 31, 400)), hours=rng.choice((0, 5))),
        "as_of": start + datetime.timedelta(days=rng.choice((5, 30, 60, 500))),
        "maturity_days": rng.choice((30, 30, 1, 3650)),
        "fast_seconds": 5,
        "target": rng.choice((0.9, 0.5)),
        "alpha": 0.05,
        "time_zone": rng.choice(("UTC", "America/New_York")),
        "window_days": 28,
        "batch_id": rng.choice(("b1", "b2", "b3", "b9")),
    }
