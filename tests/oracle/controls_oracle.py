"""The 26 controls as loops: for each item of a control's population ok, violation or untestable.

In: a `Log` and the parameters. Out: rows with the columns that say which item it is; the sentences of the
column `detail` are the SQL's own. An execution here is an `action.executed` with outcome succeeded, partial
or unknown.
"""

import policy_oracle as policy
from fold import APPROVED, DAY_US, EXECUTED, HOUR_US, order
from evidence_oracle import items_of, reason_is_known
from policy_oracle import executions_of, last_decision_before, policy_at, rules_of

FIRST_MONDAY_US = 345_600_000_000
TARGET = ("workflow", "system", "record_type", "record_id", "field")


# ---- rows and populations ---------------------------------------------------------------------


def item(result, event, thing):
    """The row of one event judged, on the target of `thing`."""
    row = {"result": result, "action_id": thing.get("action_id"), "seq": event["seq"]}
    row["occurred_at"] = event["occurred_at"]
    return {**row, **{name: thing.get(name) for name in TARGET}}


def group(result, event, thing):
    """The row of a group, named by one of its events."""
    row = item(result, event, thing)
    return {name: row[name] for name in ("result", "action_id", "seq", "occurred_at", "workflow")}


def verdict(is_bad):
    """None is untestable."""
    return "untestable" if is_bad is None else "violation" if is_bad else "ok"


def executions(log, ask):
    """(action, execution) in the period."""
    return [(a, e) for a in log.actions for e in executions_of(a) if ask.covers(e["occurred_at"])]


def each_execution(log, ask, judge):
    """`judge(action, execution, policy in force)` gives a result, or None for what is not in the population."""
    rows = []
    for action, event in executions(log, ask):
        result = judge(action, event, policy_at(log, event["occurred_at"]))
        if result:
            rows.append(item(result, event, action))
    return rows


def approving_decisions(log, ask):
    return [
        (a, d) for a in log.actions for d in a["decisions"]
        if d["decision"] in APPROVED and ask.covers(d["occurred_at"])
    ]


def is_late(decided, event):
    """Recorded after the execution, so that only the source's clock puts it before."""
    return decided["seq"] > event["seq"]


def approval_before(action, event):
    """The last decision before, if it approves."""
    decided = last_decision_before(event, action)
    return decided if decided and decided["decision"] in APPROVED else None


# ---- approval ---------------------------------------------------------------------------------


def approval_missing(log, ask):
    def judge(action, event, rules):
        needed = policy.needs_approval(rules, action)
        approved = approval_before(action, event)
        if needed is False:
            return None
        if approved and not is_late(approved, event):
            return "ok"
        return "untestable" if needed is None or approved else "violation"

    return each_execution(log, ask, judge)


def executed_without_valid_approval(log, ask):
    def judge(action, event, rules):
        needed = policy.is_level_in_need(rules, action)
        if needed is False:
            return None
        status = policy.approval_status(event, action, log)
        if status == "valid":
            return "ok"
        return "untestable" if status == "unprovable" or needed is None else "violation"

    return each_execution(log, ask, judge)


def decided_after_execution(log, ask):
    def judge(action, event, rules):
        needed = policy.needs_approval(rules, action)
        decisions = [d for d in action["decisions"] if d["decision"] != "escalated"]
        if needed is False or not decisions:
            return None
        before = [d for d in decisions if order(d) <= order(event)]
        if any(not is_late(d, event) for d in before):
            return "ok"
        return "untestable" if before or needed is None else "violation"

    return each_execution(log, ask, judge)


def self_approval(log, ask):
    return [item(verdict(policy.is_self_decided(d, a)), d, a) for a, d in approving_decisions(log, ask)]


def reviewer_not_authorised(log, ask):
    rows = []
    for action, event in approving_decisions(log, ask):
        says_who = rules_of(policy_at(log, event["occurred_at"]), "approver")
        if says_who or policy.is_by_machine(event):
            entitled = policy.is_authorised(event, action, log)
            rows.append(item(verdict(None if entitled is None else not entitled), event, action))
    return rows


