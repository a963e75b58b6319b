-- question: Was each action right?
-- grain:    one row per action
-- params:   none
-- returns:  action_id                        utf8
--           workflow                         utf8
--           batch_id                         utf8
--           system                           utf8
--           record_type                      utf8
--           record_id                        utf8
--           cohort_at                        timestamp
--           is_unresolved                    boolean    pending for rates of the final decision
--           verdict                          utf8       label, else true_positive or false_positive; null when open
--           corrected_at                     timestamp  of a rejection: first correction after it
--           issue_type                       utf8       of the action, as all that follow
--           rule_version                     utf8
--           prompt_version                   utf8
--           model_version                    utf8
--           segment                          utf8
--           permission_level                 int8
--           permission_area                  utf8
--           operation                        utf8
--           confidence                       float64
--           field                            utf8
--           first_decision                   utf8
--           first_decision_at                timestamp
--           first_decision_reviewer          utf8
--           first_decision_review_opened_at  timestamp
--           final_decision                   utf8
--           final_decision_reviewer          utf8
--           final_decision_reason_code       utf8
--           any_attempted                    boolean
--           last_attempt_outcome             utf8
-- needs:    action.decided, action.executed, action.rolled_back, action.labeled, record.corrected
-- why:      rejection alone is not a false positive. Where the verdict is null and corrected_at lies
--           within maturity of cohort_at the verdict is true_positive; only a metric knows the maturity.

with roll_backs as (
    select
        action_id,
        event_order,
        occurred_at
    from action_events
    where event_type = 'action.rolled_back'
      and outcome = 'succeeded'
      and actor_kind = 'human'
),
restorations as (
    select
        system,
        record_type,
        record_id,
        field,
        new_value,
        event_order,
        repaired_at as occurred_at
    from repairs
    where actor_kind = 'human'
      and new_value is not null
),
undoings as (
    select a.action_id
    from actions as a
    inner join roll_backs as b
        on b.action_id = a.action_id
        and b.event_order > a.last_succeeded_order
        and b.occurred_at < a.last_succeeded_at + interval '14 days'
    union all
    select a.action_id
    from actions as a
    inner join restorations as r
        on r.system = a.system
        and r.record_type = a.record_type
        and r.record_id = a.record_id
        and r.field = a.field
        and r.new_value = a.last_succeeded_old_value
        and r.event_order > a.last_succeeded_order
        and r.occurred_at < a.last_succeeded_at + interval '14 days'
),
undone as (
    select action_id
    from undoings
    group by action_id
),
repaired as (
    select
        a.action_id,
        min(c.corrected_at) as corrected_at
    from actions as a
    inner join corrections as c
        on c.system = a.system
        and c.record_type = a.record_type
        and c.record_id = a.record_id
        and c.event_order > a.final_decision_order
    where a.final_decision = 'rejected'
    group by a.action_id
)
select
    a.action_id,
    a.workflow,
    a.batch_id,
    a.system,
    a.record_type,
    a.record_id,
    a.cohort_at,
    a.has_proposal and not a.has_execution
        and coalesce(a.final_decision, 'escalated') = 'escalated' as is_unresolved,
    case
        when a.label is not null then a.label
        when a.final_decision = 'rejected'
            and a.final_decision_reason_code in ('not_an_issue', 'evidence_wrong', 'rule_misapplied')
            then 'false_positive'
        when a.final_decision in ('approved', 'approved_with_changes') and u.action_id is not null
            then 'false_positive'
        when a.final_decision in ('approved', 'approved_with_changes') then 'true_positive'
    end as verdict,
    r.corrected_at,
    a.issue_type,
    a.rule_version,
    a.prompt_version,
    a.model_version,
    a.segment,
    a.permission_level,
    a.permission_area,
    a.operation,
    a.confidence,
    a.field,
    a.first_decision,
    a.first_decision_at,
    a.first_decision_reviewer,
    a.first_decision_review_opened_at,
    a.final_decision,
    a.final_decision_reviewer,
    a.final_decision_reason_code,
    a.any_attempted,
    a.last_attempt_outcome
from actions as a
left join undone as u on u.action_id = a.action_id
left join repaired as r on r.action_id = a.action_id
