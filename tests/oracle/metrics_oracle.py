"""Slow, obviously right governance metrics: loops over events, no SQL, standard library only.

In: the rows of the evidence table as NDJSON (every event column plus `seq` and `recorded_at`, instants
in RFC 3339, UTC), already cut to the prefix of the `as_of`. Out: for each metric the rows that
`queries/metrics/NAME.sql` returns, in no particular order.

    python3 tests/oracle/metrics_oracle.py evidence.ndjson 2026-03-01T00:00:00Z 2026-04-01T00:00:00Z \
        2026-04-02T09:00:00Z [maturity_days]

It shares nothing with the SQL but the definitions, and it must stay that way: no view, no folding of
several metrics into one pass, no speed.
"""

import datetime
import json
import math
import re
import sys

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
KINDS = ("routing", "owner", "lifecycle", "duplicate", "required_field")
KIND_OF_ISSUE = {
    "missing_required_field": "required_field",
    "stale_owner": "owner",
    "duplicate": "duplicate",
    "lifecycle_mismatch": "lifecycle",
    "routing_error": "routing",
    "unclear_lead_source": "routing",
}
APPROVED = ("approved", "approved_with_changes")
ATTEMPTED = ("succeeded", "failed", "partial", "unknown")
EXECUTED = ("succeeded", "partial", "unknown")
WRONG_REASONS = ("not_an_issue", "evidence_wrong", "rule_misapplied")


# ---- instants ---------------------------------------------------------------------------------


def micros(text):
    """Microseconds since 1970 of an RFC 3339 instant in UTC."""
    match = re.fullmatch(r"(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)(?:\.(\d{1,6}))?(?:Z|\+00:00)", text)
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    moment = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.timezone.utc)
    return round(moment.timestamp()) * 1_000_000 + int((match.group(7) or "0").ljust(6, "0"))


def date_of(at_us):
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=at_us)).date()


def day_of(at_us):
    return date_of(at_us).isoformat()


def week_of(at_us):
    date = date_of(at_us)
    return (date - datetime.timedelta(days=date.weekday())).isoformat()


def month_of(at_us):
    return day_of(at_us)[:7]


def load(lines):
    """Events in (occurred_at, seq) order, instants as microseconds."""
    events = []
    for line in lines:
        if not line.strip():
            continue
        event = {name: value for name, value in json.loads(line).items() if value is not None}
        for name in ("occurred_at", "recorded_at", "review_opened_at"):
            if name in event:
                event[name] = micros(event[name])
        events.append(event)
    return sorted(events, key=order)


def order(event):
    return (event["occurred_at"], event["seq"])


# ---- facts ------------------------------------------------------------------------------------


def production(events):
    return [
        e for e in events
        if e.get("environment", "production") == "production" and not e["event_type"].startswith("evidence.")
    ]


def record_of(thing):
    key = (thing.get("system"), thing.get("record_type"), thing.get("record_id"))
    return None if None in key else key


def changed_nothing(correction):
    old, new = correction.get("old_value"), correction.get("new_value")
    return old is not None and new is not None and old == new


def all_corrections(events):
    return [e for e in production(events) if e["event_type"] == "record.corrected" and not changed_nothing(e)]


def kind_corrections(events):
    return [e for e in all_corrections(events) if e.get("correction") in KINDS]


def actions_of(events):
    """One dict per action: its events in order, and what they say phase by phase."""
    by_id = {}
    for event in production(events):
        if "action_id" in event:
            by_id.setdefault(event["action_id"], []).append(event)
    actions = []
    for action_id, own in by_id.items():
        action = {"action_id": action_id, "events": own}
        for name in ("workflow", "system", "record_type", "record_id", "field", "issue_type"):
            for event in own:
                if name in event:
                    action[name] = event[name]
        for event in reversed(own):
            if "batch_id" in event:
                action["batch_id"] = event["batch_id"]
        proposals = [e for e in own if e["event_type"] == "action.proposed"]
        action["has_proposal"] = bool(proposals)
        action["proposal"] = proposals[0] if proposals else own[0]
        decided = [e for e in own if "decision" in e]
        settled = [e for e in decided if e["decision"] != "escalated"]
        action["first"] = decided[0] if decided else None
        action["final"] = settled[-1] if settled else (decided[-1] if decided else None)
        action["executions"] = [e for e in own if e["event_type"] == "action.executed"]
        action["attempts"] = [e for e in action["executions"] if e.get("outcome") in ATTEMPTED]
        action["roll_backs"] = [
            e for e in own if e["event_type"] == "action.rolled_back" and e.get("outcome") == "succeeded"
        ]
        labels = [e for e in own if e["event_type"] == "action.labeled"]
        action["label"] = labels[-1].get("label") if labels else None
        actions.append(action)
    return actions


