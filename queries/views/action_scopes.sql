-- question: In which results does an action take part?
-- grain:    one row per action and grain that it has a key for
-- params:   none
-- returns:  grain                            utf8       period, workflow, batch, issue_type,
--                                                       rule_version, prompt_version, model_version,
--                                                       segment, permission_level, permission_area or operation
--           key                              utf8       null for the period, else the value of that
--                                                       attribute
--           action_id                        utf8
--           cohort_at                        timestamp
--           has_proposal                     boolean
--           has_execution                    boolean
--           proposed_at                      timestamp
--           first_decision                   utf8
--           first_decision_at                timestamp
--           final_decision                   utf8
--           any_attempted                    boolean
--           last_attempt_outcome             utf8
--           max_attempt                      int32
--           is_undecided                     boolean    pending for rates of the first decision
--           is_unresolved                    boolean    pending for rates of the final decision
--           any_executed                     boolean
--           any_rolled_back                  boolean    some roll-back of it succeeded
--           has_roll_back                    boolean    a roll-back of any outcome is known
--           has_human_decision               boolean
--           first_decision_reviewer          utf8
--           final_decision_reviewer          utf8
--           first_decision_review_opened_at  timestamp
-- needs:    action.proposed, action.decided, action.executed
-- why:      pending needs an action.proposed and no execution: it is shown and never in a denominator.
--           An attribute that the action lacks makes no row.

with keyed as (
    select
        a.*,
        g.grain,
        case g.grain
            when 'workflow' then a.workflow
            when 'batch' then a.batch_id
            when 'issue_type' then a.issue_type
            when 'rule_version' then a.rule_version
            when 'prompt_version' then a.prompt_version
            when 'model_version' then a.model_version
            when 'segment' then a.segment
            when 'permission_level' then cast(a.permission_level as varchar)
            when 'permission_area' then a.permission_area
            when 'operation' then a.operation
        end as key
    from actions as a
    cross join (
        values
            ('period'), ('workflow'), ('batch'), ('issue_type'), ('rule_version'), ('prompt_version'),
            ('model_version'), ('segment'), ('permission_level'), ('permission_area'),
            ('operation')
    ) as g (grain)
)
select
    grain,
    key,
    action_id,
    cohort_at,
    has_proposal,
    has_execution,
    proposed_at,
    first_decision,
    first_decision_at,
    final_decision,
    any_attempted,
    last_attempt_outcome,
    max_attempt,
    has_proposal and not has_execution and first_decision is null as is_undecided,
    has_proposal and not has_execution
        and coalesce(final_decision, 'escalated') = 'escalated' as is_unresolved,
    any_executed,
    any_rolled_back,
    rolled_back_at is not null as has_roll_back,
    has_human_decision,
    first_decision_reviewer,
    final_decision_reviewer,
    first_decision_review_opened_at
from keyed
where grain in ('period', 'workflow') or key is not null
