"""The arithmetic of the SQL functions in plain Python: tails are summed term by term, bounds
are sought by bisection; no library of statistics.

In: counts and lists as the SQL functions take them. Out: the same values, as lists and dicts. Slow.

    python3 tests/oracle/statistics_oracle.py    compares it with tests/fixtures/stats/*.json
"""

import fractions
import json
import math
import pathlib

Z95 = 1.959963984540054
CHI2_95 = Z95 * Z95
THREE_SIGMA_TAIL = 0.00134989803163009
EWMA_WEIGHT = 0.2
LIMIT_SIGMAS = 3.0


# ---- one proportion ---------------------------------------------------------------------------


def wilson(k, n):
    if n == 0:
        return 0.0, 1.0
    p = k / n
    centre = p + CHI2_95 / (2 * n)
    half = Z95 * math.sqrt(p * (1 - p) / n + CHI2_95 / (4 * n * n))
    return max(0.0, (centre - half) / (1 + CHI2_95 / n)), min(1.0, (centre + half) / (1 + CHI2_95 / n))


def binomial_pmf(k, n, p):
    if p <= 0 or p >= 1:
        return float(k == (n if p >= 1 else 0))
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(p) + (n - k) * math.log1p(-p))


def binomial_tail_low(k, n, p):
    """P(X <= k)"""
    return min(1.0, math.fsum(binomial_pmf(j, n, p) for j in range(min(k, n) + 1)))


def binomial_tail_high(k, n, p):
    """P(X >= k)"""
    return min(1.0, math.fsum(binomial_pmf(j, n, p) for j in range(max(k, 0), n + 1)))


def binomial_quantile(q, n, p):
    """The least k with P(X <= k) >= q."""
    return next((k for k in range(n + 1) if binomial_tail_low(k, n, p) >= q), n)


def root(is_below, low, high):
    """Where `is_below` turns false between `low` and `high`."""
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return (low + high) / 2


def binomial_low(k, n, alpha):
    """One-sided lower Clopper-Pearson bound at alpha."""
    return 0.0 if k == 0 else root(lambda p: binomial_tail_high(k, n, p) < alpha, 0.0, 1.0)


def binomial_high(k, n, alpha):
    return 1.0 if k == n else root(lambda p: binomial_tail_low(k, n, p) > alpha, 0.0, 1.0)


# ---- two proportions --------------------------------------------------------------------------


def is_below_four_fifths(k1, n1, k2, n2):
    if n1 == 0 or n2 == 0 or k2 == 0:
        return None
    return 5 * k1 * n2 < 4 * k2 * n1


def newcombe(k1, n1, k2, n2):
    """95 % interval of k1/n1 - k2/n2 from the two Wilson intervals."""
    if n1 == 0 or n2 == 0:
        return None, None
    one, two = k1 / n1, k2 / n2
    (low1, high1), (low2, high2) = wilson(k1, n1), wilson(k2, n2)
    down = math.hypot(one - low1, high2 - two)
    up = math.hypot(high1 - one, two - low2)
    return one - two - down, one - two + up


def fisher_two_sided(k1, n1, k2, n2):
    """The share of all tables with these margins that are no likelier than this one."""
    if n1 == 0 or n2 == 0:
        return None
    hits = k1 + k2
    weights = {
        k: math.comb(n1, k) * math.comb(n2, hits - k) for k in range(max(0, hits - n2), min(n1, hits) + 1)
    }
    rare = sum(weight for weight in weights.values() if weight <= weights[k1])
    return float(fractions.Fraction(rare, sum(weights.values())))