def decision(action, which):
    return action[which]["decision"] if action[which] else None


def is_undecided(action):
    return action["has_proposal"] and not action["executions"] and action["first"] is None


def is_unresolved(action):
    return action["has_proposal"] and not action["executions"] and decision(action, "final") in (None, "escalated")


def exceptions_of(events):
    """(event, record, kind) of every fact that makes a record a routing exception."""
    facts = [(e, record_of(e), e["correction"]) for e in kind_corrections(events)]
    for action in actions_of(events):
        kind = KIND_OF_ISSUE.get(action.get("issue_type"))
        if kind is None or decision(action, "final") not in APPROVED or action["roll_backs"]:
            continue
        for event in action["executions"]:
            if event.get("outcome") == "succeeded":
                facts.append((event, record_of(action), kind))
    return facts


def verdict_of(action, events, maturity_us):
    if action["label"] is not None:
        return action["label"]
    final = action["final"]
    if final is None:
        return None
    if final["decision"] == "rejected":
        if final.get("reason_code") in WRONG_REASONS:
            return "false_positive"
        deadline = action["proposal"]["occurred_at"] + maturity_us
        for correction in kind_corrections(events):
            if record_of(correction) is not None and record_of(correction) == record_of(action):
                if order(correction) > order(final) and correction["occurred_at"] < deadline:
                    return "true_positive"
        return None
    if final["decision"] in APPROVED:
        return "false_positive" if was_undone(action, events) else "true_positive"
    return None


def was_undone(action, events):
    succeeded = [e for e in action["executions"] if e.get("outcome") == "succeeded"]
    if not succeeded:
        return False
    last = succeeded[-1]
    undoings = list(action["roll_backs"])
    for correction in all_corrections(events):
        same_record = record_of(action) is not None and record_of(correction) == record_of(action)
        same_cell = same_record and "field" in action and correction.get("field") == action["field"]
        restores = "old_value" in last and correction.get("new_value") == last["old_value"]
        if same_cell and restores:
            undoings.append(correction)
    return any(
        e.get("actor_kind") == "human"
        and order(e) > order(last)
        and e["occurred_at"] < last["occurred_at"] + 14 * DAY_US
        for e in undoings
    )


# ---- scopes -----------------------------------------------------------------------------------


def reviews_of(events):
    return [e for e in production(events) if e["event_type"] == "record.reviewed"]


def review_scopes(events, start, end):
    """{(grain, key): reviews}; a batch with a review in the period comes whole."""
    reviews = reviews_of(events)
    inside = [r for r in reviews if start <= r["occurred_at"] < end]
    scopes = {("period", None): inside}
    for review in inside:
        workflow = review.get("workflow")
        scopes[("workflow", workflow)] = [r for r in inside if r.get("workflow") == workflow]
        if "batch_id" in review:
            batch = review["batch_id"]
            scopes[("batch", batch)] = [r for r in reviews if r.get("batch_id") == batch]
    return scopes


def firsts(reviews):
    """{record: its first review}"""
    first = {}
    for review in sorted(reviews, key=order):
        first.setdefault(record_of(review), review)
    return first


def action_scopes(events, start, end):
    """{(grain, key): actions}; a batch with an action in the period comes whole."""
    actions = actions_of(events)
    inside = [a for a in actions if start <= a["proposal"]["occurred_at"] < end]
    scopes = {("period", None): inside}
    for action in inside:
        workflow = action.get("workflow")
        scopes[("workflow", workflow)] = [a for a in inside if a.get("workflow") == workflow]
        if "batch_id" in action:
            batch = action["batch_id"]
            scopes[("batch", batch)] = [a for a in actions if a.get("batch_id") == batch]
    return scopes


def in_window(review, event, maturity_us):
    return order(event) > order(review) and event["occurred_at"] < review["occurred_at"] + maturity_us