def patch_differs_from_approval(log, ask):
    def judge(action, event, rules):
        approved = approval_before(action, event)
        if not approved:
            return None
        if "payload_hash" not in approved or "payload_hash" not in event:
            return "untestable"
        return verdict(approved["payload_hash"] != event["payload_hash"])

    return each_execution(log, ask, judge)


def approval_reused(log, ask):
    def judge(action, event, rules):
        return verdict(policy.use_number(event, action) > 1) if approval_before(action, event) else None

    return each_execution(log, ask, judge)


def expired_approval_used(log, ask):
    def judge(action, event, rules):
        decided = last_decision_before(event, action)
        if decided and decided["decision"] == "expired":
            return "violation"
        hours = policy.setting(rules, "approval_valid_hours", "hours")
        if hours is None or not approval_before(action, event):
            return None
        return verdict(event["occurred_at"] - decided["occurred_at"] > hours * HOUR_US)

    return each_execution(log, ask, judge)


def rejected_but_executed(log, ask):
    def judge(action, event, rules):
        decided = last_decision_before(event, action)
        said = [e for e in action["events"] if "policy_outcome" in e and order(e) <= order(event)]
        if said and said[-1]["policy_outcome"] == "blocked":
            return "violation"
        if decided and decided["decision"] in ("rejected", "withdrawn"):
            return "untestable" if is_late(decided, event) else "violation"
        return "ok" if decided or said else "untestable"

    return each_execution(log, ask, judge)


def below_threshold_not_reviewed(log, ask):
    def judge(action, event, rules):
        rule = policy.best_match(rules_of(rules, "threshold"), action)
        threshold = rule["number"] if rule else action.get("threshold")
        if threshold is None:
            return None
        if action.get("confidence", 0) >= threshold and "confidence" in action:
            return "ok"
        before = [d for d in action["decisions"] if order(d) <= order(event) and not policy.is_by_machine(d)]
        if any("reviewer" in d and not is_late(d, event) for d in before):
            return "ok"
        return "untestable" if before or "confidence" not in action else "violation"

    return each_execution(log, ask, judge)


# ---- evidence ---------------------------------------------------------------------------------


def level_5_incomplete_evidence(log, ask):
    def judge(action, event, rules):
        level = policy.level_of(rules, action)
        is_complete = all(items_of(action, log).values())
        if level == 5:
            return verdict(not is_complete)
        return "untestable" if level is None and not is_complete else None

    return each_execution(log, ask, judge)


def evidence_missing_and_executed(log, ask):
    def judge(action, event, rules):
        has_inputs = "inputs" in action or action.get("operation") == "create"
        return verdict(not (has_inputs and reason_is_known(action)))

    return each_execution(log, ask, judge)


def executed_without_proposal(log, ask):
    def judge(action, event, rules):
        def proposes(e):
            is_finished_row = any(name in e for name in ("reason_code", "confidence", "decision"))
            return e["event_type"] == "action.proposed" or (e["event_type"] == "action.executed" and is_finished_row)

        return verdict(not any(proposes(e) and order(e) <= order(event) for e in action["events"]))

    return each_execution(log, ask, judge)


def read_without_citation(log, ask):
    reads = [(a["proposal"], a, "inputs" in a) for a in log.actions]
    for event in log.of_type("data.accessed"):
        names_record = all(name in event for name in ("system", "record_type", "record_id"))
        if event.get("outcome") != "denied":
            reads.append((event, event, "inputs" in event or names_record))
    rows = []
    for event, thing, is_cited in reads:
        level = policy.level_of(policy_at(log, event["occurred_at"]), thing)
        if not ask.covers(event["occurred_at"]) or level not in (1, None) or (level is None and is_cited):
            continue
        rows.append(item("untestable" if level is None else verdict(not is_cited), event, thing))
    return rows


# ---- what happened twice, or past the log -----------------------------------------------------


def duplicate_side_effect(log, ask):
    rows = []
    for action in log.actions:
        effects = 0
        for event in action["events"]:
            if event["event_type"] == "action.rolled_back" and event.get("outcome") == "succeeded":
                effects = 0
            if event["event_type"] == "action.executed" and event.get("outcome") == "succeeded":
                effects += 1
                if ask.covers(event["occurred_at"]):
                    rows.append(item(verdict(effects > 1), event, action))
    return rows


