-- question: Which of the twelve items of evidence does the log hold about each action?
-- grain:    one row per action
-- params:   none
-- returns:  action_id            utf8
--           cohort_at            timestamp
--           workflow             utf8       of the action, as the next eight
--           batch_id             utf8
--           issue_type           utf8
--           rule_version         utf8
--           prompt_version       utf8
--           model_version        utf8
--           segment              utf8
--           permission_level     int8
--           permission_area      utf8
--           operation            utf8
--           any_executed         boolean
--           is_undecided         boolean    pending for rates of the first decision
--           needs_approval       boolean    at its execution, else at its proposal; null: not known
--           is_reversible_write  boolean    writes to a record, and is not known to be irreversible
--           can_roll_back        boolean    how to undo it is given, or the value before it
--           has_workflow         boolean    this and the next eleven: held, or cannot apply
--           has_trigger          boolean
--           has_inputs           boolean    cannot apply to a create
--           has_version          boolean    of prompt or rule
--           has_proposed_action  boolean
--           has_taken_action     boolean
--           has_values           boolean    old and new; cannot apply without a field
--           has_reason           boolean    confidence, or reason code of the proposal
--           has_reviewer         boolean    cannot apply where approval is known not to be
--                                           needed, as the next
--           has_approval_status  boolean    a decision or the policy's outcome
--           has_timestamp        boolean
--           has_rollback_path    boolean    cannot apply unless is_reversible_write
--           items_present        int64      0 to 12
--           missing              utf8       names of the items that lack, with commas; empty when none
-- needs:    action.proposed, action.decided, action.executed, inputs, rollback_ref
-- why:      every operation but `read`, `draft` and `send` counts as a write, an unnamed one too; what is
--           not said to be irreversible should have a way back. A finished row, whose first event is its
--           execution, counts as its own proposal. A value erased since is no longer held.

with needs as (
    select
        action_id,
        phase,
        case
            when bool_or(needs_approval) then true
            when count(needs_approval) = count(*) then false
        end as needs_approval
    from judged_actions
    group by action_id, phase
),
judged as (
    select
        a.*,
        n.needs_approval,
        (a.operation in ('read', 'draft', 'send')) is not true
            and (a.reversibility = 'irreversible') is not true as is_reversible_write,
        a.rollback_ref is not null
            or a.old_value is not null
            or a.last_succeeded_old_value is not null as can_roll_back
    from actions as a
    left join needs as n
        on n.action_id = a.action_id
        and n.phase = case when a.any_executed then 'execution' else 'proposal' end
),
items as (
    select
        j.*,
        workflow is not null as has_workflow,
        trigger is not null as has_trigger,
        inputs is not null or (operation = 'create') is true as has_inputs,
        prompt_version is not null or rule_version is not null as has_version,
        has_proposal or (proposal_order = first_execution_order) is true as has_proposed_action,
        any_executed as has_taken_action,
        field is null or (old_value is not null and new_value is not null) as has_values,
        confidence is not null or proposed_reason_code is not null as has_reason,
        needs_approval is false or final_decision_reviewer is not null as has_reviewer,
        needs_approval is false
            or final_decision is not null
            or policy_outcome is not null as has_approval_status,
        cohort_at is not null as has_timestamp,
        not is_reversible_write or can_roll_back as has_rollback_path
    from judged as j
)
select
    action_id,
    cohort_at,
    workflow,
    batch_id,
    issue_type,
    rule_version,
    prompt_version,
    model_version,
    segment,
    permission_level,
    permission_area,
    operation,
    any_executed,
    has_proposal and not has_execution and first_decision is null as is_undecided,
    needs_approval,
    is_reversible_write,
    can_roll_back,
    has_workflow,
    has_trigger,
    has_inputs,
    has_version,
    has_proposed_action,
    has_taken_action,
    has_values,
    has_reason,
    has_reviewer,
    has_approval_status,
    has_timestamp,
    has_rollback_path,
    cast(has_workflow as bigint) + cast(has_trigger as bigint) + cast(has_inputs as bigint)
        + cast(has_version as bigint) + cast(has_proposed_action as bigint)
        + cast(has_taken_action as bigint) + cast(has_values as bigint) + cast(has_reason as bigint)
        + cast(has_reviewer as bigint) + cast(has_approval_status as bigint)
        + cast(has_timestamp as bigint) + cast(has_rollback_path as bigint) as items_present,
    concat_ws(
        ', ',
        case when not has_workflow then 'workflow' end,
        case when not has_trigger then 'trigger' end,
        case when not has_inputs then 'inputs' end,
        case when not has_version then 'prompt or rule version' end,
        case when not has_proposed_action then 'action proposed' end,
        case when not has_taken_action then 'action taken' end,
        case when not has_values then 'old and new value' end,
        case when not has_reason then 'confidence or reason code' end,
        case when not has_reviewer then 'reviewer' end,
        case when not has_approval_status then 'approval status' end,
        case when not has_timestamp then 'timestamp' end,
        case when not has_rollback_path then 'rollback path' end
    ) as missing
from items