def belongs(action, review):
    """An action belongs to a review of its record unless both name different batches."""
    if record_of(action) is None or record_of(action) != record_of(review):
        return False
    one, other = action.get("batch_id"), review.get("batch_id")
    return one is None or other is None or one == other


# ---- rows -------------------------------------------------------------------------------------


def wilson(k, n):
    z = 1.959963984540054
    p = k / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, (centre - half) / (1 + z * z / n)), min(1.0, (centre + half) / (1 + z * z / n))


def status_of(denominator, is_immature):
    if denominator == 0:
        return "no_data"
    if is_immature:
        return "immature"
    return "small_sample" if denominator < 30 else "ok"


def rate(scope, numerator, denominator, pending, is_immature=False, part=None):
    low, high = wilson(numerator, denominator) if denominator else (None, None)
    row = {"grain": scope[0], "key": scope[1]}
    if part is not None:
        row["part"] = part
    row.update(
        numerator=numerator,
        denominator=denominator,
        value=numerator / denominator if denominator else None,
        ci_low=low,
        ci_high=high,
        pending=pending,
        status=status_of(denominator, is_immature),
    )
    return row


def is_immature(instants, maturity_us, as_of):
    return bool(instants) and max(instants) + maturity_us > as_of


# ---- metrics of records -----------------------------------------------------------------------


def kinds_by_record(first, events, maturity_us):
    kinds = {record: set() for record in first}
    for event, record, kind in exceptions_of(events):
        if record in first and in_window(first[record], event, maturity_us):
            kinds[record].add(kind)
    return kinds


def routing_exception_rate(events, start, end, as_of, maturity_us):
    rows = []
    for scope, reviews in review_scopes(events, start, end).items():
        first = firsts(reviews)
        kinds = kinds_by_record(first, events, maturity_us)
        young = is_immature([r["occurred_at"] for r in first.values()], maturity_us, as_of)
        rows.append(rate(scope, sum(1 for k in kinds.values() if k), len(first), None, young))
    return rows


def exceptions_by_kind(events, start, end, as_of, maturity_us):
    rows = []
    for scope, reviews in review_scopes(events, start, end).items():
        first = firsts(reviews)
        kinds = kinds_by_record(first, events, maturity_us)
        young = is_immature([r["occurred_at"] for r in first.values()], maturity_us, as_of)
        for kind in KINDS:
            count = sum(1 for k in kinds.values() if kind in k)
            rows.append(rate(scope, count, len(first), None, young, kind))
    return rows


def exception_origin(events, start, end, as_of, maturity_us):
    rows = []
    for scope, reviews in review_scopes(events, start, end).items():
        first = firsts(reviews)
        kinds = kinds_by_record(first, events, maturity_us)
        young = is_immature([r["occurred_at"] for r in first.values()], maturity_us, as_of)
        executed = set()
        for action in actions_of(events):
            record = record_of(action)
            if record in first and decision(action, "final") in APPROVED:
                for event in action["executions"]:
                    if event.get("outcome") in EXECUTED and in_window(first[record], event, maturity_us):
                        executed.add(record)
        found = [record for record, k in kinds.items() if k]
        by_ai = sum(1 for record in found if record in executed)
        rows.append(rate(scope, by_ai, len(first), None, young, "surfaced_by_ai"))
        rows.append(rate(scope, len(found) - by_ai, len(first), None, young, "found_by_human"))
    return rows


def flag_rate(events, start, end, as_of, maturity_us):
    rows = []
    actions = [a for a in actions_of(events) if a["has_proposal"]]
    for scope, reviews in review_scopes(events, start, end).items():
        flagged = {record_of(r) for r in reviews if any(belongs(a, r) for a in actions)}
        rows.append(rate(scope, len(flagged), len(firsts(reviews)), None))
    return rows


