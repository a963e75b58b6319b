"""A dozen representative questions for Polars, written by hand as lazy frames.

In: the scan of the evidence, values of parameters. Out: a lazy frame with the columns of the same question in SQL, of
the metrics only grain, key, numerator, denominator and value. Invariant: same rows as Probity; what is not listed in
`FRAMES` is not asked of Polars and counts for nobody.
"""

from datetime import datetime

import polars as pl

KEYS = ["system", "record_type", "record_id"]
APPROVED = ["approved", "approved_with_changes"]
EXECUTED = ["succeeded", "partial", "unknown"]
ACTION_GRAINS = {
    "workflow": "workflow", "batch": "batch_id", "issue_type": "issue_type", "rule_version": "rule_version",
    "prompt_version": "prompt_version", "model_version": "model_version", "segment": "segment",
    "permission_level": "permission_level", "permission_area": "permission_area", "operation": "operation",
}
REVIEW_GRAINS = {name: ACTION_GRAINS[name] for name in (
    "workflow", "batch", "segment", "rule_version", "prompt_version", "model_version"
)}
KINDS = ["routing", "owner", "lifecycle", "duplicate", "required_field"]
KIND_OF_ISSUE = {
    "missing_required_field": "required_field", "stale_owner": "owner", "duplicate": "duplicate",
    "lifecycle_mismatch": "lifecycle", "routing_error": "routing", "unclear_lead_source": "routing",
}


# ---- scans and look-ups -----------------------------------------------------------------------


def count_by_month(evidence: pl.LazyFrame, _: dict) -> pl.LazyFrame:
    return evidence.group_by("occurred_month").agg(events=pl.len()).sort("occurred_month")


def weekly_by_workflow(evidence: pl.LazyFrame, _: dict) -> pl.LazyFrame:
    week = pl.col("occurred_at").dt.truncate("1w")
    counts = evidence.group_by(week.alias("week_start"), "workflow", "event_type").agg(events=pl.len())
    shown = counts.with_columns(pl.col("week_start").dt.strftime("%Y-%m-%d"))
    return shown.sort("week_start", "workflow", "event_type", nulls_last=True)


def records_per_batch(evidence: pl.LazyFrame, _: dict) -> pl.LazyFrame:
    distinct = lambda name: pl.col(name).drop_nulls().n_unique()
    known = evidence.filter(pl.col("batch_id").is_not_null())
    return known.group_by("batch_id").agg(records=distinct("record_id"), actions=distinct("action_id")).sort("batch_id")


def decisions_by_reviewer(evidence: pl.LazyFrame, _: dict) -> pl.LazyFrame:
    by = ["workflow", "issue_type", "reviewer", "decision"]
    decided = evidence.filter(pl.col("decision").is_not_null())
    return decided.group_by(by).agg(decisions=pl.len()).sort(by, nulls_last=True)


def found(*columns: str):
    """All events with these values, in order, without what Probity does not show."""

    def frame(evidence: pl.LazyFrame, values: dict) -> pl.LazyFrame:
        same = [pl.col(column) == values[column] for column in columns]
        return evidence.filter(same).sort("occurred_at", "seq").drop("salt", strict=False)

    return frame


def few(column: str):
    """Some columns of the events with one value."""
    shown = ["event_id", "event_type", "occurred_at", "workflow", "action_id", "record_id", "outcome", "seq"]
    return lambda evidence, values: found(column)(evidence, values).select(shown)


# ---- actions ----------------------------------------------------------------------------------


def ordered(evidence: pl.LazyFrame) -> pl.LazyFrame:
    """The events of actions, in order."""
    of_actions = (
        pl.col("action_id").is_not_null()
        & (pl.col("environment") == "production")
        & ~pl.col("event_type").str.starts_with("evidence.")
    )
    return evidence.filter(of_actions).sort("occurred_at", "seq")


def last(name: str) -> pl.Expr:
    return pl.col(name).drop_nulls().last().alias(name)


def first(name: str) -> pl.Expr:
    return pl.col(name).drop_nulls().first().alias(name)


def final(name: str) -> pl.Expr:
    """Of the last decision that is not escalated, else of the last."""
    settled = pl.col(name).filter(pl.col("decision") != "escalated")
    any_decision = pl.col(name).filter(pl.col("decision").is_not_null())
    return pl.when((pl.col("decision") != "escalated").any()).then(settled.last()).otherwise(any_decision.last())


