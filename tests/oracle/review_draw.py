"""Repeats a sample review from what anybody can export: frame, seed, order, counts and decision.

Standard library only; every number is a fraction of whole numbers. Reads one JSON document:

    {"frame": ["id\\tstratum\\tweight", ...], "plan": {...}, "seed": {...},
     "marks": [{"seq": 1, "reviewer": "ann", "item": "...", "mark": "correct"}, ...],
     "without_evidence": ["..."], "planted": ["..."]}

`plan` is `extra.plan` of review.planned, `seed` is `extra.seed` of review.drawn, a mark is `extra` of review.marked with
the event's seq and reviewer, `planted` are the ids of planted items. Writes one JSON document with frame_hash, seed_hash,
order_hash, the order, and N, D0, n, k, e, decision and next as `probity review status --json` gives them.

    python3 tests/oracle/review_draw.py export.json
"""

import hashlib
import itertools
import json
import sys
from fractions import Fraction
from math import ceil, comb, factorial, prod


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


# ---- frame, seed, order -----------------------------------------------------------------------


def frame_of(lines):
    """[(id, stratum, weight in hundredths)] by id, and the hash."""
    rows = sorted(line.rstrip("\n").split("\t") for line in lines)
    frame_hash = sha256("".join("\t".join(row) + "\n" for row in rows))
    return [(i, stratum, int(Fraction(weight) * 100)) for i, stratum, weight in rows], frame_hash


def seed_text(seed):
    lines = [
        "sample-review-seed/v1", seed["origin"], seed["size"], seed["root"], seed["frame_hash"], seed["plan_hash"],
        seed["attempt"],
    ]
    lines += [f"{e['kind']}:{e['hex']}" for e in sorted(seed.get("entropy", []), key=lambda e: e["kind"])]
    return "".join(f"{line}\n" for line in lines)


def ticket(seed_hash, item):
    return "0." + f"{int(sha256(seed_hash + item), 16):064d}"[::-1]


def turns(strata):
    """The strata in the order in which they give an item."""
    left = [s["items"] for s in strata]
    while any(left):
        for place, stratum in enumerate(strata):
            turn = min(left[place], stratum["per_round"])
            left[place] -= turn
            yield from [place] * turn


def unit(seed_hash, draw, value):
    limit = 2**128 // value * value
    t = 0
    while True:
        bits = int(sha256(f"mus/v1\n{seed_hash}\n{draw}\n{t}")[:32], 16)
        if bits < limit:
            return bits % value
        t += 1


def order_of(frame, plan, seed_hash):
    """The ids in the order of review, as many as the plan's most items."""
    most = plan["most_items"]
    if plan["claim"]["of"] == "value":
        units = [i for i, _, weight in frame for _ in range(weight)]
        return [units[unit(seed_hash, draw, len(units))] for draw in range(1, most + 1)]
    names = [s["stratum"] for s in plan["strata"]]
    queues = [sorted((ticket(seed_hash, i), i) for i, stratum, _ in frame if stratum == name) for name in names]
    return [queues[place].pop(0)[1] for place in turns(plan["strata"])][:most]


# ---- marks ------------------------------------------------------------------------------------

BADNESS = {"correct": 0, "escalate": 1, "incorrect": 2}


class Opinion:
    """One standing mark, and the people who called the item incorrect under it."""

    def __init__(self):
        self.mark, self.amount, self.refusers = None, None, set()

    def hear(self, who, mark, amount):
        if mark == "incorrect":
            if who in self.refusers and self.mark == "incorrect":
                amount = None if None in (amount, self.amount) else max(amount, self.amount)
            self.refusers.add(who)
            self.mark, self.amount = mark, amount
        elif mark == "escalate" and self.mark != "incorrect":
            self.mark = mark
        elif mark == "correct" and who not in self.refusers:
            self.mark = mark