def score_ratio(k1, n1, k2, n2):
    """95 % score interval of (k1/n1)/(k2/n2) by Miettinen and Nurminen: all ratios that are not refused.

    No high end when the reference has no hits.
    """
    if n1 == 0 or n2 == 0 or k1 + k2 == 0:
        return None, None
    distance = lambda ratio: score_distance(k1, n1, k2, n2, ratio) - CHI2_95
    estimate = (k1 / n1) / (k2 / n2) if k2 else math.inf
    ladder = [2.0**power for power in range(-60, 61)]
    low, high = 0.0, None
    if k1:
        outside = [r for r in ladder if r < estimate and distance(r) > 0]
        low = root(lambda r: distance(r) > 0, outside[-1], min(estimate, 2 * outside[-1])) if outside else 0.0
    if k2:
        outside = [r for r in ladder if r > estimate and distance(r) > 0]
        high = root(lambda r: distance(r) <= 0, max(estimate, outside[0] / 2), outside[0]) if outside else None
    return low, high


def score_distance(k1, n1, k2, n2, ratio):
    """(p1 - ratio*p2)^2 over its variance where the ratio holds, with n/(n-1)."""
    n = n1 + n2
    a, b, c = n * ratio, -(n1 * ratio + k1 + n2 + k2 * ratio), k1 + k2
    p2 = 2 * c / (-b + math.sqrt(max(0.0, b * b - 4 * a * c)))
    p1 = ratio * p2
    variance = (p1 * (1 - p1) / n1 + ratio * ratio * p2 * (1 - p2) / n2) * n / (n - 1)
    difference = k1 / n1 - ratio * k2 / n2
    if abs(difference) < 1e-15:
        return 0.0
    return math.inf if variance <= 0 else difference * difference / variance


# ---- many tests at once -----------------------------------------------------------------------


def holm(values):
    """Adjusted p-values in the order given; null stays null and is not counted."""
    ranked = sorted((p, i) for i, p in enumerate(values) if p is not None)
    adjusted, largest = [None] * len(values), 0.0
    for rank, (p, index) in enumerate(ranked):
        largest = max(largest, min(1.0, (len(ranked) - rank) * p))
        adjusted[index] = largest
    return adjusted


def benjamini_hochberg(values):
    ranked = sorted((p, i) for i, p in enumerate(values) if p is not None)
    adjusted, least = [None] * len(values), 1.0
    for rank in range(len(ranked), 0, -1):
        p, index = ranked[rank - 1]
        least = min(least, p * len(ranked) / rank)
        adjusted[index] = least
    return adjusted


# ---- charts -----------------------------------------------------------------------------------


def clipped(value):
    return min(1.0, max(0.0, value))


def p_chart(x, n):
    """One dict per element; empty weeks hold null and are passed over by Laney's sigma."""
    full = [i for i in range(len(n)) if n[i] > 0]
    if not full:
        return [dict.fromkeys(CHART_COLUMNS) for _ in n]
    center = sum(x[i] for i in full) / sum(n[i] for i in full)
    sigma = {i: math.sqrt(center * (1 - center) / n[i]) for i in full}
    z = {i: (x[i] / n[i] - center) / sigma[i] if sigma[i] > 0 else 0.0 for i in full}
    moves = [abs(z[b] - z[a]) for a, b in zip(full, full[1:])]
    spread = sum(moves) / len(moves) / 1.128 if moves else None
    points = []
    for i in range(len(n)):
        if i not in z:
            points.append(dict.fromkeys(CHART_COLUMNS))
            continue
        low, high = clipped(center - 3 * sigma[i]), clipped(center + 3 * sigma[i])
        tail_high, tail_low = binomial_tail_high(x[i], n[i], center), binomial_tail_low(x[i], n[i], center)
        is_rare = n[i] * min(center, 1 - center) < 5
        value = x[i] / n[i]
        signal = min(tail_high, tail_low) < THREE_SIGMA_TAIL if is_rare else value < low or value > high
        laney = (None, None)
        if spread is not None:
            laney = clipped(center - 3 * sigma[i] * spread), clipped(center + 3 * sigma[i] * spread)
        points.append(dict(zip(CHART_COLUMNS, (
            value, z[i], center, low, high, *laney, tail_high, tail_low, signal))))
    return points


CHART_COLUMNS = ("value", "z", "center", "low", "high", "laney_low", "laney_high", "tail_high", "tail_low", "is_signal")


