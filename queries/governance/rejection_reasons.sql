-- question: Why were actions rejected?
-- grain:    one row per issue type, reason and rule version of the actions finally rejected
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
-- returns:  issue_type    utf8     null where not recorded, as the next two
--           reason_code   utf8     of the decision, not of the proposal
--           rule_version  utf8
--           actions       int64
--           share         float64  of all actions rejected in the period
-- needs:    action.decided
-- window:   actions
-- why:      a reason that keeps coming back under one rule version is a defect of the rule, not of the
--           single recommendation.

with rejections as (
    select
        issue_type,
        final_decision_reason_code as reason_code,
        rule_version,
        count(*) as actions
    from actions
    where final_decision = 'rejected'
      and cohort_at >= $period_start
      and cohort_at < $period_end
    group by issue_type, final_decision_reason_code, rule_version
)
select
    issue_type,
    reason_code,
    rule_version,
    actions,
    cast(actions as double) / sum(actions) over () as share
from rejections
order by actions desc, issue_type, reason_code, rule_version
