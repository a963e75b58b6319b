"""The tables of the governance review that say what became of things: batches, vendors, permissions, reviews.

In: a `Log` and the parameters. Out: for each table the rows that `queries/governance/NAME.sql` returns,
without the columns that are sentences.
"""

import json

import evidence_oracle as evidence
import policy_oracle as policy
import scopes
from controls_oracle import sample_reviews
from fold import (
    APPROVED, DAY_US, HOUR_US, decision, instant_of, last_of, order, record_of, verdict_of, was_executed,
)
from governance_oracle import DECIDED, cohort, owner_of
from metrics_oracle import kinds_by_record
from policy_oracle import policy_at, rules_of

MONTH_US = 365.25 / 12 * DAY_US
PLACE = ("workflow", "permission_area", "system", "record_type", "field", "operation")


# ---- records ----------------------------------------------------------------------------------


def raised_exceptions(log, ask):
    groups = {}
    for event in log.of_type("exception.raised"):
        if ask.covers(event["occurred_at"]):
            groups.setdefault((event.get("workflow"), event.get("reason_code")), []).append(event)
    return [
        {"workflow": workflow, "reason_code": reason, "events": len(own),
         "records": len({record_of(e) for e in own} - {None})}
        for (workflow, reason), own in groups.items()
    ]


def batch_records(log, ask):
    reviews = [r for r in log.reviews if r.get("batch_id") == ask.batch_id]
    first = scopes.firsts(reviews)
    own = [a for a in log.actions if any(scopes.belongs(a, r) for r in reviews)]
    flagged = {record_of(a) for a in own if a["has_proposal"]}
    corrected = {
        record_of(c) for c in log.corrections
        if record_of(c) in first and scopes.in_window(first[record_of(c)], c, ask)
    }
    parts = {
        "reviewed": set(first),
        "flagged": flagged,
        "not_flagged": set(first) - flagged,
        "executed": {record_of(a) for a in own if was_executed(a)},
        "corrected": corrected,
        "corrected_unflagged": corrected - flagged,
        "exceptions": {record for record, kinds in kinds_by_record(first, log, ask).items() if kinds},
    }
    return [{"part": part, "records": len(records)} for part, records in parts.items()]


def batch_packet(log, ask):
    rows = []
    for action in log.actions:
        if action.get("batch_id") != ask.batch_id:
            continue
        final, proposal = action["final"] or {}, action["proposal"]
        last = last_of(action["executions"]) or {}
        lacking = [item for item, is_held in evidence.items_of(action, log).items() if not is_held]
        if not was_executed(action):
            lacking = [item for item in lacking if item not in ("action taken", "old and new value")]
        rows.append({
            "record": "/".join(action[n] for n in ("system", "record_type", "record_id") if n in action),
            **{name: action.get(name) for name in (
                "action_id", "issue_type", "field", "confidence", "rule_version", "prompt_version", "model_version",
            )},
            **{name: last.get(name, proposal.get(name)) for name in ("old_value", "new_value")},
            "proposed_at": proposal["occurred_at"],
            "reason": proposal.get("reason_code"),
            "decision": final.get("decision"),
            "reviewer": final.get("reviewer"),
            "decided_at": final.get("occurred_at"),
            "decision_reason": final.get("reason_code"),
            "outcome": last.get("outcome"),
            "executed_at": action["executions"][0]["occurred_at"] if last else None,
            "rollback": action.get("rollback_ref"),
            "verdict": verdict_of(action, log, ask.maturity_us),
            "evidence_missing": ", ".join(lacking) or None,
        })
    return rows


# ---- data -------------------------------------------------------------------------------------


def processors(log, ask):
    groups = {}
    for event in log.production:
        if ask.covers(event["occurred_at"]) and ("processor" in event or "region" in event):
            key = event.get("processor"), event.get("region"), event.get("workflow")
            groups.setdefault(key, []).append(event)
    return [
        {"processor": processor, "region": region, "workflow": workflow, "events": len(own),
         "is_in_policy": all(is_known_processor(policy_at(log, e["occurred_at"]), processor, region) for e in own)}
        for (processor, region, workflow), own in groups.items()
    ]