def cohort_at() -> pl.Expr:
    proposed = pl.col("occurred_at").filter(pl.col("event_type") == "action.proposed")
    return pl.coalesce(proposed.first(), pl.col("occurred_at").first()).alias("cohort_at")


def fold_actions(evidence: pl.LazyFrame, _: dict) -> pl.LazyFrame:
    executed = pl.col("event_type") == "action.executed"
    actions = ordered(evidence).group_by("action_id").agg(
        final("decision").alias("final_decision"),
        pl.col("outcome").filter(executed).last(),
        pl.col("new_value").filter(executed).last(),
    )
    by = ["final_decision", "outcome"]
    letters = pl.col("new_value").str.len_chars()
    value = pl.col("new_value")
    sums = actions.group_by(by).agg(
        actions=pl.len(),
        letters=pl.when(value.count() > 0).then(letters.sum()),
        least=value.min(), greatest=value.max(),
    )
    return sums.sort(by, nulls_last=True)


def approval_rate(evidence: pl.LazyFrame, values: dict) -> pl.LazyFrame:
    columns = [name for name in ACTION_GRAINS.values() if name != "batch_id"]
    actions = ordered(evidence).group_by("action_id").agg(
        *[last(name) for name in columns], first("batch_id"), cohort_at(),
        final("decision").alias("final_decision"), final("reviewer").alias("reviewer"),
    )
    judged = actions.with_columns(
        is_hit=pl.col("final_decision").is_in(APPROVED).fill_null(False),
        is_judged=pl.col("final_decision").is_in([*APPROVED, "rejected"]).fill_null(False),
        is_in_period=pl.col("cohort_at").is_between(values["period_start"], values["period_end"], closed="left"),
    )
    counts = [rate_of(judged, grain, column) for grain, column in {**ACTION_GRAINS, "reviewer": "reviewer"}.items()]
    return rates(pl.concat([whole(judged), *counts]))


def whole(judged: pl.LazyFrame) -> pl.LazyFrame:
    inside = judged.filter("is_in_period")
    return inside.select(
        pl.lit("period").alias("grain"), pl.lit(None, pl.String).alias("key"),
        numerator=pl.col("is_hit").sum(), denominator=pl.col("is_judged").sum(),
    )


def rate_of(judged: pl.LazyFrame, grain: str, column: str) -> pl.LazyFrame:
    """A batch with an action in the period counts whole; a workflow that is not named counts, too."""
    rows = judged if grain == "batch" else judged.filter("is_in_period")
    if grain != "workflow":
        rows = rows.filter(pl.col(column).is_not_null())
    counts = rows.group_by(pl.col(column).cast(pl.String).alias("key")).agg(
        numerator=pl.col("is_hit").sum(), denominator=pl.col("is_judged").sum(), inside=pl.col("is_in_period").any(),
    )
    return counts.filter("inside").select(pl.lit(grain).alias("grain"), "key", "numerator", "denominator")


def rates(counts: pl.LazyFrame) -> pl.LazyFrame:
    some = pl.col("denominator") > 0
    return counts.with_columns(value=pl.when(some).then(pl.col("numerator") / pl.col("denominator")))


# ---- records ----------------------------------------------------------------------------------


def review_scopes(evidence: pl.LazyFrame, values: dict) -> pl.LazyFrame:
    """One row per grain, key and record: its first review that counts."""
    reviews = evidence.filter(
        (pl.col("event_type") == "record.reviewed") & (pl.col("environment") == "production")
    ).sort("occurred_at", "seq")
    inside = pl.col("occurred_at").is_between(values["period_start"], values["period_end"], closed="left")
    batches = reviews.filter(inside).select("batch_id").unique().drop_nulls()
    parts = [scope(reviews.filter(inside), "period", pl.lit(None, pl.String))]
    for grain, column in REVIEW_GRAINS.items():
        rows = reviews.join(batches, on="batch_id", how="semi") if grain == "batch" else reviews.filter(inside)
        rows = rows if grain == "workflow" else rows.filter(pl.col(column).is_not_null())
        parts.append(scope(rows, grain, pl.col(column)))
    return pl.concat(parts)


def scope(rows: pl.LazyFrame, grain: str, key: pl.Expr) -> pl.LazyFrame:
    about = {"reviewed_at": "occurred_at", "review_seq": "seq", "review_batch": "batch_id"}
    renamed = {new: pl.col(old) for new, old in about.items()}
    return rows.select(pl.lit(grain).alias("grain"), key.alias("key"), *KEYS, **renamed)


