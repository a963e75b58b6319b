"""Metrics of evidence, approval and exposure: what is held about each action and whether it was allowed.

In: a `Log` with its policies and the parameters. Out: rows of `evidence_completeness`, `evidence_items`,
`approval_coverage` and `exposure`.
"""

import policy_oracle as policy
from fold import EXECUTED, is_undecided, record_of, was_executed
from scopes import action_scopes, final_reviewer, rate, share

EVIDENCE_ITEMS = (
    "workflow", "trigger", "inputs", "prompt or rule version", "action proposed", "action taken",
    "old and new value", "confidence or reason code", "reviewer", "approval status", "timestamp", "rollback path",
)
NOT_WRITES = ("read", "draft", "send")


# ---- evidence ---------------------------------------------------------------------------------


def is_reversible_write(action):
    return action.get("operation") not in NOT_WRITES and action.get("reversibility") != "irreversible"


def has_way_back(action):
    """How to undo it, or the value before its last execution or its last success."""
    succeeded = [e for e in action["executions"] if e["outcome"] == "succeeded"]
    captured = any("old_value" in e for e in action["executions"][-1:] + succeeded[-1:])
    return "rollback_ref" in action or captured


def reason_is_known(action):
    return "confidence" in action or "reason_code" in action["proposal"]


def is_finished_row(action):
    """Its first event is its execution: that holds the proposal too."""
    return action["proposal"]["event_type"] == "action.executed"


def items_of(action, log):
    """{item: held, or cannot apply}"""
    needed = policy.needs_approval_of_action(action, log)
    last = action["executions"][-1] if action["executions"] else {}
    held = {
        "workflow": "workflow" in action,
        "trigger": "trigger" in action,
        "inputs": "inputs" in action or action.get("operation") == "create",
        "prompt or rule version": "prompt_version" in action or "rule_version" in action,
        "action proposed": action["has_proposal"] or is_finished_row(action),
        "action taken": bool(action["executions"]),
        "old and new value": "field" not in action or ("old_value" in last and "new_value" in last),
        "confidence or reason code": reason_is_known(action),
        "reviewer": needed is False or final_reviewer(action) is not None,
        "approval status": needed is False or action["final"] is not None or "policy_outcome" in action,
        "timestamp": True,
        "rollback path": not is_reversible_write(action) or has_way_back(action),
    }
    return held


def evidence_completeness(log, ask):
    return share(log, ask, was_executed, lambda a: all(items_of(a, log).values()), is_undecided)


def evidence_items(log, ask):
    rows = []
    for scope, actions in action_scopes(log, ask).items():
        held = [items_of(a, log) for a in actions if was_executed(a)]
        pending = sum(1 for a in actions if is_undecided(a))
        for item in EVIDENCE_ITEMS:
            rows.append(rate(scope, sum(1 for h in held if h[item]), len(held), pending, False, item))
    return rows


# ---- approval and exposure --------------------------------------------------------------------


def approval_coverage(log, ask):
    """An action that needed approval is covered when each of its executions is; else the first says why not."""
    parts = ("valid", "recorded_late", "unprovable", "missing", "not_approved", "self_approved", "not_authorised",
             "payload_differs", "reused")
    rows = []
    for scope, actions in action_scopes(log, ask).items():
        pending = sum(1 for a in actions if is_undecided(a))
        carried_out = [a for a in actions if was_executed(a)]
        found = [coverage_of(a, log) for a in carried_out]
        needed = [status for status in found if status not in (None, "need_unknown")]
        for part in parts:
            rows.append(rate(scope, needed.count(part), len(needed), pending, False, part))
        unknown = found.count("need_unknown")
        rows.append(rate(scope, unknown, len(carried_out), pending, False, "need_unknown"))
    return rows


def coverage_of(action, log):
    """None: no execution needed approval."""
    statuses, needs = [], []
    for event in policy.executions_of(action):
        needed = policy.needs_approval(policy.policy_at(log, event["occurred_at"]), action)
        needs.append(needed)
        if needed:
            statuses.append(policy.approval_status(event, action, log))
    if statuses:
        return next((status for status in statuses if status != "valid"), "valid")
    return "need_unknown" if None in needs else None


def exposure(log, ask):
    """Distinct records read and distinct actions written, of blocked fields, by whether it was refused."""
    counted = {}
    for event, part, target in attempts_of(log):
        blocked = blocked_rules(policy.policy_at(log, event["occurred_at"]), target.get("workflow"))
        if ask.covers(event["occurred_at"]) and any(is_blocked(rule, part, target) for rule in blocked):
            unit = record_of(target) if part.startswith("read") else target["action_id"]
            for scope in {("period", None), ("workflow", target.get("workflow"))} - {("workflow", None)}:
                counted.setdefault(scope, set()).add((part, unit))
    forbids = any(
        policy.rules_of(p, "blocked_field") for p in policy.policies_of(log)
        if p["effective_from"] < ask.end and p["effective_to"] > ask.start
    )
    counted.setdefault(("period", None), set())
    rows = []
    for scope, units in counted.items():
        for part in ("read_granted", "read_denied", "write_granted", "write_denied"):
            row = rate(scope, 0, 0, None, False, part)
            row.update(numerator=sum(1 for p, _ in units if p == part), denominator=None)
            rows.append({**row, "status": "ok" if forbids else "no_data"})
    return rows


def attempts_of(log):
    """(event, part, target) of reads and writes, granted or denied."""
    found = []
    for event in log.production:
        outcome = event.get("outcome")
        is_read = event["event_type"] == "data.accessed"
        part = "read_denied" if is_read and outcome == "denied" else "read_granted"
        targets = [{"workflow": event.get("workflow"), **entry} for entry in event.get("inputs", [])]
        for target in targets + ([event] if is_read else []):
            found.append((event, part, {name: value for name, value in target.items() if value is not None}))
    for action in log.actions:
        for event in action["events"]:
            is_execution = event["event_type"] == "action.executed"
            if is_execution and event["outcome"] in EXECUTED:
                found.append((event, "write_granted", action))
            elif is_execution and event["outcome"] == "denied" or is_refused(event):
                found.append((event, "write_denied", action))
    return found


def is_refused(event):
    return event["event_type"].startswith("action.") and event.get("policy_outcome") == "blocked"


def blocked_rules(rules, workflow):
    return [r for r in policy.rules_of(rules, "blocked_field") if r["workflow"] in (None, workflow)]


def is_blocked(rule, part, target):
    """Who reads a record without naming a field touches every field of it."""
    is_whole = part.startswith("read") and "field" not in target
    return all(
        rule[name] is None or rule[name] == target.get(name) or (name == "field" and is_whole)
        for name in ("system", "record_type", "field")
    )
