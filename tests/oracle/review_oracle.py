"""The tables about sample reviews, and about what reviewers do by type of recommendation, as loops over events.

In: a `Log` and the parameters. Out: for each table the rows that `queries/review/NAME.sql` returns. What a review's
events state is taken as it stands; `review_draw.py` computes it again.
"""

import json

import governance_oracle as governance
import metrics_oracle as metrics
import scopes
import statistics_oracle as statistics
from fold import APPROVED, SECOND_US, decision

WORDS = ("correct", "incorrect")
COURSE = ("review.planned", "review.drawn", "review.marked", "review.decided", "workflow.resumed")
OPEN_ENDED = ("EXTEND", "CENSUS")


def statements(log):
    """The engine's own events about reviews; who may send events cannot make one up."""
    return [e for e in log.events if e["source"] == "probity" and "review_id" in e]


def said(event):
    return json.loads(event["extra"])


def share(part, whole):
    return part / whole if whole else None


def seconds(micros):
    return None if micros is None else micros / SECOND_US


# ---- reviews ----------------------------------------------------------------------------------


def review_results(log, ask):
    courses = {}
    for event in statements(log):
        if event["event_type"] in COURSE and event["occurred_at"] < ask.end:
            courses.setdefault(event["review_id"], []).append(event)
    rows = []
    for review_id, events in courses.items():
        of = {kind: [e for e in events if e["event_type"] == kind] for kind in COURSE}
        if of["review.planned"] and max(e["occurred_at"] for e in events) >= ask.start:
            rows.append(result_of(review_id, of))
    return rows


def result_of(review_id, of):
    first = of["review.planned"][0]
    plan, last = said(first), of["review.decided"][-1] if of["review.decided"] else None
    status = said(last)["status"] if last else {}
    state = "drawn" if of["review.drawn"] else "planned"
    if last:
        state = "extended" if status["decision"] in OPEN_ENDED else "closed"
    return {
        "review_id": review_id, "planned_at": first["occurred_at"], "workflow": first.get("workflow"),
        "area": first.get("permission_area"), "purpose": plan["purpose"], "attempt": plan["plan"]["attempt"],
        "claim": plan["plan"]["claim"]["below"], "frame": plan["plan"]["frame"]["items"],
        "marks": len(of["review.marked"]), "decision": status.get("decision"), "reviewed": status.get("n"),
        "wrong": status.get("k"), "e": status.get("e"), "signed_by": last.get("actor_id") if last else None,
        "decided_at": last["occurred_at"] if last else None,
        "resumed_at": min((e["occurred_at"] for e in of["workflow.resumed"]), default=None), "state": state,
    }


# ---- marks ------------------------------------------------------------------------------------


def marks(log, ask):
    """(review, reviewer, item): its marks in the period, the first one first."""
    found = {}
    for event in statements(log):
        if event["event_type"] == "review.marked" and "reviewer" in event and ask.covers(event["occurred_at"]):
            key = event["review_id"], event["reviewer"], said(event)["item"]
            found.setdefault(key, []).append(event)
    return found


def marking_agreement(log, ask):
    first = {}
    for (review_id, reviewer, item), events in marks(log, ask).items():
        words = [said(e)["mark"] for e in events if said(e)["mark"] in WORDS]
        if words:
            first[review_id, item, reviewer] = words[0]
    pairs = {}
    for (review_id, item, one), word in first.items():
        for (other_review, other_item, two), other_word in first.items():
            if (review_id, item) == (other_review, other_item) and one < two:
                pairs.setdefault((one, two), []).append((word, other_word))
    return [{
        "first_reviewer": one, "second_reviewer": two, "items": len(both),
        "observed": sum(1 for x, y in both if x == y) / len(both),
        "kappa": statistics.cohen_kappa([x for x, _ in both], [y for _, y in both]),
        "ac1": statistics.gwet_ac1([x for x, _ in both], [y for _, y in both]),
    } for (one, two), both in pairs.items()]


def marking_patterns(log, ask):
    decided = [e for e in statements(log) if e["event_type"] == "review.decided"]
    planted = {(e["review_id"], item) for e in decided for item in said(e).get("planted", [])}
    last = {key: events[-1] for key, events in marks(log, ask).items()}
    rows = []
    for name in sorted({reviewer for _, reviewer, _ in last}):
        rows.append(marking_of(name, last, planted, ask))
    compared = [row for row in rows if row["peer_rate"] is not None]
    for row, adjusted in zip(compared, statistics.holm([row["p_high"] for row in compared])):
        row["p_high_holm"] = adjusted
    for row in rows:
        row["signals"] = signals_of(row, rows, len(compared), ask)
    return [{k: v for k, v in row.items() if not k.startswith("_")} for row in rows]


def is_judged(event):
    return said(event)["mark"] in WORDS


def is_correct(event):
    return said(event)["mark"] == "correct"


