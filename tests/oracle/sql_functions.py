"""Stand-ins for the SQL functions of the engine, in Python: each calls the oracle's formula row by row.

In: a datafusion session. Out: the functions registered under the names that queries/ use.
"""

import datetime
import json
import zoneinfo

import datafusion
import pyarrow as pa

import policy_oracle
import statistics_oracle as statistics

TEXT = pa.string_view()
PLAIN = pa.string()
WHOLE, NUMBER, TRUTH = pa.int64(), pa.float64(), pa.bool_()
INSTANT, WALL = pa.timestamp("us", "UTC"), pa.timestamp("us")
RULE_TYPES = {
    "position": WHOLE, "level": WHOLE, "amount": pa.decimal128(18, 2), "number": NUMBER, "hours": NUMBER, "days": WHOLE,
}
RULES = pa.list_(pa.struct([(name, RULE_TYPES.get(name, PLAIN)) for name in policy_oracle.RULE_COLUMNS]))
COUNTS = pa.list_(pa.struct(
    [("source", PLAIN), ("day", PLAIN)]
    + [(name, WHOLE) for name in ("received", "accepted", "duplicate", "conflict", "rejected")]
))
CHART = pa.list_(pa.struct(
    [(name, TRUTH if name == "is_signal" else NUMBER) for name in statistics.CHART_COLUMNS]
))
EWMA = pa.list_(pa.struct([(name, NUMBER) for name in ("ewma", "sd", "low", "high")]))
THRESHOLD_FIELDS = [("threshold", NUMBER), ("chosen", WHOLE), ("correct", WHOLE), ("lower_bound", NUMBER)]
THRESHOLD = pa.struct(THRESHOLD_FIELDS)
RULING = pa.struct([("level", WHOLE), ("is_level_in_need", TRUTH), ("needs_approval", TRUTH), ("because", PLAIN)])
CASE = (
    "workflow", "permission_area", "permission_level", "system", "record_type", "field", "operation", "issue_type",
    "amount", "currency", "policy_outcome",
)
CASE_TYPES = {"permission_level": WHOLE, "amount": pa.decimal128(18, 2)}
WHOLES, NUMBERS, TRUTHS, TEXTS = (pa.list_(kind) for kind in (WHOLE, NUMBER, TRUTH, TEXT))


def side(pair, index):
    return None if pair is None else pair[index]


def local_time(at, zone):
    return at.astimezone(zoneinfo.ZoneInfo(zone)).replace(tzinfo=None)


def utc_time(at, zone):
    return at.replace(tzinfo=zoneinfo.ZoneInfo(zone)).astimezone(datetime.timezone.utc)


def effective_from(document):
    """As the document says; null for a text that is no policy or does not say."""
    try:
        policy_oracle.parse(document)
        text = policy_oracle.tomllib.loads(document)
    except (KeyError, ValueError):
        return None
    return text.get("effective_from")


def rules(document):
    try:
        return policy_oracle.parse(document)
    except (KeyError, ValueError):
        return None


def json_text(document, pointer):
    return text_of(value_at(document, pointer))


def json_list(document, pointer):
    value = value_at(document, pointer)
    return [text_of(item) for item in value] if isinstance(value, list) else None


def value_at(document, pointer):
    value = json.loads(document)
    for part in pointer.split("/")[1:]:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def text_of(value):
    return value if value is None or isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def wilson_low(k, n):
    return statistics.wilson(k, n)[0]


def wilson_high(k, n):
    return statistics.wilson(k, n)[1]


def threshold(p, y, target, alpha):
    """Null fields rather than a null struct: the fields of a null struct are undefined."""
    nothing = dict.fromkeys(name for name, _ in THRESHOLD_FIELDS)
    return statistics.threshold_for_precision(p, y, target, alpha) or nothing


def policy_ruling(document, *case):
    """What the oracle says of a case; what is null is not known of it."""
    policy = {"rules": policy_oracle.parse(document)}
    thing = {name: value for name, value in zip(CASE, case, strict=True) if value is not None}
    level, is_level_in_need = policy_oracle.level_of(policy, thing), policy_oracle.is_level_in_need(policy, thing)
    required = [r for r in policy_oracle.rules_of(policy, "approval_required") if policy_oracle.requires_approval(r, thing)]
    reasons = [
        "policy_outcome approval_required" if thing.get("policy_outcome") == "approval_required" else None,
        f"level {level}" if is_level_in_need else None,
        min(required, key=policy_oracle.rank)["name"] if required else None,
    ]
    return {
        "level": level,
        "is_level_in_need": is_level_in_need,
        "needs_approval": policy_oracle.needs_approval(policy, thing),
        "because": "; ".join(reason for reason in reasons if reason) or None,
    }