def routing_exception_rate(evidence: pl.LazyFrame, values: dict) -> pl.LazyFrame:
    by = ["grain", "key", *KEYS]
    reviews = review_scopes(evidence, values).group_by(by).agg(
        pl.col("reviewed_at").min(),
        pl.col("review_seq").sort_by("reviewed_at", "review_seq").first(),
    )
    later = (pl.col("occurred_at") > pl.col("reviewed_at")) | (
        (pl.col("occurred_at") == pl.col("reviewed_at")) & (pl.col("seq") > pl.col("review_seq"))
    )
    in_time = pl.col("occurred_at") < pl.col("reviewed_at") + pl.duration(days=values["maturity_days"])
    hits = reviews.join(exceptions(evidence), on=KEYS).filter(later & in_time).select(by).unique()
    marked = reviews.join(hits.with_columns(is_hit=True), on=by, how="left", nulls_equal=True)
    return counted(marked)


def counted(marked: pl.LazyFrame) -> pl.LazyFrame:
    none = pl.LazyFrame(
        {"grain": ["period"], "key": [None], "numerator": [0], "denominator": [0]},
        {"grain": pl.String, "key": pl.String, "numerator": pl.UInt32, "denominator": pl.UInt32},
    )
    counts = marked.group_by("grain", "key").agg(
        numerator=pl.col("is_hit").fill_null(False).sum().cast(pl.UInt32),
        denominator=pl.col("record_id").count().cast(pl.UInt32),
    )
    return rates(pl.concat([none, counts]).group_by("grain", "key").sum())


def exceptions(evidence: pl.LazyFrame) -> pl.LazyFrame:
    production = evidence.filter(pl.col("environment") == "production")
    old, new = pl.col("old_value"), pl.col("new_value")
    repaired = old.is_null() | new.is_null() | (old != new)
    corrections = production.filter(
        (pl.col("event_type") == "record.corrected") & pl.col("correction").is_in(KINDS) & repaired
    ).select(*KEYS, "occurred_at", "seq")
    rolled_back = (pl.col("event_type") == "action.rolled_back") & (pl.col("outcome") == "succeeded")
    actions = ordered(evidence).group_by("action_id").agg(
        *[last(name) for name in KEYS], last("issue_type"), final("decision").alias("final_decision"),
        rolled_back.any().alias("any_rolled_back"),
    ).filter(
        pl.col("final_decision").is_in(APPROVED) & ~pl.col("any_rolled_back")
        & pl.col("issue_type").is_in(list(KIND_OF_ISSUE))
    )
    executions = production.filter(
        (pl.col("event_type") == "action.executed") & (pl.col("outcome") == "succeeded")
    ).select("action_id", "occurred_at", "seq")
    return pl.concat([corrections, executions.join(actions, on="action_id").select(*KEYS, "occurred_at", "seq")])


def flag_rate(evidence: pl.LazyFrame, values: dict) -> pl.LazyFrame:
    by = ["grain", "key", *KEYS]
    scopes = review_scopes(evidence, values)
    proposed = pl.col("event_type") == "action.proposed"
    actions = ordered(evidence).group_by("action_id").agg(
        *[last(name) for name in KEYS], first("batch_id"), proposed.any().alias("has_proposal"),
    ).filter("has_proposal").select(*KEYS, "batch_id")
    named, reviewed = pl.col("batch_id"), pl.col("review_batch")
    no_other_batch = (named == reviewed) | named.is_null() | reviewed.is_null()
    hits = scopes.join(actions, on=KEYS).filter(no_other_batch).select(by).unique()
    marked = scopes.select(by).unique().join(hits.with_columns(is_hit=True), on=by, how="left", nulls_equal=True)
    return counted(marked)


FRAMES = {
    "count_by_month": count_by_month,
    "weekly_by_workflow": weekly_by_workflow,
    "records_per_batch": records_per_batch,
    "decisions_by_reviewer": decisions_by_reviewer,
    "fold_actions": fold_actions,
    "events_of_run": few("run_id"),
    "events_of_batch": few("batch_id"),
    "record_history": found("system", "record_type", "record_id"),
    "event_by_id": found("event_id"),
    "action_dossier": found("action_id"),
    "approval_rate": approval_rate,
    "flag_rate": flag_rate,
    "routing_exception_rate": routing_exception_rate,
}


def typed(values: dict, kinds: dict[str, str]) -> dict:
    """Values of parameters as Polars compares them."""
    instant = lambda text: datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    convert = {"timestamp": instant, "int64": int, "float64": float, "utf8": str}
    return {name: convert[kinds[name]](value) for name, value in values.items() if name in kinds}