def source_seq_gaps(log, ask):
    rows = []
    sent = [e for e in log.events if not e["event_type"].startswith("evidence.") and e["source"] != "probity"]
    for source in sorted({e["source"] for e in sent}):
        own = [e for e in sent if e["source"] == source]
        numbered = sorted((e for e in own if "source_seq" in e), key=lambda e: (e["source_seq"], order(e)))
        if not numbered:
            rows.append(group("untestable", own[0], own[0]))
        for before, event in zip([None] + numbered, numbered):
            if before is None or event["source_seq"] > before["source_seq"] + 1:
                rows.append(group(verdict(before is not None), event, event))
    return [row for row in rows if ask.covers(row["occurred_at"])]


# ---- the policy's prohibitions ----------------------------------------------------------------


def prohibited_action_executed(log, ask):
    def judge(action, event, rules):
        prohibited = rules_of(rules, "prohibited")
        if not prohibited:
            return None
        if any(policy.matches(rule, action) for rule in prohibited):
            return "violation"
        return "untestable" if any(may_match(rule, action) for rule in prohibited) else "ok"

    return each_execution(log, ask, judge)


def may_match(rule, action):
    """It would, if what is missing were what the rule names."""
    guess = dict(action)
    for name, column in (("area", "permission_area"), ("system", "system"), ("record_type", "record_type"),
                         ("operation", "operation")):
        guess.setdefault(column, rule[name])
    return policy.matches(rule, guess)


def touches(log):
    """(event, access, target) of every read and write that took place."""
    seen = []
    for event in log.production:
        if event["event_type"] == "data.accessed":
            if event.get("outcome") == "denied":
                continue
            seen.append((event, "read", event))
        for entry in event.get("inputs", []):
            target = {"workflow": event.get("workflow"), **entry}
            seen.append((event, "read", {name: value for name, value in target.items() if value is not None}))
    for action in log.actions:
        seen += [(event, "write", action) for event in executions_of(action)]
    return seen


def blocked_rules(rules, workflow):
    return [r for r in rules_of(rules, "blocked_field") if r["workflow"] in (None, workflow)]


def is_blocked(rule, access, target):
    """None where something that the rule names is not known; a read of no field is of every field."""
    answers = set()
    for name in ("system", "record_type", "field"):
        if rule[name] is None or (name == "field" and access == "read" and "field" not in target):
            continue
        answers.add(rule[name] == target[name] if name in target else None)
    return False if False in answers else None if None in answers else True


def blocked_field_touched(log, ask):
    rows = {}
    for event, access, target in touches(log):
        blocked = blocked_rules(policy_at(log, event["occurred_at"]), target.get("workflow"))
        if not blocked or not ask.covers(event["occurred_at"]):
            continue
        answers = {is_blocked(rule, access, target) for rule in blocked}
        is_bad = True if True in answers else None if None in answers else False
        row = item(verdict(is_bad), event, {**target, "action_id": event.get("action_id")})
        rows[(access, *row.values())] = row
    return list(rows.values())


# ---- owners, workflows, runs ------------------------------------------------------------------


def area_without_owner(log, ask):
    groups = {}
    for action in sorted(log.actions, key=lambda a: order(a["proposal"])):
        event = action["proposal"]
        if ask.covers(event["occurred_at"]):
            rules = policy_at(log, event["occurred_at"])
            key = rules["effective_from"], action.get("workflow"), action.get("permission_area")
            groups.setdefault(key, (rules, event, action))
    rows = []
    for rules, event, action in groups.values():
        owners = {r["name"] for r in rules_of(rules, "owner") if policy.matches(r, only_place(action))}
        is_bad = owners != {"business", "technical"}
        if is_bad and (rules["is_default"] or "permission_area" not in action):
            is_bad = None
        rows.append(item(verdict(is_bad), event, action))
    return rows


def only_place(action):
    return {name: action[name] for name in ("workflow", "permission_area") if name in action}