def verdict(marks, reviewers_per_item):
    """(mark, wrong amount) of one item; mark None while it is open."""
    people, opinions = [], [Opinion() for _ in range(3 if reviewers_per_item == 2 else 1)]
    for m in marks:
        if m["reviewer"] not in people:
            people.append(m["reviewer"])
        place = min(people.index(m["reviewer"]), len(opinions) - 1)
        amount = m.get("wrong_amount")
        opinions[place].hear(m["reviewer"], m["mark"], None if amount is None else int(Fraction(amount) * 100))
        if place < 2 and len(opinions) == 3 and m["mark"] != "correct" and opinions[2].mark == "correct":
            opinions[2].mark = None
    amounts = [o.amount for o in opinions if o.mark == "incorrect"]
    amount = None if not amounts or None in amounts else max(amounts)
    if reviewers_per_item == 1:
        return opinions[0].mark, amount
    first, second, third = (o.mark for o in opinions)
    if None in (first, second):
        return None, None
    worse = max(first, second, key=BADNESS.get)
    if third == "correct" and [first, second] != ["incorrect", "incorrect"]:
        return "correct", None
    if third not in (None, "correct"):
        worse = max(worse, third, key=BADNESS.get)
    return worse, amount


def verdicts_of(export):
    per_item = {}
    for m in sorted(export["marks"], key=lambda m: m["seq"]):
        per_item.setdefault(m["item"], []).append(m)
    found = {i: verdict(marks, export["plan"]["reviewers_per_item"]) for i, marks in per_item.items()}
    found = {i: v for i, v in found.items() if v[0] is not None}
    found.update({i: ("without_evidence", None) for i in export.get("without_evidence", [])})
    return found


# ---- evidence ---------------------------------------------------------------------------------

CERTAIN = "certain"


def falling(a, k):
    return prod(range(a - k + 1, a + 1)) if k <= a else 0


def likelihood(size, n, k, d):
    return falling(d, k) * falling(size - d, n - k)


