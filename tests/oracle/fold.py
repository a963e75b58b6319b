"""What a log says, read slowly: events in order, actions folded phase by phase, facts about records.

In: rows of the evidence table, instants as microseconds. Out: a `Log`. No policy, no rates, no SQL, no
speed; standard library only.
"""

import datetime
import functools
import json
import re
import zoneinfo

SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
DAY_US = 24 * HOUR_US
UTC = datetime.timezone.utc
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
LAST_KNOWN = (
    "workflow", "prompt_version", "rule_version", "model_version", "policy_version", "permission_area",
    "permission_level", "system", "record_type", "record_id", "field", "segment", "subject_id", "operation",
    "issue_type", "amount", "currency", "confidence", "threshold", "reversibility", "rollback_ref", "inputs",
    "policy_outcome",
)
FIRST_KNOWN = ("trigger", "run_id", "batch_id")


# ---- instants ---------------------------------------------------------------------------------


def micros(text):
    """Microseconds since 1970 of an RFC 3339 instant in UTC."""
    match = re.fullmatch(r"(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)(?:\.(\d{1,6}))?(?:Z|\+00:00)", text)
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    moment = datetime.datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    return (moment - datetime.datetime(1970, 1, 1, tzinfo=UTC)) // datetime.timedelta(seconds=1) * SECOND_US + int(
        (match.group(7) or "0").ljust(6, "0")
    )


def instant_of(at_us):
    return datetime.datetime(1970, 1, 1, tzinfo=UTC) + datetime.timedelta(microseconds=at_us)


def date_of(at_us, zone="UTC"):
    """The day on the wall calendar of `zone`."""
    return instant_of(at_us).astimezone(zoneinfo.ZoneInfo(zone)).date()


def day_of(at_us, zone="UTC"):
    return date_of(at_us, zone).isoformat()


def week_of(at_us, zone="UTC"):
    date = date_of(at_us, zone)
    return (date - datetime.timedelta(days=date.weekday())).isoformat()


def month_of(at_us, zone="UTC"):
    return day_of(at_us, zone)[:7]


# ---- the log ----------------------------------------------------------------------------------


class Log:
    """The events in (occurred_at, seq) order, and what is read off them once."""

    def __init__(self, events):
        self.events = sorted(events, key=order)

    @functools.cached_property
    def production(self):
        return [e for e in self.events if is_production(e) and not e["event_type"].startswith("evidence.")]

    def of_type(self, event_type):
        return [e for e in self.production if e["event_type"] == event_type]

    @functools.cached_property
    def reviews(self):
        return self.of_type("record.reviewed")

    @functools.cached_property
    def all_corrections(self):
        return [e for e in self.of_type("record.corrected") if not changed_nothing(e)]

    @functools.cached_property
    def corrections(self):
        """Of the five kinds."""
        return [e for e in self.all_corrections if e.get("correction") in KINDS]

    @functools.cached_property
    def actions(self):
        by_id = {}
        for event in self.production:
            if "action_id" in event:
                by_id.setdefault(event["action_id"], []).append(event)
        return [fold(action_id, own) for action_id, own in by_id.items()]

    @functools.cached_property
    def exceptions(self):
        """(event, record, kind) of every fact that makes a record a routing exception."""
        facts = [(e, record_of(e), e["correction"]) for e in self.corrections]
        for action in self.actions:
            kind = KIND_OF_ISSUE.get(action.get("issue_type"))
            if kind is None or decision(action, "final") not in APPROVED or was_rolled_back(action):
                continue
            for event in action["executions"]:
                if event.get("outcome") == "succeeded":
                    facts.append((event, record_of(action), kind))
        return facts


def load(lines):
    """The log of the rows of the evidence table as NDJSON."""
    events = []
    for line in lines:
        if not line.strip():
            continue
        event = {name: value for name, value in json.loads(line).items() if value is not None}
        for name in ("occurred_at", "recorded_at", "review_opened_at"):
            if name in event:
                event[name] = micros(event[name])
        events.append(event)
    return Log(events)