def is_known_processor(rules, name, region):
    """A rule without a region allows every one, also one that nobody recorded."""
    regions = [r["words"] for r in rules_of(rules, "processor") if r["name"] == name]
    return None in regions or (region is not None and region in regions)


def retention(log, ask):
    times = [e["occurred_at"] for e in log.events if not e["event_type"].startswith("evidence.")]
    first, last = min(times, default=None), max(times, default=None)
    count = lambda kind: sum(1 for e in log.events if e["event_type"] == f"evidence.{kind}")
    return [{
        "earliest_at": first, "latest_at": last, "events": len(times),
        "retention_months": policy.setting(policy_at(log, ask.as_of), "retention_months", "number"),
        "months_held": (ask.as_of - first) / MONTH_US if times else None,
        "months_without_events": months_between(first, last) + 1 - len({month(at) for at in times}) if times else None,
        "retired": count("retired"), "erased": count("erased"), "holds": count("held") - count("released"),
    }]


def month(at_us):
    at = instant_of(at_us)
    return at.year, at.month


def months_between(first, last):
    (year, number), (last_year, last_number) = month(first), month(last)
    return (last_year - year) * 12 + last_number - number


def permissions_unused(log, ask):
    rules = policy_at(log, ask.end - 1)
    rows = []
    for kind in ("permission", "allowed_field"):
        for rule in rules_of(rules, kind):
            times = [
                at for at, is_read, thing in uses_of(log, ask.end)
                if policy.matches(rule, thing) and (not is_read or kind == "allowed_field" or rule["level"] == 1)
            ]
            if not times or max(times) < ask.start:
                place = {name: rule["area" if name == "permission_area" else name] for name in PLACE}
                rows.append({**place, "level": rule["level"], "last_used_at": max(times, default=None)})
    return rows


def uses_of(log, end):
    """(instant, is a read, what was used) of proposals, executions and reads before the end."""
    found = []
    for action in log.actions:
        found += [(e["occurred_at"], False, action) for e in [action["proposal"]] + action["executions"]]
    for event in log.production:
        if event["event_type"] == "data.accessed":
            found.append((event["occurred_at"], True, {"operation": "read", **event}))
        for entry in event.get("inputs", []):
            place = {name: event.get(name) for name in ("workflow", "permission_area")}
            found.append((event["occurred_at"], True, {**place, "operation": "read", **entry}))
    return [use for use in found if use[0] < end]


# ---- incidents --------------------------------------------------------------------------------


def incidents(log, ask):
    """A pause that names no workflow pauses every one; as everywhere only production counts."""
    told = {}
    for event in log.production:
        if event["event_type"].startswith("incident.") and "incident_id" in event:
            told.setdefault(event["incident_id"], []).append(event)
    rows = []
    for incident, own in told.items():
        known = {}
        for event in own:
            said = {**json.loads(event.get("extra", "{}")), "workflow": event.get("workflow")}
            known.update({name: value for name, value in said.items() if value is not None})
        openings = [e for e in own if e["event_type"] == "incident.opened"]
        closings = [e for e in own if e["event_type"] == "incident.closed"]
        opened_at = (openings or own)[0]["occurred_at"]
        closed_at = closings[-1]["occurred_at"] if closings else None
        if opened_at >= ask.end or (closings and closed_at < ask.start):
            continue
        paused, resumed = pause_of(log, incident, known.get("workflow"), opened_at, closed_at)
        is_contained = known.get("state") == "contained" or (paused is not None and resumed is None)
        state = "closed" if closings else "draft" if known.get("state") == "draft" else "contained"
        rows.append({
            "incident_id": incident, "opened_at": opened_at,
            **{name: known.get(name) for name in ("title", "class", "severity", "workflow")},
            "state": "open" if state == "contained" and not is_contained else state,
            "paused_at": paused, "resumed_at": resumed, "closed_at": closed_at,
            "hours_open": ((ask.as_of if closed_at is None else closed_at) - opened_at) / HOUR_US,
            "is_rule": "rule" in known,
        })
    return rows


