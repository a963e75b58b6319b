-- question: Which actions belong to an examination of a record?
-- grain:    one row per review scope and action on that record, unless both name different batches
-- params:   none
-- returns:  grain           utf8           as in review_scopes, to system, record_type, record_id
--           key             utf8
--           reviewed_at     timestamp
--           system          utf8
--           record_type     utf8
--           record_id       utf8
--           action_id       utf8
--           has_proposal    boolean
--           proposal_order  decimal(38,0)
-- needs:    record.reviewed, action.proposed
-- why:      a record examined every week and flagged once is not flagged every week: the batch ties a
--           proposal to its review, where both name one.

with keyed as (
    select
        p.*,
        g.grain,
        case g.grain
            when 'workflow' then p.workflow
            when 'batch' then p.batch_id
            when 'segment' then p.segment
            when 'rule_version' then p.rule_version
            when 'prompt_version' then p.prompt_version
            when 'model_version' then p.model_version
        end as key
    from reviewed_actions as p
    cross join (
        values
            ('period'), ('workflow'), ('batch'), ('segment'), ('rule_version'), ('prompt_version'),
            ('model_version')
    ) as g (grain)
)
select
    grain,
    key,
    reviewed_at,
    system,
    record_type,
    record_id,
    action_id,
    has_proposal,
    proposal_order
from keyed
where grain in ('period', 'workflow') or key is not null
