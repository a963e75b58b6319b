"""What the policy in force asked of each event, and whether an execution had a valid approval.

In: a `Log` with the `config.changed` events that applied a policy. Out: policies with their intervals and
flat rules, effective levels, the need for approval, the status of each execution's approval. Loops only;
`tomllib` reads the documents.
"""

import decimal
import pathlib
import tomllib

from fold import APPROVED, EXECUTED, HOUR_US, UTC, micros, order

DEFAULT_FILE = pathlib.Path(__file__).resolve().parents[2] / "queries/policies/default.toml"
BEGINNING = micros("0001-01-01T00:00:00Z")
END = micros("9999-12-31T23:59:59.999999Z")
RULE_COLUMNS = (
    "kind", "position", "name", "workflow", "area", "system", "record_type", "field", "operation", "issue_type",
    "level", "principal", "amount", "currency", "number", "hours", "days", "words",
)
SCOPE = ("workflow", "area", "system", "record_type", "field", "operation", "issue_type")
SETTINGS = {
    "time_zone": "words", "maturity_days": "number", "approval_valid_hours": "hours", "bulk_limit": "number",
    "retention_months": "number",
}
MACHINES = ("agent", "automation", "system")


# ---- documents --------------------------------------------------------------------------------


def default_document():
    return DEFAULT_FILE.read_text(encoding="utf-8")


def parse(document):
    """The rules of a TOML text, flat, each with every column of RULE_COLUMNS."""
    text = tomllib.loads(document)
    rules = []

    def add(kind, **columns):
        position = sum(1 for rule in rules if rule["kind"] == kind)
        rules.append({**dict.fromkeys(RULE_COLUMNS), "kind": kind, "position": position, **columns})

    text.setdefault("time_zone", "UTC")
    text.setdefault("maturity_days", 30)
    for key, column in SETTINGS.items():
        if key in text:
            add("setting", name=key, **{column: text[key] if column == "words" else float(text[key])})
    for key, value in text.get("promotion", {}).items():
        add("setting", name=f"promotion_{key}", number=float(value))
    for level in text.get("approval_levels", []):
        add("approval_level", level=level)
    for level, days in text.get("sample_review_days", {}).items():
        add("review_level", level=int(level), days=days)
    for workflow in text.get("workflow", []):
        add_workflow(add, workflow)
    for table in text.get("permission", []):
        add("permission", **scope_of(table), level=table["level"])
    for table in text.get("approval_required", []):
        add("approval_required", name=table.get("name"), **scope_of(table), amount=amount_of(table, "min_amount"),
            currency=table.get("currency"))
    for table in text.get("approver", []):
        for reviewer in people(table["reviewers"], text):
            add("approver", **scope_of(table), level=table.get("level"), principal=reviewer,
                amount=amount_of(table, "max_amount"), currency=table.get("currency"))
    for table in text.get("threshold", []):
        add("threshold", **scope_of(table), number=float(table["min_confidence"]))
    for table in text.get("owner", []):
        for side in ("business", "technical"):
            if side in table:
                add("owner", name=side, **scope_of(table), principal=table[side], days=table.get("review_days"))
    for table in text.get("prohibited", []):
        add("prohibited", name=table.get("name"), **scope_of(table), words=table.get("reason"))
    for table in text.get("segment", []):
        add("segment", name=table["name"])
    for table in text.get("processor", []):
        for region in table.get("regions", [None]):
            add("processor", name=table["name"], words=region)
    for table in text.get("incident_rule", []):
        number = table.get("above", table.get("below"))
        add("incident_rule", name=table["name"], workflow=table.get("workflow"), words=table["metric"],
            number=float(number), days=table.get("window_days"))
    for table in text.get("deadline", []):
        hours = table["hours"] if "hours" in table else table["days"] * 24
        add("deadline", name=table["class"], principal=table["notify"], hours=float(hours),
            words=f"{table['article']}: {table['asks']}")
    return rules


def add_workflow(add, table):
    name = table["name"]
    about = {"area": table.get("area"), "level": table.get("stage"), "words": table.get("purpose")}
    add("workflow", name=name, workflow=name, **about)
    for agent in table.get("agents", []):
        add("agent", workflow=name, principal=agent)
    for kind in ("allowed", "blocked"):
        for path in table.get(f"{kind}_fields", []):
            parts = [None if part == "*" else part for part in path.split("/")]
            add(f"{kind}_field", workflow=name, **dict(zip(("system", "record_type", "field"), parts)))
    for artefact, reference in table.get("artefacts", {}).items():
        add("artefact", workflow=name, name=artefact, words=reference)


