-- question: In which results does the evidence about an action take part?
-- grain:    one row per action and grain that it has a key for
-- params:   none
-- returns:  grain                utf8       as in action_scopes
--           key                  utf8
--           cohort_at            timestamp
--           any_executed         boolean    as in action_evidence, as all that follow
--           is_undecided         boolean
--           is_reversible_write  boolean
--           can_roll_back        boolean
--           has_workflow         boolean
--           has_trigger          boolean
--           has_inputs           boolean
--           has_version          boolean
--           has_proposed_action  boolean
--           has_taken_action     boolean
--           has_values           boolean
--           has_reason           boolean
--           has_reviewer         boolean
--           has_approval_status  boolean
--           has_timestamp        boolean
--           has_rollback_path    boolean
--           items_present        int64
-- needs:    action.proposed, action.decided, action.executed, inputs, rollback_ref
-- why:      the same eleven grains as every other rate of actions.

with keyed as (
    select
        e.*,
        g.grain,
        case g.grain
            when 'workflow' then e.workflow
            when 'batch' then e.batch_id
            when 'issue_type' then e.issue_type
            when 'rule_version' then e.rule_version
            when 'prompt_version' then e.prompt_version
            when 'model_version' then e.model_version
            when 'segment' then e.segment
            when 'permission_level' then cast(e.permission_level as varchar)
            when 'permission_area' then e.permission_area
            when 'operation' then e.operation
        end as key
    from action_evidence as e
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
    cohort_at,
    any_executed,
    is_undecided,
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
    items_present
from keyed
where grain in ('period', 'workflow') or key is not null
