"""Slow, obviously right governance metrics: loops over events, no SQL, standard library only.

In: the rows of the evidence table as NDJSON (every event column plus `seq` and `recorded_at`, instants
in RFC 3339, UTC), already cut to the prefix of the `as_of`. Out: for each metric the rows that
`queries/metrics/NAME.sql` returns, in no particular order.

    python3 tests/oracle/metrics_oracle.py evidence.ndjson 2026-03-01T00:00:00Z 2026-04-01T00:00:00Z \
        2026-04-02T09:00:00Z [maturity_days]

It shares nothing with the SQL but the definitions, and it must stay that way: no view, no folding of
several metrics into one pass, no speed.
"""

import dataclasses
import json
import sys

import statistics_oracle as statistics
from evidence_oracle import (
    approval_coverage, evidence_completeness, evidence_items, exposure, has_way_back, is_reversible_write,
)
from fold import (
    APPROVED, DAY_US, EXECUTED, HOUR_US, KINDS, SECOND_US, date_of, day_of, decision, is_undecided, is_unresolved,
    load, micros, month_of, order, record_of, verdict_of, was_executed, was_rolled_back, week_of,
)
from outcome_oracle import brier_score, calibration, confidence_threshold, segment_disparity
from scopes import (
    Question, action_scopes, belongs, final_reviewer, first_reviewer, firsts, in_window, is_immature, is_young_scope,
    rate, review_scopes, share, status_of,
)


# ---- metrics of records -----------------------------------------------------------------------


def kinds_by_record(first, log, ask):
    kinds = {record: set() for record in first}
    for event, record, kind in log.exceptions:
        if record in first and in_window(first[record], event, ask):
            kinds[record].add(kind)
    return kinds


def routing_exception_rate(log, ask):
    rows = []
    for scope, reviews in review_scopes(log, ask).items():
        first = firsts(reviews)
        kinds = kinds_by_record(first, log, ask)
        young = is_immature(first.values(), ask)
        rows.append(rate(scope, sum(1 for k in kinds.values() if k), len(first), None, young))
    return rows


def exceptions_by_kind(log, ask):
    rows = []
    for scope, reviews in review_scopes(log, ask).items():
        first = firsts(reviews)
        kinds = kinds_by_record(first, log, ask)
        young = is_immature(first.values(), ask)
        for kind in KINDS:
            count = sum(1 for k in kinds.values() if kind in k)
            rows.append(rate(scope, count, len(first), None, young, kind))
    return rows


def exception_origin(log, ask):
    rows = []
    for scope, reviews in review_scopes(log, ask).items():
        first = firsts(reviews)
        kinds = kinds_by_record(first, log, ask)
        young = is_immature(first.values(), ask)
        executed = set()
        for action in log.actions:
            record = record_of(action)
            if record in first and decision(action, "final") in APPROVED:
                for event in action["executions"]:
                    if event.get("outcome") in EXECUTED and in_window(first[record], event, ask):
                        executed.add(record)
        found = [record for record, k in kinds.items() if k]
        by_ai = sum(1 for record in found if record in executed)
        rows.append(rate(scope, by_ai, len(first), None, young, "surfaced_by_ai"))
        rows.append(rate(scope, len(found) - by_ai, len(first), None, young, "found_by_human"))
    return rows


def flag_rate(log, ask):
    rows = []
    actions = [a for a in log.actions if a["has_proposal"]]
    for scope, reviews in review_scopes(log, ask).items():
        flagged = {record_of(r) for r in reviews if any(belongs(a, r) for a in actions)}
        rows.append(rate(scope, len(flagged), len(firsts(reviews)), None))
    return rows


def miss_rate(log, ask):
    rows = []
    right = {a["action_id"] for a in log.actions if verdict_of(a, log, ask.maturity_us) == "true_positive"}
    for scope, reviews in review_scopes(log, ask).items():
        first = firsts(reviews)
        missed = needed = 0
        for record, review in first.items():
            own_reviews = [r for r in reviews if record_of(r) == record]
            own_actions = [a for a in log.actions if any(belongs(a, r) for r in own_reviews)]
            repairs = [c for c in log.corrections if record_of(c) == record and in_window(review, c, ask)]
            if repairs or any(a["action_id"] in right for a in own_actions):
                needed += 1
            for repair in repairs:
                proposed_before = any(
                    a["has_proposal"] and order(a["proposal"]) < order(repair) for a in own_actions
                )
                if repair.get("actor_kind") == "human" and not proposed_before:
                    missed += 1
                    break
        rows.append(rate(scope, missed, needed, None, is_immature(first.values(), ask)))
    return rows


# ---- metrics of actions -----------------------------------------------------------------------


def approval_rate(log, ask):
    return share(
        log, ask,
        lambda a: decision(a, "final") in APPROVED + ("rejected",),
        lambda a: decision(a, "final") in APPROVED,
        is_unresolved, final_reviewer,
    )