def mixture(size, n, k, d0):
    grid = min(32, d0)
    alternatives = sum(
        Fraction(grid + 1, grid * (i + 1) * (i + 2)) * likelihood(size, n, k, i * d0 // grid) for i in range(grid)
    )
    even = Fraction(falling(size, n) * factorial(k) * factorial(n - k), factorial(n + 1))
    return Fraction(9, 10) * alternatives + Fraction(1, 10) * even


def greatest(samples, d0):
    """The greatest product of likelihoods with d0 errors or more in all, error by error where it costs least."""
    def gain(size, n, k, d):
        return Fraction((d + 1) * (size - d - (n - k)), (d + 1 - k) * (size - d)) if d < size - (n - k) else Fraction(-1)

    errors = [min(max(k * (size + 1) // n if n else 0, k), size - (n - k)) for size, n, k in samples]
    while sum(errors) < d0:
        best = max(range(len(samples)), key=lambda s: gain(*samples[s], errors[s]))
        errors[best] += 1
    return prod(likelihood(*sample, d) for sample, d in zip(samples, errors))


def e_of_strata(samples, d0s, d0):
    if d0 == 0:
        return Fraction(0)
    if sum(size - (n - k) for size, n, k in samples) < d0:
        return CERTAIN
    return prod(mixture(*sample, own) for sample, own in zip(samples, d0s)) / greatest(samples, d0)


def inverse_tail(size, n, k, d0):
    """One over the probability of k or fewer errors among n of a frame with d0."""
    ways = sum(comb(d0, j) * comb(size - d0, n - j) for j in range(k + 1) if n - j <= size - d0)
    return Fraction(comb(size, n), ways) if ways else CERTAIN


def e_of_bets(taints, below):
    total = Fraction(0)
    for i in range(32):
        p = Fraction(i, 32) * below
        total += Fraction(33, 32 * (i + 1) * (i + 2)) * prod(
            (x * p / below + (1 - x) * (1 - p) / (1 - below) for x in taints), start=Fraction(1)
        )
    return total


def tail(n, rate, k):
    return sum(comb(n, j) * rate**j * (1 - rate) ** (n - j) for j in range(k + 1))


def caught_share(planted, caught, error):
    """The largest share in millionths under which so many or more caught are as rare as the error."""
    low, high = 0, 10**6
    while high - low > 1 and caught:
        middle = (low + high) // 2
        is_rare = tail(planted, 1 - Fraction(middle, 10**6), planted - caught) <= error
        low, high = (middle, high) if is_rare else (low, middle)
    return Fraction(low, 10**6)


def recorded_errors(d0, share, error):
    return max(m for m in range(d0 + 1) if (tail(d0, share, m - 1) if m else 0) <= error)


def digits(e):
    """Six digits rounded down."""
    if e == CERTAIN:
        return "inf"
    if e == 0:
        return "0"
    power = 0
    while e >= Fraction(10) ** (power + 1):
        power += 1
    while e < Fraction(10) ** power:
        power -= 1
    text = str(int(e / Fraction(10) ** (power - 5)))
    if 0 <= power <= 5:
        whole, decimals = text[: power + 1], text[power + 1 :]
    elif -4 <= power < 0:
        whole, decimals = "0", "0" * (-power - 1) + text
    else:
        whole, decimals = text[0], text[1:]
    decimals = decimals.rstrip("0")
    return whole + ("." + decimals if decimals else "") + ("" if -4 <= power <= 5 else f"e{power}")


# ---- decision ---------------------------------------------------------------------------------


class Review:
    def __init__(self, export):
        self.plan, self.export = export["plan"], export
        self.frame, self.frame_hash = frame_of(export["frame"])
        self.stratum = {i: stratum for i, stratum, _ in self.frame}
        self.weight = {i: weight for i, _, weight in self.frame}
        self.seed_hash = sha256(seed_text(export["seed"]))
        self.order = order_of(self.frame, self.plan, self.seed_hash)
        self.verdicts = verdicts_of(export)
        self.below, self.of = Fraction(self.plan["claim"]["below"]), self.plan["claim"]["of"]
        attempt, planted = self.plan["attempt"], self.plan.get("planted")
        self.alpha = Fraction(self.plan["alpha"]) / (attempt * (attempt + 1)) / (3 if planted else 1)

    def target(self, d0, best):
        """The recorded errors that the claim excludes; `best`: as if unmarked planted items were caught."""
        planted = self.plan.get("planted")
        if not planted:
            return d0
        marks = [self.verdicts[i][0] for i in self.export.get("planted", []) if i in self.verdicts]
        missing, caught = planted["items"] - len(marks), sum(mark != "correct" for mark in marks)
        if missing and not best:
            return 0
        return recorded_errors(d0, caught_share(planted["items"], caught + missing, self.alpha), self.alpha)

    def evidence(self, findings, best=False):
        """Per target the evidence, of findings [(id, is wrong, wrong amount)] in order."""
        if self.of == "value":
            return [self.evidence_of_value(findings)]
        strata = self.plan["strata"]
        n = {s["stratum"]: 0 for s in strata}
        k = dict(n)
        for item, is_wrong, _ in findings:
            n[self.stratum[item]] += 1
            k[self.stratum[item]] += is_wrong
        samples = [(s["items"], n[s["stratum"]], k[s["stratum"]]) for s in strata]
        is_fixed = self.plan["procedure"] == "fixed"
        if self.of == "each_stratum":
            return [self.evidence_alone(s, sample, is_fixed, best) for s, sample in zip(strata, samples)]
        target = self.target(ceil(self.below * len(self.frame)), best)
        if target and sum(size - (n - k) for size, n, k in samples) < target:
            return [CERTAIN]
        whole = [sample for s, sample in zip(strata, samples) if s.get("is_take_all")]
        rest = [sample for s, sample in zip(strata, samples) if not s.get("is_take_all")]
        d0 = max(0, target - sum(k for _, _, k in whole))
        if d0 == 0 or not rest or any(n < size for size, n, _ in whole):
            return [Fraction(0)]
        if is_fixed and len(rest) == 1:
            return [inverse_tail(*rest[0], d0)]
        is_plain = not whole and not self.plan.get("planted")
        rate = self.below if is_plain else Fraction(d0, sum(size for size, _, _ in rest))
        return [e_of_strata(rest, [min(max(ceil(rate * size), 1), size) for size, _, _ in rest], d0)]

    def evidence_alone(self, stratum, sample, is_fixed, best):
        size, n, k = sample
        target = self.target(ceil(self.below * size), best)
        if target and size - (n - k) < target:
            return CERTAIN
        if target == 0 or stratum.get("is_take_all"):
            return Fraction(0)
        return inverse_tail(*sample, target) if is_fixed else e_of_strata([sample], [target], target)

    def evidence_of_value(self, findings):
        total = sum(self.weight.values())
        right = sum({item: self.weight[item] - wrong for item, _, wrong in findings}.values())
        if total - right < self.below * total:
            return CERTAIN
        return e_of_bets([Fraction(wrong, self.weight[item]) for item, _, wrong in findings], self.below)

    def finding(self, item, assumed=None):
        mark, amount = self.verdicts.get(item, (assumed, None))
        weight = self.weight[item]
        if mark == "correct":
            return item, False, 0
        return item, True, weight if mark == "without_evidence" or amount is None else min(amount, weight)

    def is_shown(self, evidences):
        return all(e == CERTAIN or e * self.alpha >= 1 for e in evidences)

    def is_false(self, counted):
        settled = [i for i in counted if self.verdicts.get(i, ("",))[0] in ("incorrect", "without_evidence")]
        if self.of == "value":
            wrong = sum(self.finding(i)[2] for i in set(settled))
            return wrong >= self.below * sum(self.weight.values())
        if self.of == "overall":
            return len(settled) >= ceil(self.below * len(self.frame))
        return any(
            sum(self.stratum[i] == s["stratum"] for i in settled) >= ceil(self.below * s["items"])
            for s in self.plan["strata"]
        )

    def decide(self):
        """(counted ids, evidence, decision, next)"""
        is_fixed = self.plan["procedure"] == "fixed"
        counted = self.order if is_fixed else self.order[: self.turns_marked()]
        evidences = self.evidence([self.finding(i) for i in counted])
        if self.is_false(counted):
            return counted, evidences, "REJECTED", None
        if self.is_shown(evidences):
            return counted, evidences, "ENABLE", 0
        found = self.next(is_fixed)
        if found is None:
            return counted, evidences, "PAUSED", None
        more, later = found
        return counted, evidences, "CENSUS" if all(e == CERTAIN for e in later) else "EXTEND", more

    def turns_marked(self):
        return next((n for n, i in enumerate(self.order) if i not in self.verdicts), len(self.order))

    def next(self, is_fixed):
        """The least number of further correct marks that shows the claim, and the evidence then."""
        unmarked = list(dict.fromkeys(i for i in self.order if i not in self.verdicts))
        for more in range(len(unmarked) + 1):
            assumed = set(unmarked[:more])
            items = self.order
            if not is_fixed:
                items = itertools.takewhile(lambda i: i in self.verdicts or i in assumed, self.order)
            findings = [self.finding(i, "correct" if i in assumed else None) for i in items]
            later = self.evidence(findings, best=True)
            if self.is_shown(later):
                return more, later
        return None

    def result(self):
        counted, evidences, decision, more = self.decide()
        least = min(evidences, key=lambda e: (e == CERTAIN, 0 if e == CERTAIN else e))
        return {
            "frame_hash": self.frame_hash,
            "seed_hash": self.seed_hash,
            "order_hash": sha256("".join(f"{i}\n" for i in self.order)),
            "order": self.order,
            "N": len(self.frame),
            "D0": None if self.of == "value" else ceil(self.below * len(self.frame)),
            "n": len(counted),
            "k": sum(self.finding(i)[1] for i in counted),
            "e": digits(least),
            "decision": decision,
            "next": more,
        }


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(json.dumps(Review(json.load(file)).result()))