def scope_of(table):
    return {name: table.get(name) for name in SCOPE}


def amount_of(table, key):
    return decimal.Decimal(str(table[key])) if key in table else None


def people(names, text):
    return [person for name in names for person in text.get("roles", {}).get(name, [name])]


# ---- which policy when ------------------------------------------------------------------------


def policies_of(log):
    """Intervals without gap or overlap; at the same effective_from the later applied one holds.

    Only the engine's own events count, or whoever may send events could change what they are judged by.
    """
    cached = getattr(log, "policies", None)
    if cached is not None:
        return cached
    own = [e for e in log.events if e["source"] == "probity" and e["event_type"] == "config.changed"]
    applied = [e for e in own if e.get("field") == "policy"]
    found = [policy_from(default_document(), None, BEGINNING)]
    for event in applied:
        policy = policy_from(event.get("new_value"), event, None)
        if policy:
            found.append(policy)
    found.sort(key=lambda p: (p["effective_from"], order(p["event"]) if p["event"] else (BEGINNING, -1)))
    log.policies = []
    for policy, after in zip(found, found[1:] + [{"effective_from": END}]):
        if policy["effective_from"] < after["effective_from"]:
            log.policies.append({**policy, "effective_to": after["effective_from"]})
    return log.policies


def policy_from(document, event, effective_from):
    try:
        text = tomllib.loads(document)
        rules = parse(document)
        version = text["version"]
    except (TypeError, KeyError, ValueError):
        return None
    if effective_from is None and "effective_from" in text:
        moment = text["effective_from"].astimezone(UTC)
        effective_from = micros(moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    if effective_from is None:
        effective_from = event["occurred_at"]
    return {
        "version": version,
        "document": document,
        "rules": rules,
        "event": event,
        "is_default": event is None,
        "effective_from": effective_from,
    }


def policy_at(log, at_us):
    return next(p for p in policies_of(log) if p["effective_from"] <= at_us < p["effective_to"])


def rules_of(policy, kind):
    return [rule for rule in policy["rules"] if rule["kind"] == kind]


def setting(policy, name, column):
    return next((rule[column] for rule in rules_of(policy, "setting") if rule["name"] == name), None)


# ---- matching ---------------------------------------------------------------------------------


def matches(rule, thing):
    """Everything that the rule names is so; what the thing does not say is not."""
    known = {**thing, "area": thing.get("permission_area")}
    return all(rule[name] is None or rule[name] == known.get(name) for name in SCOPE)


def may_match(rule, thing):
    """Nothing that the rule names is known to be otherwise."""
    known = {**thing, "area": thing.get("permission_area")}
    return all(rule[name] is None or known.get(name) in (None, rule[name]) for name in SCOPE)


def best_match(rules, thing):
    """The rule that names most, then the first listed."""
    return min((rule for rule in rules if matches(rule, thing)), key=rank, default=None)


def rank(rule):
    return -sum(1 for name in SCOPE if rule[name] is not None), rule["position"]


def level_of(policy, thing):
    rule = best_match(rules_of(policy, "permission"), thing)
    return rule["level"] if rule else thing.get("permission_level")


def requires_approval(rule, thing):
    """True, False, or None where something that the rule names is not known."""
    if not may_match(rule, thing):
        return False
    if rule["amount"] is not None and "amount" in thing:
        is_comparable = rule["currency"] is None or rule["currency"] == thing.get("currency")
        if is_comparable and decimal.Decimal(str(thing["amount"])) < rule["amount"]:
            return False
    elif rule["amount"] is not None:
        return None
    return matches(rule, thing) or None


def is_level_in_need(policy, thing):
    """None where the level is not known, or a rule may win that gives one in need."""
    levels = [rule["level"] for rule in rules_of(policy, "approval_level")]
    level, rules = level_of(policy, thing), rules_of(policy, "permission")
    if not levels or level in levels:
        return level in levels
    winner = best_match(rules, thing)
    possible = [r for r in rules if r["level"] in levels and may_match(r, thing) and not matches(r, thing)]
    if level is None or any(winner is None or rank(r) < rank(winner) for r in possible):
        return None
    return False


def needs_approval(policy, thing):
    """True, False, or None where something that is not known would decide."""
    needs = {requires_approval(rule, thing) for rule in rules_of(policy, "approval_required")}
    needs |= {is_level_in_need(policy, thing), thing.get("policy_outcome") == "approval_required"}
    return True if True in needs else None if None in needs else False


def executions_of(action):
    return [e for e in action["executions"] if e.get("outcome") in EXECUTED]


def needs_approval_of_action(action, log):
    """At any execution, without one at its proposal; None: not known."""
    events = executions_of(action) or [action["proposal"]]
    needed = {needs_approval(policy_at(log, e["occurred_at"]), action) for e in events}
    return True if True in needed else None if None in needed else False


# ---- decisions --------------------------------------------------------------------------------


def decided_by(event):
    """The reviewer, else the machine that sent the action.decided; None when nobody knows."""
    return event["reviewer"] if "reviewer" in event else event.get("actor_id") if is_by_machine(event) else None


def is_by_machine(event):
    is_sent = event["event_type"] == "action.decided" and event.get("actor_kind") in MACHINES
    return is_sent and "reviewer" not in event


def is_self_decided(event, action):
    """None where somebody who is not named could be the one who decided."""
    who = decided_by(event)
    is_stated = action["proposal"]["event_type"] in ("action.proposed", "action.executed")
    proposer = action["proposal"].get("actor_id") if is_stated else None
    agents = {e.get("actor_id") for e in executions_of(action) if e.get("actor_kind") != "human"}
    involved = agents | {proposer}
    if who is None:
        return None
    return True if who in involved else None if None in involved else False


def is_authorised(event, action, log):
    if is_by_machine(event):
        return False
    if decided_by(event) is None:
        return None
    policy = policy_at(log, event["occurred_at"])
    rules = rules_of(policy, "approver")
    return not rules or any(entitles(rule, event["reviewer"], policy, action) for rule in rules)


def entitles(rule, reviewer, policy, action):
    if not matches(rule, action) or rule["principal"] not in ("*", reviewer):
        return False
    if rule["level"] is not None and rule["level"] != level_of(policy, action):
        return False
    if "amount" not in action:
        return True
    if rule["currency"] is not None and action.get("currency") != rule["currency"]:
        return False
    return rule["amount"] is None or decimal.Decimal(str(action["amount"])) <= rule["amount"]


# ---- approvals --------------------------------------------------------------------------------


def last_decision_before(execution, action):
    """In (occurred_at, seq) order, the event itself included."""
    before = [d for d in action["decisions"] if order(d) <= order(execution)]
    return before[-1] if before else None


def use_number(execution, action):
    """How many executions rest on the same decision up to this one."""
    decided = last_decision_before(execution, action)
    same = [e for e in executions_of(action) if last_decision_before(e, action) is decided]
    return sum(1 for e in same if order(e) <= order(execution))


def approval_status(execution, action, log):
    """The first that holds."""
    decided = last_decision_before(execution, action)
    if decided is None:
        return "missing"
    if decided["decision"] not in APPROVED:
        return "not_approved"
    if decided["seq"] > execution["seq"]:
        return "recorded_late"
    if is_self_decided(decided, action):
        return "self_approved"
    if is_authorised(decided, action, log) is False:
        return "not_authorised"
    hashes = decided.get("payload_hash"), execution.get("payload_hash")
    if None not in hashes and hashes[0] != hashes[1]:
        return "payload_differs"
    if use_number(execution, action) > 1:
        return "reused"
    if None in hashes or decided_by(decided) is None or is_self_decided(decided, action) is None:
        return "unprovable"
    return "valid"


def approvals(log):
    """One row per execution: the columns of the view `approvals` that say whether and why."""
    rows = []
    for action in log.actions:
        for execution in executions_of(action):
            policy = policy_at(log, execution["occurred_at"])
            decided = last_decision_before(execution, action)
            rows.append({
                "action_id": action["action_id"],
                "seq": execution["seq"],
                "level": level_of(policy, action),
                "needs_approval": needs_approval(policy, action),
                "decision_seq": decided["seq"] if decided else None,
                "use_number": use_number(execution, action) if decided else None,
                "status": approval_status(execution, action, log),
            })
    return rows


def is_expired(execution, action, log):
    """Older than the policy at the execution lets an approval be; None when it sets no limit."""
    hours = setting(policy_at(log, execution["occurred_at"]), "approval_valid_hours", "hours")
    decided = last_decision_before(execution, action)
    if hours is None or decided is None or decided["decision"] not in APPROVED:
        return None
    return execution["occurred_at"] - decided["occurred_at"] > hours * HOUR_US