def pause_of(log, incident, workflow, opened_at, closed_at):
    """(first pause until the closing, first resumption after it)"""

    def concerns(event):
        is_own = event.get("incident_id") == incident
        return is_own, event.get("workflow") in (None, workflow)

    pauses = [
        e for e in log.of_type("workflow.paused")
        if (concerns(e)[0] or (concerns(e)[1] and e["occurred_at"] >= opened_at))
        and (closed_at is None or e["occurred_at"] <= closed_at)
    ]
    if not pauses:
        return None, None
    later = [e for e in log.of_type("workflow.resumed") if order(e) > order(pauses[0]) and any(concerns(e))]
    return pauses[0]["occurred_at"], later[0]["occurred_at"] if later else None


# ---- reviews ----------------------------------------------------------------------------------


def reviews_due(log, ask):
    """Judged at the last instant of the period or as_of, whichever is earlier, as the controls are."""
    at = min(ask.end - 1, ask.as_of)
    rules = policy_at(log, at)
    return owner_reviews(log, rules, at) + level_reviews(log, rules, at)


def owner_reviews(log, rules, at):
    begun = [p["effective_from"] for p in policy.policies_of(log) if not p["is_default"]]
    places = {}
    for action in log.actions:
        if action["proposal"]["occurred_at"] <= at:
            places.setdefault(place_of(action), []).append(action["proposal"]["occurred_at"])
    rows = []
    for (workflow, area), times in places.items():
        owners = [r for r in rules_of(rules, "owner") if r["days"] is not None]
        best = policy.best_match(owners, {"workflow": workflow, "permission_area": area})
        if best:
            done = [
                e["occurred_at"] for e in log.of_type("review.decided")
                if e["occurred_at"] <= at and e.get("workflow") == workflow
                and e.get("permission_area") in (None, area)
            ]
            since = max(done) if done else max(min(times), min(begun))
            rows.append(due_row("owner", workflow, area, rules, best["days"], done, since, at))
    return rows


def level_reviews(log, rules, at):
    """Of the executions at a level with a cadence in the policy of today."""
    cadence = {r["level"]: r["days"] for r in rules_of(rules, "review_level")}
    places = {}
    for action in log.actions:
        for event in policy.executions_of(action):
            level = policy.level_of(policy_at(log, event["occurred_at"]), action)
            if event["occurred_at"] <= at and level in cadence:
                places.setdefault((*place_of(action), cadence[level]), []).append(event["occurred_at"])
    rows = []
    for (workflow, area, days), times in places.items():
        done = [
            event["occurred_at"] for event, of_workflow, of_area in sample_reviews(log)
            if event["occurred_at"] <= at
            and of_workflow in (None, workflow) and (area is None or of_area in (None, area))
            and (of_workflow, of_area) != (None, None)
        ]
        later = [t for t in times if not done or t > max(done)]
        rows.append(due_row("level", workflow, area, rules, days, done, min(later, default=None), at))
    return rows


def place_of(action):
    return action.get("workflow"), action.get("permission_area")


def due_row(kind, workflow, area, rules, days, done, since, at):
    due = None if since is None else since + days * DAY_US
    owner = owner_of(rules, "business", workflow, area) or owner_of(rules, "technical", workflow, area)
    is_late = due is not None and due <= at
    return {
        "workflow": workflow, "area": area, "kind": kind, "owner": owner, "cadence_days": days,
        "last_review_at": max(done, default=None), "due_at": due,
        "state": "never" if not done else "overdue" if is_late else "done",
    }


