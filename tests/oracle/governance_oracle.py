"""The countable tables of the governance review as loops over events.

In: a `Log` and the parameters. Out: for each table the rows that `queries/governance/NAME.sql` returns,
without the columns that are sentences.
"""

import dataclasses
import itertools

import evidence_oracle as evidence
import metrics_oracle as metrics
import policy_oracle as policy
import scopes
import statistics_oracle as statistics
from fold import (
    APPROVED, DAY_US, SECOND_US, decision, record_of, was_executed, was_rolled_back,
)
from policy_oracle import level_of, policy_at, rules_of

CELL = ("workflow", "system", "record_type", "field")
DECIDED = APPROVED + ("rejected",)
VERSIONS = {"prompt": "prompt_version", "rule": "rule_version", "model": "model_version", "policy": "policy_version"}


def cohort(log, ask):
    return [a for a in log.actions if ask.covers(a["proposal"]["occurred_at"])]


# ---- counts -----------------------------------------------------------------------------------


def month_counts(log, ask):
    inside = cohort(log, ask)
    first = scopes.firsts([r for r in log.reviews if ask.covers(r["occurred_at"])])
    own_reviews = [r for r in log.reviews if ask.covers(r["occurred_at"])]
    flags = [a for a in log.actions if a["has_proposal"] and any(scopes.belongs(a, r) for r in own_reviews)]
    corrected = [
        record_of(c) for c in log.corrections
        if record_of(c) in first and scopes.in_window(first[record_of(c)], c, ask)
    ]
    raised = [e for e in log.of_type("exception.raised") if ask.covers(e["occurred_at"])]
    of = lambda chosen: [a for a in inside if chosen(a)]
    rows = [
        counted("reviewed", first, None),
        counted("flagged", [record_of(a) for a in flags], flags),
        actions_of_part("approved", of(lambda a: decision(a, "final") in APPROVED)),
        actions_of_part("rejected", of(lambda a: decision(a, "final") == "rejected")),
        actions_of_part("escalated", of(lambda a: decision(a, "final") == "escalated")),
        counted("corrected", corrected, None),
        actions_of_part("executed", of(was_executed)),
        actions_of_part("rolled_back", of(was_rolled_back)),
        counted("exceptions_raised", [record_of(e) for e in raised], {e.get("action_id") for e in raised} - {None}),
    ]
    return rows


def counted(part, records, actions):
    records = {record for record in records if record is not None}
    return {"part": part, "records": len(records), "actions": None if actions is None else len(actions)}


def actions_of_part(part, actions):
    return counted(part, [record_of(a) for a in actions], actions)


def rejection_reasons(log, ask):
    rejected = [a for a in cohort(log, ask) if decision(a, "final") == "rejected"]
    groups = {}
    for action in rejected:
        key = action.get("issue_type"), action["final"].get("reason_code"), action.get("rule_version")
        groups[key] = groups.get(key, 0) + 1
    return [
        {"issue_type": issue, "reason_code": reason, "rule_version": rule, "actions": count,
         "share": count / len(rejected)}
        for (issue, reason, rule), count in groups.items()
    ]


def versions(log, ask):
    rows = {}
    for event in log.production:
        for kind, column in VERSIONS.items():
            if column in event and event["event_type"] != "config.changed":
                key = event.get("workflow"), kind, event[column]
                rows.setdefault(key, []).append(event)
    found = []
    for (workflow, kind, version), events in rows.items():
        inside = [e for e in events if ask.covers(e["occurred_at"])]
        if inside:
            found.append({
                "workflow": workflow, "kind": kind, "version": version, "first_at": events[0]["occurred_at"],
                "last_at": inside[-1]["occurred_at"],
                "actions": len({e["action_id"] for e in inside if "action_id" in e}),
            })
    return found


def inventory(log, ask):
    """Levels are those of the policy at the action's proposal; of an access without action, as recorded."""
    actions = {a["action_id"]: a for a in log.actions}
    groups = {}
    for event in log.production:
        kinds = ("action.proposed", "action.evaluated", "action.executed", "data.accessed")
        if event["event_type"] in kinds and ask.covers(event["occurred_at"]):
            if event.get("actor_kind") not in ("human", "system"):
                thing = actions.get(event.get("action_id"), event)
                level = event.get("permission_level")
                if thing is not event:
                    level = level_of(policy_at(log, thing["proposal"]["occurred_at"]), thing) or level
                key = thing.get("workflow"), event.get("actor_id"), thing.get("permission_area"), level
                groups.setdefault(key, []).append((event, thing))
    rows = []
    for (workflow, agent, area, level), own in groups.items():
        events = [event for event, _ in own]
        rules = policy_at(log, events[-1]["occurred_at"])
        rows.append({
            "workflow": workflow, "agent": agent, "permission_area": area, "level": level,
            "systems": ", ".join(sorted({t["system"] for _, t in own if "system" in t})) or None,
            "actions": len({e["action_id"] for e in events if "action_id" in e and e["event_type"] != "data.accessed"}),
            "executed": len({
                e["action_id"] for e, t in own
                if t is not e and e["event_type"] != "data.accessed" and was_executed(t)
            }),
            "first_at": events[0]["occurred_at"], "last_at": events[-1]["occurred_at"],
            "is_in_policy": is_admitted(rules, workflow, agent),
            "stage": next((r["level"] for r in rules_of(rules, "workflow") if r["name"] == workflow), None),
            "business_owner": owner_of(rules, "business", workflow, area),
            "technical_owner": owner_of(rules, "technical", workflow, area),
        })
    return rows


