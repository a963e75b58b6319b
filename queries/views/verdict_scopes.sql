-- question: In which results does the verdict on an action take part?
-- grain:    one row per action and grain that it has a key for
-- params:   none
-- returns:  grain          utf8       as in action_scopes
--           key            utf8
--           cohort_at      timestamp
--           is_unresolved  boolean    pending for rates of the final decision
--           verdict        utf8       as in verdicts, as the next
--           corrected_at   timestamp
--           confidence     float64
-- needs:    action.decided, action.executed, action.rolled_back, action.labeled, record.corrected
-- why:      the same eleven grains as every other rate of actions.

with keyed as (
    select
        v.*,
        g.grain,
        case g.grain
            when 'workflow' then v.workflow
            when 'batch' then v.batch_id
            when 'issue_type' then v.issue_type
            when 'rule_version' then v.rule_version
            when 'prompt_version' then v.prompt_version
            when 'model_version' then v.model_version
            when 'segment' then v.segment
            when 'permission_level' then cast(v.permission_level as varchar)
            when 'permission_area' then v.permission_area
            when 'operation' then v.operation
        end as key
    from verdicts as v
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
    is_unresolved,
    verdict,
    corrected_at,
    confidence
from keyed
where grain in ('period', 'workflow') or key is not null
