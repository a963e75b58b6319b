"""What the metrics have in common: their parameters, what belongs to a period or a batch, and a rate as a row.

In: a `Log` and a `Question`. Out: {(grain, key): reviews or actions} and rows as the SQL returns them.
"""

import dataclasses

import statistics_oracle as statistics
from fold import DAY_US, order, record_of

ACTION_GRAINS = (
    "workflow", "issue_type", "rule_version", "prompt_version", "model_version", "segment", "permission_level",
    "permission_area", "operation",
)
RECORD_GRAINS = ("workflow", "segment", "rule_version", "prompt_version", "model_version")


@dataclasses.dataclass
class Question:
    """The parameters of the metrics, instants in microseconds."""

    start: int
    end: int
    as_of: int
    maturity_days: int = 30
    fast_seconds: int = 5
    target: float = 0.9
    alpha: float = 0.05
    time_zone: str = "UTC"
    window_days: int = 28
    batch_id: str | None = None

    @property
    def maturity_us(self):
        return self.maturity_days * DAY_US

    def covers(self, at_us):
        return self.start <= at_us < self.end


# ---- scopes -----------------------------------------------------------------------------------


def review_scopes(log, ask):
    """{(grain, key): reviews}; a batch with a review in the period comes whole."""
    inside = [r for r in log.reviews if ask.covers(r["occurred_at"])]
    scopes = {("period", None): inside}
    for review in inside:
        for grain in RECORD_GRAINS:
            if grain in review:
                scopes[(grain, review[grain])] = [r for r in inside if r.get(grain) == review[grain]]
        if "batch_id" in review:
            batch = review["batch_id"]
            scopes[("batch", batch)] = [r for r in log.reviews if r.get("batch_id") == batch]
    return scopes


def firsts(reviews):
    """{record: its first review}"""
    first = {}
    for review in sorted(reviews, key=order):
        first.setdefault(record_of(review), review)
    return first


def action_scopes(log, ask, reviewer_of=None):
    """{(grain, key): actions}; a batch with an action in the period comes whole."""
    inside = [a for a in log.actions if ask.covers(a["proposal"]["occurred_at"])]
    scopes = {("period", None): inside}
    for action in inside:
        for grain in ACTION_GRAINS:
            if grain in action:
                scopes[(grain, str(action[grain]))] = [a for a in inside if a.get(grain) == action[grain]]
        if reviewer_of and reviewer_of(action) is not None:
            reviewer = reviewer_of(action)
            scopes[("reviewer", reviewer)] = [a for a in inside if reviewer_of(a) == reviewer]
        if "batch_id" in action:
            batch = action["batch_id"]
            scopes[("batch", batch)] = [a for a in log.actions if a.get("batch_id") == batch]
    return scopes


def first_reviewer(action):
    return action["first"].get("reviewer") if action["first"] else None


def final_reviewer(action):
    return action["final"].get("reviewer") if action["final"] else None


def in_window(review, event, ask):
    return order(event) > order(review) and event["occurred_at"] < review["occurred_at"] + ask.maturity_us


def belongs(action, review):
    """An action belongs to a review of its record unless both name different batches."""
    if record_of(action) is None or record_of(action) != record_of(review):
        return False
    one, other = action.get("batch_id"), review.get("batch_id")
    return one is None or other is None or one == other


# ---- rows -------------------------------------------------------------------------------------


def status_of(denominator, is_immature):
    if denominator == 0:
        return "no_data"
    if is_immature:
        return "immature"
    return "small_sample" if denominator < 30 else "ok"


def rate(scope, numerator, denominator, pending, is_young=False, part=None):
    low, high = statistics.wilson(numerator, denominator) if denominator else (None, None)
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
        status=status_of(denominator, is_young),
    )
    return row


def is_immature(cohort, ask):
    """The latest of the events is younger than the maturity."""
    return bool(cohort) and max(e["occurred_at"] for e in cohort) + ask.maturity_us > ask.as_of


def is_young_scope(actions, ask):
    return is_immature([a["proposal"] for a in actions], ask)


def share(log, ask, is_counted, is_hit, is_pending, reviewer_of=None):
    return [
        rate(
            scope,
            sum(1 for a in actions if is_counted(a) and is_hit(a)),
            sum(1 for a in actions if is_counted(a)),
            sum(1 for a in actions if is_pending(a)),
        )
        for scope, actions in action_scopes(log, ask, reviewer_of).items()
    ]
