"""Metrics of how right the agent is, and for whom: calibration, confidence threshold, segments.

In: a `Log` and the parameters. Out: rows of `calibration`, `brier_score`, `confidence_threshold` and
`segment_disparity`.
"""

import statistics_oracle as statistics
from fold import APPROVED, decision, is_unresolved, verdict_of
from scopes import action_scopes, is_young_scope, rate, status_of

SMALLEST_SEGMENT = 10


# ---- confidence -------------------------------------------------------------------------------


def judged(actions, log, ask):
    """(confidence, was right) of the actions that have both."""
    pairs = []
    for action in actions:
        verdict = verdict_of(action, log, ask.maturity_us)
        if "confidence" in action and verdict in ("true_positive", "false_positive"):
            pairs.append((action["confidence"], verdict == "true_positive"))
    return sorted(pairs)


def calibration(log, ask):
    rows = []
    for scope, actions in action_scopes(log, ask).items():
        pairs = judged(actions, log, ask)
        for number in range(10):
            inside = [(p, y) for p, y in pairs if statistics.bin_of(p) == number]
            if not inside and scope[0] != "period":
                continue
            row = rate(scope, sum(1 for _, y in inside if y), len(inside), None, is_young_scope(actions, ask))
            row.update(bin=number, low=number / 10, high=(number + 1) / 10)
            row["mean_confidence"] = sum(p for p, _ in inside) / len(inside) if inside else None
            rows.append(row)
    return rows


def brier_score(log, ask):
    rows = []
    for scope, actions in action_scopes(log, ask).items():
        pairs = judged(actions, log, ask)
        pending = sum(1 for a in actions if is_unresolved(a))
        row = rate(scope, sum(1 for _, y in pairs if y), len(pairs), pending, is_young_scope(actions, ask))
        base = row["value"]
        row.update(value=statistics.brier([p for p, _ in pairs], [y for _, y in pairs]), ci_low=None, ci_high=None)
        row.update(base_rate=base, naive_score=None if base is None else base * (1 - base))
        rows.append(row)
    return rows


def confidence_threshold(log, ask):
    rows = []
    for scope, actions in action_scopes(log, ask).items():
        pairs = judged(actions, log, ask)
        pending = sum(1 for a in actions if is_unresolved(a))
        row = rate(scope, sum(1 for _, y in pairs if y), len(pairs), pending, is_young_scope(actions, ask))
        p, y = [p for p, _ in pairs], [y for _, y in pairs]
        found = statistics.threshold_for_precision(p, y, ask.target, ask.alpha) or {}
        row.update({name: found.get(name) for name in ("threshold", "chosen", "correct", "lower_bound")})
        rows.append(row)
    return rows


# ---- segments ---------------------------------------------------------------------------------


def segment_disparity(log, ask):
    """Per workflow, and over all of them (null): each segment against the best."""
    inside = [a for a in log.actions if ask.covers(a["proposal"]["occurred_at"]) and "segment" in a]
    decided = [a for a in inside if decision(a, "final") in APPROVED + ("rejected",)]
    rows = []
    for workflow in [None] + sorted({a["workflow"] for a in decided if "workflow" in a}):
        own = [a for a in decided if workflow is None or a.get("workflow") == workflow]
        rows += disparities(workflow, sorted({a["segment"] for a in own}), own)
    return rows


def disparities(workflow, names, decided):
    counts = {}
    for name in names:
        own = [a for a in decided if a["segment"] == name]
        counts[name] = (sum(1 for a in own if decision(a, "final") in APPROVED), len(own))
    large = {name: c for name, c in counts.items() if c[1] >= SMALLEST_SEGMENT}
    best = min(large, key=lambda name: (-large[name][0] / large[name][1], -large[name][1], name)) if large else None
    tests = {name: statistics.fisher_two_sided(*large[name], *large[best]) for name in large if name != best}
    adjusted = dict(zip(tests, statistics.holm(list(tests.values()))))
    rows = []
    for name in names:
        row = {"workflow": workflow, "segment": name}
        row.update(dict.fromkeys((
            "numerator", "denominator", "value", "ci_low", "ci_high", "reference", "ratio", "ratio_low", "ratio_high",
            "is_below_four_fifths", "p_value", "p_holm", "verdict")))
        row["status"] = "suppressed"
        if name in large:
            hits, total = large[name]
            low, high = statistics.wilson(hits, total)
            row.update(numerator=hits, denominator=total, value=hits / total, ci_low=low, ci_high=high,
                       reference=best, status=status_of(total, False))
            row.update(compared(hits, total, *large[best]))
            if name == best:
                row.update(ratio_low=None, ratio_high=None, verdict=None)
            else:
                row.update(p_value=tests[name], p_holm=adjusted[name])
        rows.append(row)
    return rows


def compared(hits, total, best_hits, best_total):
    low, high = statistics.score_ratio(hits, total, best_hits, best_total)
    verdict = None
    if best_hits:
        verdict = "adverse" if high is not None and high < 0.8 else "no_evidence" if low >= 0.8 else "inconclusive"
    return {
        "ratio": (hits * best_total) / (total * best_hits) if best_hits else None,
        "ratio_low": low,
        "ratio_high": high,
        "is_below_four_fifths": statistics.is_below_four_fifths(hits, total, best_hits, best_total),
        "verdict": verdict,
    }