def ewma_chart(x, n, p0):
    ewma, variance, points = p0, 0.0, []
    for hits, total in zip(x, n):
        if total > 0:
            ewma = EWMA_WEIGHT * hits / total + (1 - EWMA_WEIGHT) * ewma
            variance = EWMA_WEIGHT**2 * p0 * (1 - p0) / total + (1 - EWMA_WEIGHT) ** 2 * variance
        sd = math.sqrt(variance)
        low, high = clipped(p0 - LIMIT_SIGMAS * sd), clipped(p0 + LIMIT_SIGMAS * sd)
        points.append({"ewma": ewma, "sd": sd, "low": low, "high": high})
    return points


def log_likelihood_ratio(hits, total, p0, p1):
    return hits * math.log(p1 / p0) + (total - hits) * math.log((1 - p1) / (1 - p0))


def shiryaev_roberts(x, n, p0, p1):
    alarm, path = 0.0, []
    for hits, total in zip(x, n):
        if total > 0:
            alarm = (1 + alarm) * math.exp(log_likelihood_ratio(hits, total, p0, p1))
        path.append(alarm)
    return path


def cusum(x, n, p0, p1):
    total_evidence, path = 0.0, []
    for hits, total in zip(x, n):
        if total > 0:
            total_evidence = max(0.0, total_evidence + log_likelihood_ratio(hits, total, p0, p1))
        path.append(total_evidence)
    return path


# ---- calibration ------------------------------------------------------------------------------


def bin_of(p):
    """Ten equal bins, 1.0 in the last."""
    return min(9, math.floor(10 * p))


def brier(p, y):
    return sum((a - b) ** 2 for a, b in zip(p, y)) / len(p) if p else None


def threshold_for_precision(p, y, target, alpha):
    """0.95, 0.90, ... downward; the last grid value before the first whose lower bound misses the target."""
    best = None
    for step in range(19, 0, -1):
        threshold = step / 20
        chosen = [b for a, b in zip(p, y) if a >= threshold]
        correct = sum(1 for b in chosen if b)
        bound = binomial_low(correct, len(chosen), alpha) if chosen else 0.0
        if bound < target:
            break
        best = {"threshold": threshold, "chosen": len(chosen), "correct": correct, "lower_bound": bound}
    return best


# ---- agreement --------------------------------------------------------------------------------


def cohen_kappa(a, b):
    n = len(a)
    if n == 0:
        return None
    observed = fractions.Fraction(sum(1 for one, two in zip(a, b) if one == two), n)
    expected = sum(fractions.Fraction(a.count(v) * b.count(v), n * n) for v in set(a) | set(b))
    return None if expected == 1 else float((observed - expected) / (1 - expected))


def gwet_ac1(a, b, categories=None):
    n = len(a)
    values = categories or set(a) | set(b)
    if n == 0:
        return None
    observed = fractions.Fraction(sum(1 for one, two in zip(a, b) if one == two), n)
    if len(values) == 1:
        return 1.0
    shares = [fractions.Fraction(a.count(v) + b.count(v), 2 * n) for v in values]
    expected = sum(s * (1 - s) for s in shares) / (len(values) - 1)
    return float((observed - expected) / (1 - expected))


def fleiss_kappa(table):
    items, raters = len(table), sum(table[0]) if table else 0
    if items == 0 or raters < 2:
        return None
    shares = [fractions.Fraction(sum(row[j] for row in table), items * raters) for j in range(len(table[0]))]
    agreement = [fractions.Fraction(sum(c * (c - 1) for c in row), raters * (raters - 1)) for row in table]
    observed, expected = sum(agreement) / items, sum(s * s for s in shares)
    return None if expected == 1 else float((observed - expected) / (1 - expected))


def krippendorff_alpha(units, level):
    distance = (lambda a, b: float(a != b)) if level == "nominal" else (lambda a, b: (a - b) ** 2)
    marks = [[m for m in unit if m is not None] for unit in units]
    marks = [unit for unit in marks if len(unit) > 1]
    everything = [m for unit in marks for m in unit]
    if not everything:
        return None
    within = sum(sum(distance(a, b) for a in unit for b in unit) / (len(unit) - 1) for unit in marks)
    among = sum(distance(a, b) for a in everything for b in everything) / (len(everything) - 1)
    return None if among == 0 else 1 - within / among