def rejection_rate(log, ask):
    return share(
        log, ask,
        lambda a: decision(a, "final") in APPROVED + ("rejected",),
        lambda a: decision(a, "final") == "rejected",
        is_unresolved, final_reviewer,
    )


def edit_rate(log, ask):
    return share(
        log, ask,
        lambda a: decision(a, "final") in APPROVED,
        lambda a: decision(a, "final") == "approved_with_changes",
        is_unresolved, final_reviewer,
    )


def reversal_rate(log, ask):
    return share(
        log, ask,
        lambda a: a["first"] is not None,
        lambda a: decision(a, "first") != decision(a, "final") and decision(a, "first") != "escalated",
        is_undecided, final_reviewer,
    )


def fast_approval_share(log, ask):
    def seconds_are_known(action):
        return decision(action, "first") in APPROVED and "review_opened_at" in action["first"]

    def is_fast(action):
        first = action["first"]
        return first["occurred_at"] - first["review_opened_at"] < ask.fast_seconds * SECOND_US

    return share(log, ask, seconds_are_known, is_fast, is_undecided, first_reviewer)


def auto_run_rate(log, ask):
    def is_human(event):
        return "reviewer" in event or event.get("actor_kind") == "human"

    return share(log, ask, was_executed, lambda a: not any(is_human(d) for d in a["decisions"]), is_undecided)


def execution_failure_rate(log, ask):
    return share(
        log, ask,
        lambda a: bool(a["attempts"]),
        lambda a: a["attempts"][-1]["outcome"] != "succeeded",
        is_undecided,
    )


def retry_rate(log, ask):
    return share(
        log, ask,
        lambda a: bool(a["attempts"]),
        lambda a: any(e.get("attempt", 1) > 1 for e in a["attempts"]),
        is_undecided,
    )


def rollback_rate(log, ask):
    return share(log, ask, was_executed, was_rolled_back, is_undecided)


def rollback_success_rate(log, ask):
    return share(log, ask, lambda a: bool(a["roll_backs"]), was_rolled_back, is_undecided)


def rollback_readiness(log, ask):
    return share(
        log, ask, lambda a: was_executed(a) and is_reversible_write(a), has_way_back, is_undecided,
    )


def decision_mix(log, ask):
    parts = ("approved", "approved_with_changes", "rejected", "escalated")
    rows = []
    for scope, actions in action_scopes(log, ask).items():
        counted = [decision(a, "first") for a in actions if decision(a, "first") in parts]
        pending = sum(1 for a in actions if is_undecided(a))
        for part in parts:
            rows.append(rate(scope, counted.count(part), len(counted), pending, False, part))
    return rows


def false_discovery_rate(log, ask):
    rows = []
    for scope, actions in action_scopes(log, ask).items():
        verdicts = [verdict_of(a, log, ask.maturity_us) for a in actions]
        wrong, right = verdicts.count("false_positive"), verdicts.count("true_positive")
        pending = sum(1 for a in actions if is_unresolved(a))
        rows.append(rate(scope, wrong, wrong + right, pending, is_young_scope(actions, ask)))
    return rows


def nearest_rank(values, numerator, denominator):
    """The value of rank ceil(n * numerator / denominator)."""
    return sorted(values)[-(-len(values) * numerator // denominator) - 1] if values else None


def time_to_decision(log, ask):
    rows = []
    for scope, every in action_scopes(log, ask, first_reviewer).items():
        actions = [a for a in every if a["has_proposal"]]
        if not any(ask.covers(a["proposal"]["occurred_at"]) for a in actions) and scope[0] != "period":
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
            "pending_age_hours": hours(ask.as_of - min(waiting)) if waiting else None,
            "status": status_of(len(taken), False),
        })
    return rows


# ---- trends and the log itself ----------------------------------------------------------------


def trend(log, ask, name, name_of, reviews, names):
    rows = []
    for value in names:
        first = firsts([r for r in reviews if name_of(r["occurred_at"], ask.time_zone) == value])
        kinds = kinds_by_record(first, log, ask)
        row = rate(("", None), sum(1 for k in kinds.values() if k), len(first), None, is_immature(first.values(), ask))
        rows.append({
            name: value,
            "reviewed": row["denominator"],
            "exceptions": row["numerator"],
            **{column: row[column] for column in ("value", "ci_low", "ci_high", "status")},
        })
    return rows


def trend_routing_exceptions(log, ask):
    reviews = [r for r in log.reviews if ask.covers(r["occurred_at"])]
    weeks = sorted({week_of(r["occurred_at"], ask.time_zone) for r in reviews})
    rows = trend(log, ask, "week_start", week_of, reviews, weeks)
    x, n = [row["exceptions"] for row in rows], [row["reviewed"] for row in rows]
    if not rows:
        return []
    center, normal = sum(x) / sum(n), statistics.wilson(sum(x), sum(n))[1]
    alarms = statistics.shiryaev_roberts(x, n, normal, 2 * normal / (1 + normal)) if normal < 1 else [None] * len(n)
    averages = statistics.ewma_chart(x, n, center)
    for row, point, average, alarm in zip(rows, statistics.p_chart(x, n), averages, alarms):
        row.update(center=center, limit_low=point["low"], limit_high=point["high"], is_signal=point["is_signal"])
        row.update(laney_low=point["laney_low"], laney_high=point["laney_high"])
        row.update(ewma=average["ewma"], ewma_low=average["low"], ewma_high=average["high"], alarm=alarm)
    return rows