def marking_of(name, last, planted, ask):
    own = {key: event for key, event in last.items() if key[1] == name}
    others = {key: event for key, event in last.items() if key[1] != name}
    judged, correct = sum(map(is_judged, own.values())), sum(map(is_correct, own.values()))
    spans = [e["occurred_at"] - e["review_opened_at"] for e in own.values() if "review_opened_at" in e]
    read = [e["occurred_at"] - e["review_opened_at"] for e in own.values() if is_correct(e) and "review_opened_at" in e]
    fast = sum(1 for span in read if span < ask.fast_seconds * SECOND_US)
    known = [event for (review_id, _, item), event in own.items() if (review_id, item) in planted]
    peer = peer_rate_of_marks(own, others)
    return {
        "reviewer": name, "marked": len(own), "judged": judged, "correct": correct, "value": share(correct, judged),
        "peer_rate": peer,
        "p_high": None if peer is None else statistics.binomial_tail_high(correct, judged, peer),
        "p_low": None if peer is None else statistics.binomial_tail_low(correct, judged, peer),
        "p_high_holm": None, "opened": len(spans), "fast_share": share(fast, len(read)),
        "median_seconds": seconds(metrics.nearest_rank(spans, 1, 2)),
        "planted": len(known), "planted_missed": sum(map(is_correct, known)),
        "_read": len(read), "_fast": fast, "_others_judged": sum(map(is_judged, others.values())),
    }


def peer_rate_of_marks(own, others):
    """What the others call correct in the review of each mark, where there are none in any review; half a mark in one
    is added."""

    def smoothed(events):
        return (sum(map(is_correct, events)) + 0.5) / (len(events) + 1)

    judged = [(key, e) for key, e in own.items() if is_judged(e)]
    by_others = [(key, e) for key, e in others.items() if is_judged(e)]
    if not judged or not by_others:
        return None
    total = 0.0
    for (review_id, _, _), _ in judged:
        alike = [e for key, e in by_others if key[0] == review_id]
        total += smoothed(alike or [e for _, e in by_others])
    return total / len(judged)


def signals_of(row, rows, compared, ask):
    others = [other for other in rows if other is not row]
    others_marked, others_opened = sum(o["marked"] for o in others), sum(o["opened"] for o in others)
    is_telling = row["peer_rate"] is not None and row["_others_judged"] >= 20
    all_signals = (
        (row["correct"] == row["judged"] >= 20, "calls everything correct"),
        (is_telling and row["p_high_holm"] < 0.05, "finds fewer errors than the others"),
        (is_telling and row["p_low"] * compared < 0.05, "finds more errors than the others"),
        (row["_read"] >= 5 and row["_fast"] * 2 >= row["_read"],
         f"half or more of the correct ones within {ask.fast_seconds} s"),
        (row["marked"] >= 5 and row["opened"] * 2 < row["marked"] and others_opened * 2 > others_marked,
         "items mostly not opened, unlike the others"),
        (row["planted"] >= 4 and row["planted_missed"] * 2 >= row["planted"], "half or more of the planted errors missed"),
    )
    return "; ".join(words for holds, words in all_signals if holds) or None


# ---- decisions by type ------------------------------------------------------------------------


def reviewer_types(log, ask):
    inside = governance.cohort(log, ask)
    judged = [a for a in inside if decision(a, "final") in governance.DECIDED and "reviewer" in a["final"]]
    rows = [type_of(who, kind, judged, inside, ask)
            for who, kind in {(a["final"]["reviewer"], a.get("issue_type")) for a in judged}]
    compared = [row for row in rows if row["peer_rate"] is not None]
    for row, adjusted in zip(compared, statistics.holm([row["p_high"] for row in compared])):
        row["p_high_holm"] = adjusted
    return rows


def type_of(who, kind, judged, inside, ask):
    alike = [a for a in judged if a.get("issue_type") == kind]
    own = [a for a in alike if a["final"]["reviewer"] == who]
    others = [a for a in alike if a["final"]["reviewer"] != who]
    approved, peers = (sum(1 for a in some if decision(a, "final") in APPROVED) for some in (own, others))
    peer = (peers + 0.5) / (len(others) + 1) if others else None
    first = [a["first"] for a in inside if a.get("issue_type") == kind and scopes.first_reviewer(a) == who]
    opened = [e for e in first if "review_opened_at" in e]
    spans = [e["occurred_at"] - e["review_opened_at"] for e in opened]
    read = [e["occurred_at"] - e["review_opened_at"] for e in opened if e["decision"] in APPROVED]
    return {
        "reviewer": who, "issue_type": kind, "decided": len(own), "approved": approved, "value": approved / len(own),
        "peer_decided": len(others), "peer_rate": peer,
        "p_high": None if peer is None else statistics.binomial_tail_high(approved, len(own), peer),
        "p_low": None if peer is None else statistics.binomial_tail_low(approved, len(own), peer),
        "p_high_holm": None, "first_decided": len(first), "unopened_share": share(len(first) - len(opened), len(first)),
        "fast_share": share(sum(1 for span in read if span < ask.fast_seconds * SECOND_US), len(read)),
        **{f"seconds_{rank}": seconds(metrics.nearest_rank(spans, rank, 100)) for rank in (10, 50, 90)},
    }


TABLES = (review_results, marking_agreement, marking_patterns, reviewer_types)