def not_in_policy(log, ask):
    groups = {}
    for event in log.production:
        is_work = event["event_type"] in ("action.proposed", "action.executed", "data.accessed")
        if is_work and ask.covers(event["occurred_at"]) and event.get("actor_kind") not in ("human", "system"):
            rules = policy_at(log, event["occurred_at"])
            key = rules["effective_from"], event.get("workflow"), event.get("actor_id")
            groups.setdefault(key, (rules, event))
    return [item(verdict(is_unknown(rules, event)), event, event) for rules, event in groups.values()]


def is_unknown(rules, event):
    workflow, agent = event.get("workflow"), event.get("actor_id")
    if rules["is_default"] or workflow is None:
        return None
    if not any(r["name"] == workflow for r in rules_of(rules, "workflow")):
        return True
    admitted = [r["principal"] for r in rules_of(rules, "agent") if r["workflow"] == workflow]
    if not admitted or "*" in admitted:
        return False
    return None if agent is None else agent not in admitted


def bulk_over_limit(log, ask):
    runs = {}
    for action in log.actions:
        for event in executions_of(action):
            key = action.get("workflow"), action.get("run_id")
            limit = policy.setting(policy_at(log, event["occurred_at"]), "bulk_limit", "number")
            if limit is not None:
                runs.setdefault(key, []).append((event, action, limit))
    rows = []
    for (_, run), own in runs.items():
        event, action, _ = max(own, key=lambda entry: order(entry[0]))
        names = ("system", "record_type", "record_id")
        records = {tuple(a.get(n) for n in names) if "record_id" in a else a["action_id"] for _, a, _ in own}
        is_over = len(records) > min(limit for _, _, limit in own)
        if ask.covers(event["occurred_at"]):
            rows.append(group(verdict(None if is_over and run is None else is_over), event, action))
    return rows


def config_changed_without_person(log, ask):
    rows = []
    for event in log.of_type("config.changed"):
        kind = event.get("actor_kind")
        is_bad = True if "actor_id" not in event else None if kind is None else kind != "human"
        if ask.covers(event["occurred_at"]):
            rows.append(item(verdict(is_bad), event, event))
    return rows


def write_while_paused(log, ask):
    def judge(action, event, rules):
        before = [
            e for e in log.of_type("workflow.paused") + log.of_type("workflow.resumed")
            if order(e) < order(event) and e.get("workflow") in (None, action.get("workflow"))
        ]
        if not any(e["event_type"] == "workflow.paused" for e in before):
            return None
        return verdict(max(before, key=order)["event_type"] == "workflow.paused")

    return each_execution(log, ask, judge)


# ---- samples and reviews ----------------------------------------------------------------------


def sample_reviews(log):
    """(event, workflow, area) of every mark, decision of a review, and label by a person."""
    found, actions = [], {a["action_id"]: a for a in log.actions}
    for event in log.production:
        kind = event["event_type"]
        if kind in ("review.marked", "review.decided") or (
            kind == "action.labeled" and event.get("actor_kind") == "human"
        ):
            known = {**actions.get(event.get("action_id"), {}), **event}
            found.append((event, known.get("workflow"), known.get("permission_area")))
    return found


def level_3_without_sample_review(log, ask):
    groups = {}
    for action in log.actions:
        for event in executions_of(action):
            rules = policy_at(log, event["occurred_at"])
            cadence = next((r["days"] for r in rules_of(rules, "review_level") if r["level"] == 3), None)
            level = policy.level_of(rules, action)
            if cadence and level in (3, None):
                width = cadence * DAY_US
                number = (event["occurred_at"] - FIRST_MONDAY_US) // width
                key = action.get("workflow"), action.get("permission_area"), width, number
                groups.setdefault(key, []).append((level is None, order(event), event, action))
    rows = []
    for (workflow, area, width, number), own in groups.items():
        is_level_unknown, _, event, action = min(own, key=lambda entry: entry[:2])
        due = FIRST_MONDAY_US + (number + 2) * width
        if due > ask.as_of or not ask.covers(event["occurred_at"]):
            continue
        was_seen = any(
            order(event) < order(review) and review["occurred_at"] < due
            and of_workflow in (None, workflow) and (area is None or of_area in (None, area))
            and (of_workflow, of_area) != (None, None)
            for review, of_workflow, of_area in sample_reviews(log)
        )
        if not (is_level_unknown and was_seen):
            rows.append(group(verdict(None if is_level_unknown else not was_seen), event, action))
    return rows