FUNCTIONS = {
    "wilson_low": (wilson_low, [WHOLE] * 2, NUMBER),
    "wilson_high": (wilson_high, [WHOLE] * 2, NUMBER),
    "binomial_tail_low": (statistics.binomial_tail_low, [WHOLE, WHOLE, NUMBER], NUMBER),
    "binomial_tail_high": (statistics.binomial_tail_high, [WHOLE, WHOLE, NUMBER], NUMBER),
    "binomial_quantile": (statistics.binomial_quantile, [NUMBER, WHOLE, NUMBER], WHOLE),
    "fisher_two_sided": (statistics.fisher_two_sided, [WHOLE] * 4, NUMBER),
    "is_below_four_fifths": (statistics.is_below_four_fifths, [WHOLE] * 4, TRUTH),
    "newcombe_low": (lambda *counts: side(statistics.newcombe(*counts), 0), [WHOLE] * 4, NUMBER),
    "newcombe_high": (lambda *counts: side(statistics.newcombe(*counts), 1), [WHOLE] * 4, NUMBER),
    "ratio_low": (lambda *counts: side(statistics.score_ratio(*counts), 0), [WHOLE] * 4, NUMBER),
    "ratio_high": (lambda *counts: side(statistics.score_ratio(*counts), 1), [WHOLE] * 4, NUMBER),
    "p_chart": (statistics.p_chart, [WHOLES] * 2, CHART),
    "ewma_chart": (statistics.ewma_chart, [WHOLES, WHOLES, NUMBER], EWMA),
    "shiryaev_roberts": (statistics.shiryaev_roberts, [WHOLES, WHOLES, NUMBER, NUMBER], NUMBERS),
    "cusum": (statistics.cusum, [WHOLES, WHOLES, NUMBER, NUMBER], NUMBERS),
    "holm": (statistics.holm, [NUMBERS], NUMBERS),
    "benjamini_hochberg": (statistics.benjamini_hochberg, [NUMBERS], NUMBERS),
    "brier": (statistics.brier, [NUMBERS, TRUTHS], NUMBER),
    "threshold_for_precision": (threshold, [NUMBERS, TRUTHS, NUMBER, NUMBER], THRESHOLD),
    "cohen_kappa": (statistics.cohen_kappa, [TEXTS] * 2, NUMBER),
    "gwet_ac1": (statistics.gwet_ac1, [TEXTS] * 2, NUMBER),
    "local_time": (local_time, [INSTANT, TEXT], WALL),
    "utc_time": (utc_time, [WALL, TEXT], INSTANT),
    "json_text": (json_text, [TEXT, TEXT], PLAIN),
    "json_list": (json_list, [TEXT, TEXT], TEXTS),
    "parse_policy": (rules, [TEXT], RULES),
    "policy_effective_from": (effective_from, [TEXT], INSTANT),
    "received_counts": (lambda extra: json.loads(extra)["counts"], [TEXT], COUNTS),
}


def register(session):
    for name, (formula, inputs, output) in FUNCTIONS.items():
        session.register_udf(datafusion.udf(by_row(formula, output), inputs, output, "immutable", name))
    default_policy = lambda: pa.array([policy_oracle.default_document()], PLAIN)
    session.register_udf(datafusion.udf(default_policy, [], PLAIN, "immutable", "default_policy"))
    inputs = [TEXT] + [CASE_TYPES.get(name, TEXT) for name in CASE]
    session.register_udf(datafusion.udf(rulings, inputs, RULING, "immutable", "policy_ruling"))


def rulings(*columns):
    """One ruling a row, whatever is null in it."""
    return pa.array([policy_ruling(*row) for row in zip(*(column.to_pylist() for column in columns))], RULING)


def by_row(formula, output):
    """Null for a row with a null argument, as the engine does."""

    def evaluate(*columns):
        rows = zip(*(column.to_pylist() for column in columns))
        return pa.array([None if None in row else formula(*row) for row in rows], output)

    return evaluate