def miss_rate(events, start, end, as_of, maturity_us):
    rows = []
    actions = actions_of(events)
    right = {a["action_id"] for a in actions if verdict_of(a, events, maturity_us) == "true_positive"}
    for scope, reviews in review_scopes(events, start, end).items():
        first = firsts(reviews)
        young = is_immature([r["occurred_at"] for r in first.values()], maturity_us, as_of)
        missed = needed = 0
        for record, review in first.items():
            own_reviews = [r for r in reviews if record_of(r) == record]
            own_actions = [a for a in actions if any(belongs(a, r) for r in own_reviews)]
            repairs = [
                c for c in kind_corrections(events) if record_of(c) == record and in_window(review, c, maturity_us)
            ]
            if repairs or any(a["action_id"] in right for a in own_actions):
                needed += 1
            for repair in repairs:
                proposed_before = any(
                    a["has_proposal"] and order(a["proposal"]) < order(repair) for a in own_actions
                )
                if repair.get("actor_kind") == "human" and not proposed_before:
                    missed += 1
                    break
        rows.append(rate(scope, missed, needed, None, young))
    return rows


# ---- metrics of actions -----------------------------------------------------------------------


def share(events, start, end, is_counted, is_hit, is_pending):
    return [
        rate(
            scope,
            sum(1 for a in actions if is_counted(a) and is_hit(a)),
            sum(1 for a in actions if is_counted(a)),
            sum(1 for a in actions if is_pending(a)),
        )
        for scope, actions in action_scopes(events, start, end).items()
    ]


def approval_rate(events, start, end, as_of, maturity_us):
    return share(
        events, start, end,
        lambda a: decision(a, "final") in APPROVED + ("rejected",),
        lambda a: decision(a, "final") in APPROVED,
        is_unresolved,
    )


def edit_rate(events, start, end, as_of, maturity_us):
    return share(
        events, start, end,
        lambda a: decision(a, "final") in APPROVED,
        lambda a: decision(a, "final") == "approved_with_changes",
        is_unresolved,
    )


def execution_failure_rate(events, start, end, as_of, maturity_us):
    return share(
        events, start, end,
        lambda a: bool(a["attempts"]),
        lambda a: a["attempts"][-1]["outcome"] != "succeeded",
        is_undecided,
    )


def retry_rate(events, start, end, as_of, maturity_us):
    return share(
        events, start, end,
        lambda a: bool(a["attempts"]),
        lambda a: any(e.get("attempt", 1) > 1 for e in a["attempts"]),
        is_undecided,
    )


def decision_mix(events, start, end, as_of, maturity_us):
    parts = ("approved", "approved_with_changes", "rejected", "escalated")
    rows = []
    for scope, actions in action_scopes(events, start, end).items():
        counted = [decision(a, "first") for a in actions if decision(a, "first") in parts]
        pending = sum(1 for a in actions if is_undecided(a))
        for part in parts:
            rows.append(rate(scope, counted.count(part), len(counted), pending, False, part))
    return rows


def false_discovery_rate(events, start, end, as_of, maturity_us):
    rows = []
    for scope, actions in action_scopes(events, start, end).items():
        verdicts = [verdict_of(a, events, maturity_us) for a in actions]
        wrong, right = verdicts.count("false_positive"), verdicts.count("true_positive")
        pending = sum(1 for a in actions if is_unresolved(a))
        young = is_immature([a["proposal"]["occurred_at"] for a in actions], maturity_us, as_of)
        rows.append(rate(scope, wrong, wrong + right, pending, young))
    return rows