def review_overdue(log, ask):
    """Judged once, at the end of the period or as_of, whichever is earlier."""
    at = min(ask.end - 1, ask.as_of)
    rules = policy_at(log, at)
    begun = [p["effective_from"] for p in policy.policies_of(log) if not p["is_default"]]
    places = {}
    for action in log.actions:
        place = action.get("workflow"), action.get("permission_area")
        first = action["proposal"]["occurred_at"]
        if first <= at:
            places[place] = min(first, places.get(place, first))
    rows = []
    for (workflow, area), first in places.items():
        owner = owner_with_cadence(rules, workflow, area)
        if not owner or not ask.start <= at:
            continue
        done = [
            e["occurred_at"] for e in log.of_type("review.decided")
            if e["occurred_at"] <= at and e.get("workflow") == workflow and e.get("permission_area") in (None, area)
        ]
        due = max(done or [max(first, min(begun))]) + owner["days"] * DAY_US
        row = {"result": verdict(due <= at), "occurred_at": due, "workflow": workflow}
        rows.append({**row, "actor": owner["principal"]})
    return rows


def owner_with_cadence(rules, workflow, area):
    thing = {"workflow": workflow, "permission_area": area}
    owners = [r for r in rules_of(rules, "owner") if r["days"] is not None]
    best = policy.best_match(owners, thing)
    business = [r for r in owners if best and policy.matches(r, thing) and named(r) == named(best)]
    return {**best, "principal": min(business, key=lambda r: (r["name"], r["position"]))["principal"]} if best else None


def named(rule):
    return sum(1 for name in policy.SCOPE if rule[name] is not None)


# ---- chains of values -------------------------------------------------------------------------


def writes(log):
    """(event, action or None, cell) of every write that took effect or may have, in order."""
    found = []
    actions = {a["action_id"]: a for a in log.actions}
    for event in log.production:
        action = actions.get(event.get("action_id"))
        if event["event_type"] == "record.corrected" and event.get("outcome", "succeeded") in EXECUTED:
            found.append((event, action))
        if event["event_type"] in ("action.executed", "action.rolled_back") and event.get("outcome") in EXECUTED:
            found.append((event, action))
    cells = [(e, a, tuple(named_by(e, a).get(name) for name in TARGET[1:])) for e, a in found]
    return [(event, action, cell) for event, action, cell in cells if None not in cell]


def chain_break(log, ask):
    """Each write of a cell against the one before it."""
    rows, stands = [], {}
    for event, action, cell in writes(log):
        if cell in stands and ask.covers(event["occurred_at"]):
            left, found = stands[cell], event.get("old_value")
            is_bad = None if left is None or found is None else left != found
            rows.append(item(verdict(is_bad), event, named_by(event, action)))
        stands[cell] = value_left(event, action)
    return rows


def named_by(event, action):
    """What says which cell was written: a correction itself, else the action."""
    return event if event["event_type"] == "record.corrected" else action


def value_left(event, action):
    """The value that the cell holds after a write; None when that is open."""
    if event.get("outcome", "succeeded") != "succeeded":
        return None
    if event["event_type"] == "action.rolled_back" and "new_value" not in event:
        before = [e for e in executions_of(action) if order(e) < order(event) and "old_value" in e]
        return before[-1]["old_value"] if before else None
    return event.get("new_value")


CONTROLS = (
    read_without_citation, executed_without_valid_approval, level_3_without_sample_review,
    level_5_incomplete_evidence, approval_missing, prohibited_action_executed, decided_after_execution, self_approval,
    reviewer_not_authorised, patch_differs_from_approval, approval_reused, expired_approval_used,
    blocked_field_touched, below_threshold_not_reviewed, evidence_missing_and_executed, rejected_but_executed,
    executed_without_proposal, duplicate_side_effect, config_changed_without_person, write_while_paused,
    area_without_owner, not_in_policy, chain_break, bulk_over_limit, review_overdue, source_seq_gaps,
)
