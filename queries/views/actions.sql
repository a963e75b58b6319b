-- question: What has become of each proposed change?
-- grain:    one row per action_id with a production event
-- params:   none
-- returns:  action_id                        utf8
--           workflow                         utf8           last non-null
--           prompt_version                   utf8
--           rule_version                     utf8
--           model_version                    utf8
--           policy_version                   utf8
--           permission_area                  utf8
--           permission_level                 int8
--           system                           utf8
--           record_type                      utf8
--           record_id                        utf8
--           field                            utf8
--           segment                          utf8
--           subject_id                       utf8
--           operation                        utf8
--           issue_type                       utf8
--           amount                           decimal(18,2)
--           currency                         utf8
--           confidence                       float64
--           threshold                        float64
--           reversibility                    utf8
--           rollback_ref                     utf8
--           inputs                           list
--           policy_outcome                   utf8
--           trigger                          utf8           first non-null: where the action came from
--           run_id                           utf8
--           batch_id                         utf8
--           cohort_at                        timestamp      its action.proposed, else its first event
--           proposed_at                      timestamp      the same
--           proposal_order                   decimal(38,0)  event_order of that event
--           has_proposal                     boolean        an action.proposed is known
--           proposed_by                      utf8
--           proposed_by_kind                 utf8
--           proposed_reason_code             utf8
--           proposed_payload_hash            utf8
--           first_decision                   utf8           the earliest
--           first_decision_at                timestamp
--           first_decision_order             decimal(38,0)
--           first_decision_reviewer          utf8
--           first_decision_reason_code       utf8
--           first_decision_payload_hash      utf8
--           first_decision_review_opened_at  timestamp
--           final_decision                   utf8           the last that is not escalated, else escalated
--           final_decision_at                timestamp
--           final_decision_order             decimal(38,0)
--           final_decision_reviewer          utf8
--           final_decision_reason_code       utf8
--           final_decision_payload_hash      utf8
--           final_decision_review_opened_at  timestamp
--           has_execution                    boolean        of any outcome, denied and skipped too
--           executed_at                      timestamp      of the first action.executed
--           first_execution_order            decimal(38,0)  of that
--           last_executed_at                 timestamp      this and the next six: of the last
--           executed_by                      utf8
--           executed_by_kind                 utf8
--           outcome                          utf8
--           error                            utf8           sealed
--           old_value                        utf8           sealed
--           new_value                        utf8           sealed
--           executed_payload_hash            utf8
--           attempts                         int64          number of action.executed
--           any_attempted                    boolean        outcome succeeded, failed, partial or unknown
--           any_executed                     boolean        outcome succeeded, partial or unknown
--           last_attempt_outcome             utf8           of the last that was attempted
--           max_attempt                      int32          of those attempted
--           last_succeeded_at                timestamp
--           last_succeeded_order             decimal(38,0)
--           last_succeeded_old_value         utf8           sealed
--           rolled_back_at                   timestamp      this and the next three: of the last
--           rollback_outcome                 utf8
--           rolled_back_by                   utf8
--           rolled_back_by_kind              utf8
--           any_rolled_back                  boolean        some roll-back of it succeeded
--           label                            utf8           of the last action.labeled
--           has_human_decision               boolean        some decision names its reviewer or was
--                                                           made by a person
-- needs:    action.proposed, action.decided, action.executed, action.rolled_back, action.labeled
-- why:      phase by phase, never across phases: the reason of a proposal is not the reason of its
--           rejection. First the event is found that speaks for each column, then its value is taken;
--           the largest number costs a fraction of an ordered last_value over text (a quarter at
--           eight columns), and a column nobody selects costs nothing in either step.