def order(event):
    return (event["occurred_at"], event["seq"])


def is_production(event):
    return event.get("environment", "production") == "production"


def record_of(thing):
    key = (thing.get("system"), thing.get("record_type"), thing.get("record_id"))
    return None if None in key else key


def changed_nothing(correction):
    old, new = correction.get("old_value"), correction.get("new_value")
    return old is not None and new is not None and old == new


# ---- actions ----------------------------------------------------------------------------------


def fold(action_id, own):
    """One action: its events in order, and what they say phase by phase."""
    action = {"action_id": action_id, "events": own}
    for event in own:
        action.update({name: event[name] for name in LAST_KNOWN if name in event})
    for event in reversed(own):
        action.update({name: event[name] for name in FIRST_KNOWN if name in event})
    proposals = [e for e in own if e["event_type"] == "action.proposed"]
    action["has_proposal"] = bool(proposals)
    action["proposal"] = proposals[0] if proposals else own[0]
    action["decisions"] = [e for e in own if "decision" in e]
    settled = [e for e in action["decisions"] if e["decision"] != "escalated"]
    action["first"] = first_of(action["decisions"])
    action["final"] = last_of(settled) or last_of(action["decisions"])
    action["executions"] = [e for e in own if e["event_type"] == "action.executed"]
    action["attempts"] = [e for e in action["executions"] if e.get("outcome") in ATTEMPTED]
    action["roll_backs"] = [e for e in own if e["event_type"] == "action.rolled_back"]
    labels = [e for e in own if e["event_type"] == "action.labeled"]
    action["label"] = labels[-1].get("label") if labels else None
    return action


def first_of(events):
    return events[0] if events else None


def last_of(events):
    return events[-1] if events else None


def decision(action, which):
    return action[which]["decision"] if action[which] else None


def was_executed(action):
    return any(e.get("outcome") in EXECUTED for e in action["executions"])


def was_rolled_back(action):
    return any(e.get("outcome") == "succeeded" for e in action["roll_backs"])


def is_undecided(action):
    return action["has_proposal"] and not action["executions"] and action["first"] is None


def is_unresolved(action):
    return action["has_proposal"] and not action["executions"] and decision(action, "final") in (None, "escalated")


def verdict_of(action, log, maturity_us):
    if action["label"] is not None:
        return action["label"]
    final = action["final"]
    if final is None:
        return None
    if final["decision"] == "rejected":
        if final.get("reason_code") in WRONG_REASONS:
            return "false_positive"
        return "true_positive" if was_right_after_all(action, log, maturity_us) else None
    if final["decision"] in APPROVED:
        return "false_positive" if was_undone(action, log) else "true_positive"
    return None


def was_right_after_all(action, log, maturity_us):
    """The record was corrected after the rejection, within maturity of the proposal."""
    deadline = action["proposal"]["occurred_at"] + maturity_us
    for correction in log.corrections:
        if record_of(correction) is not None and record_of(correction) == record_of(action):
            if order(correction) > order(action["final"]) and correction["occurred_at"] < deadline:
                return True
    return False


def was_undone(action, log):
    """A person reversed its last success within 14 days."""
    last = last_of([e for e in action["executions"] if e.get("outcome") == "succeeded"])
    if last is None:
        return False
    undoings = [e for e in action["roll_backs"] if e.get("outcome") == "succeeded"]
    for correction in log.all_corrections:
        same_record = record_of(action) is not None and record_of(correction) == record_of(action)
        same_cell = same_record and "field" in action and correction.get("field") == action["field"]
        if same_cell and "old_value" in last and correction.get("new_value") == last["old_value"]:
            undoings.append(correction)
    return any(
        e.get("actor_kind") == "human"
        and order(e) > order(last)
        and e["occurred_at"] < last["occurred_at"] + 14 * DAY_US
        for e in undoings
    )