def is_admitted(rules, workflow, agent):
    """A workflow of the policy without agents admits every one."""
    admitted = [r["principal"] for r in rules_of(rules, "agent") if r["workflow"] == workflow]
    is_known = any(r["name"] == workflow for r in rules_of(rules, "workflow"))
    return is_known and (not admitted or "*" in admitted or agent in admitted)


def owner_of(rules, side, workflow, area):
    owners = [r for r in rules_of(rules, "owner") if r["name"] == side]
    rule = policy.best_match(owners, {"workflow": workflow, "permission_area": area})
    return rule["principal"] if rule else None


# ---- data -------------------------------------------------------------------------------------


def data_access(log, ask):
    """Reads of distinct records, writes of distinct actions; an event says itself what it wrote, else its action."""
    groups = {}
    for event, part, target in evidence.attempts_of(log):
        if ask.covers(event["occurred_at"]):
            target = {**target, **{n: event[n] for n in CELL if part.startswith("write") and n in event}}
            groups.setdefault(tuple(target.get(name) for name in CELL), []).append((event, part, target))
    rows = []
    for key, own in groups.items():
        row = dict(zip(CELL, key))
        for name, part, unit in (
            ("reads", "read_granted", "record_id"), ("reads_denied", "read_denied", "record_id"),
            ("writes", "write_granted", "action_id"), ("writes_denied", "write_denied", "action_id"),
        ):
            row[name] = len({target.get(unit) for _, found, target in own if found == part})
        judged = [(policy_at(log, event["occurred_at"]), target) for event, _, target in own]
        row["is_blocked"] = any(is_blocked(rules, target) for rules, target in judged)
        row["is_allowed"] = all(not is_blocked(rules, t) and is_listed(rules, t) for rules, t in judged)
        rows.append(row)
    return rows


def is_blocked(rules, target):
    """As a cell: without a field every blocked field of the record type is meant."""
    rules = evidence.blocked_rules(rules, target.get("workflow"))
    return any(evidence.is_blocked(rule, "read", target) for rule in rules)


def is_listed(rules, target):
    """Where the policy lists fields for the workflow, this one is among them."""
    listed = [r for r in rules_of(rules, "allowed_field") if r["workflow"] in (None, target.get("workflow"))]
    return not listed or any(
        all(r[name] is None or r[name] == target.get(name) for name in ("system", "record_type", "field"))
        for r in listed
    )


# ---- reviewers --------------------------------------------------------------------------------


def reviewer_patterns(log, ask):
    inside = cohort(log, ask)
    judged = [a for a in inside if decision(a, "final") in DECIDED and "reviewer" in a["final"]]
    names = sorted({a["final"]["reviewer"] for a in judged})
    rows = [pattern_of(name, judged, inside, ask) for name in names]
    for row, adjusted in zip(rows, statistics.holm([row["p_high"] for row in rows])):
        row["p_high_holm"] = adjusted
    return rows


def pattern_of(name, judged, inside, ask):
    own = [a for a in judged if a["final"]["reviewer"] == name]
    others = [a for a in judged if a["final"]["reviewer"] != name]
    decided, approved = len(own), sum(1 for a in own if decision(a, "final") in APPROVED)
    peer = peer_rate(own, others) if own and others else None
    opened = [a["first"] for a in inside if scopes.first_reviewer(a) == name and "review_opened_at" in a["first"]]
    seconds = [(e["occurred_at"] - e["review_opened_at"]) for e in opened]
    approvals = [e for e in opened if e["decision"] in APPROVED]
    fast = [e for e in approvals if e["occurred_at"] - e["review_opened_at"] < ask.fast_seconds * SECOND_US]
    median = metrics.nearest_rank(seconds, 1, 2)
    return {
        "reviewer": name, "decided": decided, "approved": approved,
        "value": approved / decided if decided else None,
        "peer_rate": peer,
        "funnel_low": None if peer is None else statistics.binomial_quantile(0.025, decided, peer),
        "funnel_high": None if peer is None else statistics.binomial_quantile(0.975, decided, peer),
        "p_high": None if peer is None else statistics.binomial_tail_high(approved, decided, peer),
        "p_low": None if peer is None else statistics.binomial_tail_low(approved, decided, peer),
        "fast_share": len(fast) / len(approvals) if approvals else None,
        "median_seconds": None if median is None else median / SECOND_US,
    }