with told as (
    select
        action_id,
        event_type,
        event_order,
        occurred_at,
        attempt,
        actor_kind,
        actor_id,
        workflow,
        prompt_version,
        rule_version,
        model_version,
        policy_version,
        permission_area,
        permission_level,
        system,
        record_type,
        record_id,
        field,
        segment,
        subject_id,
        operation,
        issue_type,
        amount,
        currency,
        confidence,
        threshold,
        reversibility,
        rollback_ref,
        inputs,
        policy_outcome,
        trigger,
        run_id,
        batch_id,
        old_value,
        new_value,
        error,
        reason_code,
        payload_hash,
        decision,
        reviewer,
        review_opened_at,
        outcome,
        label
    from events
    where action_id is not null
      and environment = 'production'
      and event_type not like 'evidence.%'
),
speakers as (
    select
        action_id,
        max(event_order) filter (where workflow is not null) as workflow_order,
        max(event_order) filter (where prompt_version is not null) as prompt_version_order,
        max(event_order) filter (where rule_version is not null) as rule_version_order,
        max(event_order) filter (where model_version is not null) as model_version_order,
        max(event_order) filter (where policy_version is not null) as policy_version_order,
        max(event_order) filter (where permission_area is not null) as permission_area_order,
        max(event_order) filter (where permission_level is not null) as permission_level_order,
        max(event_order) filter (where system is not null) as system_order,
        max(event_order) filter (where record_type is not null) as record_type_order,
        max(event_order) filter (where record_id is not null) as record_id_order,
        max(event_order) filter (where field is not null) as field_order,
        max(event_order) filter (where segment is not null) as segment_order,
        max(event_order) filter (where subject_id is not null) as subject_id_order,
        max(event_order) filter (where operation is not null) as operation_order,
        max(event_order) filter (where issue_type is not null) as issue_type_order,
        max(event_order) filter (where amount is not null) as amount_order,
        max(event_order) filter (where currency is not null) as currency_order,
        max(event_order) filter (where confidence is not null) as confidence_order,
        max(event_order) filter (where threshold is not null) as threshold_order,
        max(event_order) filter (where reversibility is not null) as reversibility_order,
        max(event_order) filter (where rollback_ref is not null) as rollback_ref_order,
        max(event_order) filter (where inputs is not null) as inputs_order,
        max(event_order) filter (where policy_outcome is not null) as policy_outcome_order,
        min(event_order) filter (where trigger is not null) as trigger_order,
        min(event_order) filter (where run_id is not null) as run_id_order,
        min(event_order) filter (where batch_id is not null) as batch_id_order,
        coalesce(
            min(event_order) filter (where event_type = 'action.proposed'),
            min(event_order)
        ) as proposal_order,
        min(event_order) filter (where decision is not null) as first_decision_order,
        coalesce(
            max(event_order) filter (where decision <> 'escalated'),
            max(event_order) filter (where decision is not null)
        ) as final_decision_order,
        min(event_order) filter (where event_type = 'action.executed') as first_execution_order,
        max(event_order) filter (where event_type = 'action.executed') as last_execution_order,
        max(event_order) filter (
            where event_type = 'action.executed'
              and outcome in ('succeeded', 'failed', 'partial', 'unknown')
        ) as last_attempt_order,
        max(event_order) filter (
            where event_type = 'action.executed' and outcome = 'succeeded'
        ) as last_succeeded_order,
        max(event_order) filter (where event_type = 'action.rolled_back') as roll_back_order,
        max(event_order) filter (where event_type = 'action.labeled') as label_order
    from told
    group by action_id
)
select
    e.action_id,
    max(e.workflow) filter (where e.event_order = o.workflow_order) as workflow,
    max(e.prompt_version) filter (where e.event_order = o.prompt_version_order) as prompt_version,
    max(e.rule_version) filter (where e.event_order = o.rule_version_order) as rule_version,
    max(e.model_version) filter (where e.event_order = o.model_version_order) as model_version,
    max(e.policy_version) filter (where e.event_order = o.policy_version_order) as policy_version,
    max(e.permission_area) filter (where e.event_order = o.permission_area_order) as permission_area,
    max(e.permission_level) filter (
        where e.event_order = o.permission_level_order
    ) as permission_level,
    max(e.system) filter (where e.event_order = o.system_order) as system,
    max(e.record_type) filter (where e.event_order = o.record_type_order) as record_type,
    max(e.record_id) filter (where e.event_order = o.record_id_order) as record_id,
    max(e.field) filter (where e.event_order = o.field_order) as field,
    max(e.segment) filter (where e.event_order = o.segment_order) as segment,
    max(e.subject_id) filter (where e.event_order = o.subject_id_order) as subject_id,
    max(e.operation) filter (where e.event_order = o.operation_order) as operation,
    max(e.issue_type) filter (where e.event_order = o.issue_type_order) as issue_type,
    max(e.amount) filter (where e.event_order = o.amount_order) as amount,
    max(e.currency) filter (where e.event_order = o.currency_order) as currency,
    max(e.confidence) filter (where e.event_order = o.confidence_order) as confidence,
    max(e.threshold) filter (where e.event_order = o.threshold_order) as threshold,
    max(e.reversibility) filter (where e.event_order = o.reversibility_order) as reversibility,
    max(e.rollback_ref) filter (where e.event_order = o.rollback_ref_order) as rollback_ref,
    first_value(e.inputs) filter (where e.event_order = o.inputs_order) as inputs,
    max(e.policy_outcome) filter (where e.event_order = o.policy_outcome_order) as policy_outcome,
    max(e.trigger) filter (where e.event_order = o.trigger_order) as trigger,
    max(e.run_id) filter (where e.event_order = o.run_id_order) as run_id,
    max(e.batch_id) filter (where e.event_order = o.batch_id_order) as batch_id,
    max(e.occurred_at) filter (where e.event_order = o.proposal_order) as cohort_at,
    max(e.occurred_at) filter (where e.event_order = o.proposal_order) as proposed_at,
    max(o.proposal_order) as proposal_order,
    bool_or(e.event_type = 'action.proposed') as has_proposal,
    max(e.actor_id) filter (where e.event_order = o.proposal_order) as proposed_by,
    max(e.actor_kind) filter (where e.event_order = o.proposal_order) as proposed_by_kind,
    max(e.reason_code) filter (where e.event_order = o.proposal_order) as proposed_reason_code,
    max(e.payload_hash) filter (where e.event_order = o.proposal_order) as proposed_payload_hash,
    max(e.decision) filter (where e.event_order = o.first_decision_order) as first_decision,
    max(e.occurred_at) filter (where e.event_order = o.first_decision_order) as first_decision_at,
    max(o.first_decision_order) as first_decision_order,
    max(e.reviewer) filter (where e.event_order = o.first_decision_order) as first_decision_reviewer,
    max(e.reason_code) filter (
        where e.event_order = o.first_decision_order
    ) as first_decision_reason_code,
    max(e.payload_hash) filter (
        where e.event_order = o.first_decision_order
    ) as first_decision_payload_hash,
    max(e.review_opened_at) filter (
        where e.event_order = o.first_decision_order
    ) as first_decision_review_opened_at,
    max(e.decision) filter (where e.event_order = o.final_decision_order) as final_decision,
    max(e.occurred_at) filter (where e.event_order = o.final_decision_order) as final_decision_at,
    max(o.final_decision_order) as final_decision_order,
    max(e.reviewer) filter (where e.event_order = o.final_decision_order) as final_decision_reviewer,
    max(e.reason_code) filter (
        where e.event_order = o.final_decision_order
    ) as final_decision_reason_code,
    max(e.payload_hash) filter (
        where e.event_order = o.final_decision_order
    ) as final_decision_payload_hash,
    max(e.review_opened_at) filter (
        where e.event_order = o.final_decision_order
    ) as final_decision_review_opened_at,
    bool_or(e.event_type = 'action.executed') as has_execution,
    max(e.occurred_at) filter (where e.event_order = o.first_execution_order) as executed_at,
    max(o.first_execution_order) as first_execution_order,
    max(e.occurred_at) filter (where e.event_order = o.last_execution_order) as last_executed_at,
    max(e.actor_id) filter (where e.event_order = o.last_execution_order) as executed_by,
    max(e.actor_kind) filter (where e.event_order = o.last_execution_order) as executed_by_kind,
    max(e.outcome) filter (where e.event_order = o.last_execution_order) as outcome,
    max(e.error) filter (where e.event_order = o.last_execution_order) as error,
    max(e.old_value) filter (where e.event_order = o.last_execution_order) as old_value,
    max(e.new_value) filter (where e.event_order = o.last_execution_order) as new_value,
    max(e.payload_hash) filter (
        where e.event_order = o.last_execution_order
    ) as executed_payload_hash,
    count(*) filter (where e.event_type = 'action.executed') as attempts,
    bool_or(
        e.event_type = 'action.executed' and e.outcome in ('succeeded', 'failed', 'partial', 'unknown')
    ) is true as any_attempted,
    bool_or(
        e.event_type = 'action.executed' and e.outcome in ('succeeded', 'partial', 'unknown')
    ) is true as any_executed,
    max(e.outcome) filter (where e.event_order = o.last_attempt_order) as last_attempt_outcome,
    max(e.attempt) filter (
        where e.event_type = 'action.executed'
          and e.outcome in ('succeeded', 'failed', 'partial', 'unknown')
    ) as max_attempt,
    max(e.occurred_at) filter (where e.event_order = o.last_succeeded_order) as last_succeeded_at,
    max(o.last_succeeded_order) as last_succeeded_order,
    max(e.old_value) filter (
        where e.event_order = o.last_succeeded_order
    ) as last_succeeded_old_value,
    max(e.occurred_at) filter (where e.event_order = o.roll_back_order) as rolled_back_at,
    max(e.outcome) filter (where e.event_order = o.roll_back_order) as rollback_outcome,
    max(e.actor_id) filter (where e.event_order = o.roll_back_order) as rolled_back_by,
    max(e.actor_kind) filter (where e.event_order = o.roll_back_order) as rolled_back_by_kind,
    bool_or(
        e.event_type = 'action.rolled_back' and e.outcome = 'succeeded'
    ) is true as any_rolled_back,
    max(e.label) filter (where e.event_order = o.label_order) as label,
    bool_or(
        e.decision is not null and (e.reviewer is not null or e.actor_kind = 'human')
    ) is true as has_human_decision
from told as e
inner join speakers as o on o.action_id = e.action_id
group by e.action_id