@dataclasses.dataclass
class InWeek(Question):
    """A question about the part of its period that lies in one week."""

    week: str = ""

    def covers(self, at_us):
        return super().covers(at_us) and week_of(at_us, self.time_zone) == self.week


def trend_rates(log, ask):
    """Each week is a period of its own for four metrics of actions."""
    inside = [a["proposal"]["occurred_at"] for a in log.actions if ask.covers(a["proposal"]["occurred_at"])]
    rows = []
    for metric in (approval_rate, execution_failure_rate, false_discovery_rate, rejection_rate):
        found = []
        for week in sorted({week_of(at, ask.time_zone) for at in inside}):
            asked = InWeek(**dataclasses.asdict(ask), week=week)
            whole = next(row for row in metric(log, asked) if row["grain"] == "period")
            if whole["denominator"]:
                columns = ("numerator", "denominator", "value", "ci_low", "ci_high", "status")
                found.append({"metric": metric.__name__, "week_start": week, **{c: whole[c] for c in columns}})
        points = statistics.p_chart([row["numerator"] for row in found], [row["denominator"] for row in found])
        for row, point in zip(found, points):
            row.update(center=point["center"], limit_low=point["low"], limit_high=point["high"])
            row.update({name: point[name] for name in ("laney_low", "laney_high", "is_signal")})
        rows += found
    return rows


def monthly_routing_exceptions(log, ask):
    last = date_of(ask.end - 1, ask.time_zone)
    count = last.year * 12 + last.month - 1
    months = [f"{m // 12:04d}-{m % 12 + 1:02d}" for m in range(count - 5, count + 1)]
    reviews = [r for r in log.reviews if r["occurred_at"] < ask.end]
    return trend(log, ask, "month", month_of, reviews, months)


def log_health(log, ask):
    names = ("received", "accepted", "duplicate", "conflict", "rejected", "late", "gaps")
    rows = {}

    def add(source, day, name, count):
        row = rows.setdefault((source, day), dict.fromkeys(names, 0))
        row[name] += count

    days = {day_of(us) for us in range(ask.start, ask.end, DAY_US)} | {day_of(ask.end - 1)}
    for event in log.events:
        if event["event_type"] == "evidence.received":
            for counts in json.loads(event["extra"])["counts"]:
                day = counts.get("day")
                if day in days if day else ask.covers(event["recorded_at"]):
                    for name in ("duplicate", "conflict", "rejected"):
                        add(counts["source"], day, name, counts[name])
                        add(counts["source"], day, "received", counts[name])
    sent = [e for e in log.events if not e["event_type"].startswith("evidence.")]
    for event in sent:
        if ask.covers(event["occurred_at"]):
            late = event["recorded_at"] - event["occurred_at"] > DAY_US
            add(event["source"], day_of(event["occurred_at"]), "received", 1)
            add(event["source"], day_of(event["occurred_at"]), "accepted", 1)
            add(event["source"], day_of(event["occurred_at"]), "late", int(late))
    for source in {e["source"] for e in sent}:
        numbered = [e for e in sent if e["source"] == source and "source_seq" in e]
        numbered.sort(key=lambda e: (e["source_seq"], order(e)))
        for before, event in zip(numbered, numbered[1:]):
            missing = event["source_seq"] - before["source_seq"] - 1
            if missing > 0 and ask.covers(event["occurred_at"]):
                add(source, day_of(event["occurred_at"]), "gaps", missing)
    return [{"source": source, "day": day, **counts} for (source, day), counts in rows.items()]


METRICS = (
    routing_exception_rate, exceptions_by_kind, exception_origin, flag_rate, miss_rate, decision_mix,
    approval_rate, rejection_rate, edit_rate, reversal_rate, fast_approval_share, auto_run_rate,
    false_discovery_rate, execution_failure_rate, retry_rate, rollback_rate, rollback_success_rate,
    rollback_readiness, approval_coverage, exposure, evidence_completeness, evidence_items, calibration,
    brier_score, confidence_threshold,
    segment_disparity, time_to_decision, trend_routing_exceptions, trend_rates, monthly_routing_exceptions,
    log_health,
)


def main(arguments):
    with open(arguments[0], encoding="utf-8") as lines:
        log = load(lines)
    ask = Question(*(micros(text) for text in arguments[1:4]), *(int(days) for days in arguments[4:5]))
    json.dump({metric.__name__: metric(log, ask) for metric in METRICS}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main(sys.argv[1:])