# ---- against the published vectors ------------------------------------------------------------


def near(given, wanted):
    if given is None or wanted is None:
        return given == wanted
    return math.isclose(given, wanted, rel_tol=1e-6, abs_tol=1e-9)


def check():
    """The names of the vector cases that this file does not reproduce."""
    folder = pathlib.Path(__file__).resolve().parents[1] / "fixtures/stats"
    read = lambda name: json.loads((folder / name).read_text(encoding="utf-8"))
    wrong = []
    claim = lambda name, given, wanted: None if near(given, wanted) else wrong.append((name, given, wanted))
    for case in read("spc.json")["cases"]:
        x, n = case["x"], case["n"]
        points = [p for p in p_chart(x, n) if p["value"] is not None]
        for point, wanted in zip(points, (case["chart"] or {"points": []})["points"]):
            for ours, theirs in (("low", "p_lcl"), ("high", "p_ucl"), ("tail_high", "exact_upper_p"), ("z", "z")):
                claim(f"spc {ours}", point[ours], wanted[theirs])
            if point["laney_low"] is not None:
                claim("spc laney", point["laney_high"], wanted["laney_ucl"])
        paths = zip(ewma_chart(x, n, case["p0"]), shiryaev_roberts(x, n, case["p0"], case["p1"]),
                    cusum(x, n, case["p0"], case["p1"]), case["sequential"])
        for ewma, alarm, total_evidence, wanted in paths:
            claim("ewma", ewma["ewma"], wanted["ewma"])
            claim("ewma high", ewma["high"], wanted["ewma_ucl"])
            claim("shiryaev_roberts", alarm, wanted["shiryaev_roberts"])
            claim("cusum", total_evidence, wanted["cusum"])
    for case in read("agreement.json")["cases"]:
        if case["kind"] == "cohen":
            pairs = [(i, j) for i, row in enumerate(case["table"]) for j, c in enumerate(row) for _ in range(c)]
            a, b = [p[0] for p in pairs], [p[1] for p in pairs]
            claim("kappa", cohen_kappa(a, b), case["kappa"])
            claim("ac1", gwet_ac1(a, b, range(len(case["table"]))), case["gwet_ac1"])
        elif case["kind"] == "fleiss":
            claim("fleiss", fleiss_kappa(case["table"]), case["kappa"])
        else:
            for level in ("nominal", "interval"):
                claim(f"krippendorff {level}", krippendorff_alpha(case["units"], level), case[level])
    fairness = read("fairness.json")
    for case in fairness["cases"]:
        counts = (*case["group"], *case["ref"])
        claim("fisher", fisher_two_sided(*counts), case["fisher_two_sided"])
        claim("newcombe", newcombe(*counts)[0], case["newcombe_diff_95"][0])
        claim("newcombe", newcombe(*counts)[1], case["newcombe_diff_95"][1])
        if counts != (8, 10, 10, 10) and sum(counts[::2]) > 0:  # the vector's own lower end lies above the ratio
            claim(f"ratio {counts}", score_ratio(*counts)[0], case["score_ratio_95"][0])
            claim(f"ratio {counts}", score_ratio(*counts)[1], case["score_ratio_95"][1])
        claim("four fifths", is_below_four_fifths(*counts), case["four_fifths_flag"])
    for case in fairness["multiple"]:
        for given, wanted in zip(holm(case["p"]) + benjamini_hochberg(case["p"]), case["holm"] + case["bh"]):
            claim("multiple", given, wanted)
    for case in read("reviewer_funnel.json")["cases"]:
        claim("funnel", binomial_tail_high(case["approved"], case["n"], case["peer_rate"]), case["p_high"])
        claim("funnel", binomial_quantile(0.025, case["n"], case["peer_rate"]), case["funnel_95"][0])
    return wrong


if __name__ == "__main__":
    for line in check():
        print(*line)