# ---- rollout ----------------------------------------------------------------------------------


def rollout(log, ask):
    rules = policy_at(log, ask.end - 1)
    own = {r["workflow"]: [] for r in rules_of(rules, "workflow")}
    for action in cohort(log, ask):
        if "workflow" in action:
            own.setdefault(action["workflow"], []).append(action)
    return [rollout_of(workflow, actions, rules, log, ask) for workflow, actions in own.items()]


def rollout_of(workflow, actions, rules, log, ask):
    entry = next((r for r in rules_of(rules, "workflow") if r["workflow"] == workflow), None)
    areas = {a.get("permission_area") for a in actions} | ({entry["area"]} if entry else set())

    def names(*kinds):
        """Of the rules that may concern the workflow; an area that nobody named may be any."""
        return [
            rule["name"] for kind in kinds for rule in rules_of(rules, kind)
            if rule["workflow"] in (None, workflow) and (rule["area"] is None or areas & {None, rule["area"]})
        ]

    writes = [a for a in actions if was_executed(a) and evidence.is_reversible_write(a)]
    row = {
        "workflow": workflow, "stage": entry["level"] if entry else None,
        "has_owners": {"business", "technical"} <= set(names("owner")),
        "has_levels": bool(names("permission")),
        "has_blocked_actions": bool(names("prohibited", "blocked_field")),
        "has_sample_notes": "sample_notes" in names("artefact"),
        "has_failure_patterns": "failure_patterns" in names("artefact"),
        "has_audit_log": bool(actions),
        "has_rollback_path": "rollback_path" in names("artefact")
        or bool(writes) and all(evidence.has_way_back(a) for a in writes),
        "has_threshold": bool(names("threshold")),
        "has_approval_matrix": bool(names("approver")),
        "has_incident_rule": bool(names("incident_rule")),
        "has_roi_decision": "roi_decision" in names("artefact"),
        **numbers_of(actions, log, ask),
    }
    return {**row, "may_promote": may_promote(row, actions, rules, log)}


def numbers_of(actions, log, ask):
    decided = [decision(a, "final") for a in actions if decision(a, "final") in DECIDED]
    verdicts = [verdict_of(a, log, ask.maturity_us) for a in actions]
    judged = [v for v in verdicts if v in ("true_positive", "false_positive")]
    covered = [evidence.coverage_of(a, log) for a in actions]
    needed = [status for status in covered if status not in (None, "need_unknown")]
    return {
        "decisions": len(decided),
        "approval_rate": share(decided, APPROVED),
        "false_discovery_rate": share(judged, ("false_positive",)),
        "approval_coverage": share(needed, ("valid",)),
    }


def share(values, hits):
    return sum(1 for value in values if value in hits) / len(values) if values else None


def may_promote(row, actions, rules, log):
    asked = {r["name"]: r["number"] for r in rules_of(rules, "setting") if r["name"].startswith("promotion_")}
    if row["stage"] is None or row["stage"] >= 5 or not asked:
        return False
    is_need_unknown = any(
        policy.needs_approval(policy_at(log, e["occurred_at"]), a) is None
        for a in actions for e in policy.executions_of(a)
    )
    coverage = 1.0 if row["approval_coverage"] is None else row["approval_coverage"]
    is_met = {
        "promotion_min_decisions": lambda n: row["decisions"] >= n,
        "promotion_min_approval_rate": lambda n: row["approval_rate"] is not None and row["approval_rate"] >= n,
        "promotion_max_false_discovery_rate":
            lambda n: row["false_discovery_rate"] is not None and row["false_discovery_rate"] <= n,
        "promotion_min_approval_coverage": lambda n: not is_need_unknown and coverage >= n,
    }
    return all(is_met[name](number) for name, number in asked.items())


TABLES = (
    raised_exceptions, batch_records, processors, retention, incidents, permissions_unused, reviews_due, rollout,
    batch_packet,
)