def nearest_rank(values, numerator, denominator):
    """The value of rank ceil(n * numerator / denominator)."""
    return sorted(values)[-(-len(values) * numerator // denominator) - 1] if values else None


def time_to_decision(events, start, end, as_of, maturity_us):
    rows = []
    for scope, every in action_scopes(events, start, end).items():
        actions = [a for a in every if a["has_proposal"]]
        if not actions and scope[0] != "period":
            continue
        if scope[0] == "batch" and not any(start <= a["proposal"]["occurred_at"] < end for a in actions):
            continue
        taken = [a["first"]["occurred_at"] - a["proposal"]["occurred_at"] for a in actions if a["first"]]
        waiting = [a["proposal"]["occurred_at"] for a in actions if is_undecided(a)]
        hours = lambda us: None if us is None else us / HOUR_US
        rows.append({
            "grain": scope[0],
            "key": scope[1],
            "denominator": len(taken),
            "p50_hours": hours(nearest_rank(taken, 1, 2)),
            "p90_hours": hours(nearest_rank(taken, 9, 10)),
            "max_hours": hours(max(taken)) if taken else None,
            "pending": len(waiting),
            "pending_age_hours": hours(as_of - min(waiting)) if waiting else None,
            "status": status_of(len(taken), False),
        })
    return rows


# ---- trends and the log itself ----------------------------------------------------------------


def trend(events, name, name_of, reviews, names, as_of, maturity_us):
    rows = []
    for value in names:
        first = firsts([r for r in reviews if name_of(r["occurred_at"]) == value])
        kinds = kinds_by_record(first, events, maturity_us)
        young = is_immature([r["occurred_at"] for r in first.values()], maturity_us, as_of)
        row = rate(("", None), sum(1 for k in kinds.values() if k), len(first), None, young)
        rows.append({
            name: value,
            "reviewed": row["denominator"],
            "exceptions": row["numerator"],
            "value": row["value"],
            "ci_low": row["ci_low"],
            "ci_high": row["ci_high"],
            "status": row["status"],
        })
    return rows


def trend_routing_exceptions(events, start, end, as_of, maturity_us):
    reviews = [r for r in reviews_of(events) if start <= r["occurred_at"] < end]
    weeks = {week_of(r["occurred_at"]) for r in reviews}
    return trend(events, "week_start", week_of, reviews, weeks, as_of, maturity_us)


def monthly_routing_exceptions(events, start, end, as_of, maturity_us):
    last = date_of(end - 1)
    count = last.year * 12 + last.month - 1
    months = [f"{m // 12:04d}-{m % 12 + 1:02d}" for m in range(count - 5, count + 1)]
    reviews = [r for r in reviews_of(events) if r["occurred_at"] < end]
    return trend(events, "month", month_of, reviews, months, as_of, maturity_us)


def received_counts(event):
    """The counts that an `evidence.received` event states; the same shape as the SQL function gives."""
    return json.loads(event["extra"])["counts"]


def log_health(events, start, end, as_of, maturity_us):
    names = ("received", "accepted", "duplicate", "conflict", "rejected", "late", "gaps")
    rows = {}

    def add(source, day, name, count):
        row = rows.setdefault((source, day), dict.fromkeys(names, 0))
        row[name] += count

    days = {day_of(us) for us in range(start, end, DAY_US)} | {day_of(end - 1)}
    for event in events:
        if event["event_type"] == "evidence.received":
            for counts in received_counts(event):
                day = counts.get("day")
                if day in days if day else start <= event["recorded_at"] < end:
                    for name in ("duplicate", "conflict", "rejected"):
                        add(counts["source"], day, name, counts[name])
                        add(counts["source"], day, "received", counts[name])
    sent = [e for e in events if not e["event_type"].startswith("evidence.")]
    for event in sent:
        if start <= event["occurred_at"] < end:
            late = event["recorded_at"] - event["occurred_at"] > DAY_US
            add(event["source"], day_of(event["occurred_at"]), "received", 1)
            add(event["source"], day_of(event["occurred_at"]), "accepted", 1)
            add(event["source"], day_of(event["occurred_at"]), "late", int(late))
    for source in {e["source"] for e in sent}:
        numbered = [e for e in sent if e["source"] == source and "source_seq" in e]
        numbered.sort(key=lambda e: (e["source_seq"], order(e)))
        for before, event in zip(numbered, numbered[1:]):
            missing = event["source_seq"] - before["source_seq"] - 1
            if missing > 0 and start <= event["occurred_at"] < end:
                add(source, day_of(event["occurred_at"]), "gaps", missing)
    return [{"source": source, "day": day, **counts} for (source, day), counts in rows.items()]


METRICS = (
    routing_exception_rate, exceptions_by_kind, exception_origin, flag_rate, miss_rate, decision_mix,
    approval_rate, edit_rate, false_discovery_rate, execution_failure_rate, retry_rate, time_to_decision,
    trend_routing_exceptions, monthly_routing_exceptions, log_health,
)


def compute(events, start, end, as_of, maturity_days=30):
    return {m.__name__: m(events, start, end, as_of, maturity_days * DAY_US) for m in METRICS}


def main(arguments):
    with open(arguments[0], encoding="utf-8") as lines:
        events = load(lines)
    start, end, as_of = (micros(text) for text in arguments[1:4])
    maturity_days = int(arguments[4]) if len(arguments) > 4 else 30
    json.dump(compute(events, start, end, as_of, maturity_days), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main(sys.argv[1:])