def peer_rate(own, others):
    """What the others approve of the same issue types, each with half an approval in one decision added."""

    def smoothed(actions):
        return (sum(1 for a in actions if decision(a, "final") in APPROVED) + 0.5) / (len(actions) + 1)

    total = 0.0
    for action in own:
        alike = [a for a in others if a.get("issue_type") == action.get("issue_type")]
        total += smoothed(alike or others)
    return total / len(own)


def reviewer_agreement(log, ask):
    pairs = {}
    for action in cohort(log, ask):
        last = {}
        for event in action["decisions"]:
            if event["decision"] in DECIDED and "reviewer" in event:
                last[event["reviewer"]] = event["decision"]
        for one, two in itertools.combinations(sorted(last), 2):
            pairs.setdefault((one, two), []).append((last[one], last[two]))
    rows = []
    for (one, two), marks in pairs.items():
        a, b = [m[0] for m in marks], [m[1] for m in marks]
        rows.append({
            "first_reviewer": one, "second_reviewer": two, "actions": len(marks),
            "observed": sum(1 for x, y in marks if x == y) / len(marks),
            "kappa": statistics.cohen_kappa(a, b), "ac1": statistics.gwet_ac1(a, b),
        })
    return rows


# ---- changes ----------------------------------------------------------------------------------


def effective_at(event, log):
    """A policy that was ever in force changes something from its effective_from on."""
    own = [p["effective_from"] for p in policy.policies_of(log) if p["event"] is event]
    return own[0] if own else event["occurred_at"]


def changes(log, ask):
    rows = []
    for event in log.of_type("config.changed"):
        row = {"seq": event["seq"], "occurred_at": event["occurred_at"], "effective_at": effective_at(event, log)}
        if ask.covers(row["occurred_at"]) or ask.covers(row["effective_at"]):
            rows.append({**row, "applied_by": event.get("actor_id"), "workflow": event.get("workflow")})
    return rows


def change_effects(log, ask):
    changed = [(e, effective_at(e, log)) for e in log.of_type("config.changed")]
    rows = []
    for event, at in changed:
        if not ask.covers(at):
            continue
        width = ask.window_days * DAY_US
        others = sum(
            1 for e, other_at in changed if e is not event and at - width <= other_at < at + width
            and (e.get("workflow") == event.get("workflow") or None in (e.get("workflow"), event.get("workflow")))
        )
        for metric in ("routing_exception_rate", "approval_rate", "rejection_rate", "false_discovery_rate",
                       "execution_failure_rate"):
            before = window_of(metric, log, ask, at - width, at, event.get("workflow"))
            after = window_of(metric, log, ask, at, at + width, event.get("workflow"))
            counts = after["numerator"], after["denominator"], before["numerator"], before["denominator"]
            low, high = statistics.newcombe(*counts)
            both = after["denominator"] and before["denominator"]
            matures = metric in ("routing_exception_rate", "false_discovery_rate")
            is_young = at + width + (ask.maturity_us if matures else 0) > ask.as_of
            rows.append({
                "seq": event["seq"], "changed_at": at, "metric": metric, "workflow": event.get("workflow"),
                **{f"before_{name}": before[name] for name in ("numerator", "denominator", "value")},
                **{f"after_{name}": after[name] for name in ("numerator", "denominator", "value")},
                "difference": after["value"] - before["value"] if both else None,
                "difference_low": low, "difference_high": high,
                "p_value": statistics.fisher_two_sided(*counts), "other_changes": others,
                "status": scopes.status_of(min(counts[1], counts[3]), is_young),
            })
    return rows


def window_of(metric, log, ask, start, end, workflow):
    question = dataclasses.replace(ask, start=start, end=end)
    scope = ("period", None) if workflow is None else ("workflow", workflow)
    found = [r for r in getattr(metrics, metric)(log, question) if (r["grain"], r["key"]) == scope]
    return found[0] if found else {"numerator": 0, "denominator": 0, "value": None}


TABLES = (
    month_counts, rejection_reasons, reviewer_patterns, reviewer_agreement, data_access, changes, change_effects,
    versions, inventory,
)
