-- question: Which permission areas are worked in without a business and a technical owner?
-- grain:    one row per policy, workflow and permission area with an action in the period
-- params:   period_start  timestamp = 0001-01-01T00:00:00Z
--           period_end    timestamp = 9999-12-31T00:00:00Z  half-open, by the time of the action
-- returns:  result       utf8       ok, violation or untestable
--           action_id    utf8       the first action there
--           seq          int64      of the first action there
--           occurred_at  timestamp
--           workflow     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
--           field        utf8
--           actor        utf8       null: an owner is what is missing
--           detail       utf8       what was found; null when ok
-- needs:    action.proposed, permission_area, a policy with owners
-- window:   actions
-- why:      both owners, by the policy in force at the action; an owner of the workflow, or of
--           everything, owns its areas. Untestable, where none is found: the action names no area, or
--           no policy was applied: the built-in default cannot know owners.

with areas as (
    select
        policy_from,
        is_default_policy,
        workflow,
        permission_area,
        min(event_order) as first_order
    from judged_actions
    where phase = 'proposal'
      and occurred_at >= $period_start
      and occurred_at < $period_end
    group by policy_from, is_default_policy, workflow, permission_area
),
owned as (
    select
        a.first_order,
        a.is_default_policy,
        count(*) filter (where r.name = 'business') > 0 as has_business_owner,
        count(*) filter (where r.name = 'technical') > 0 as has_technical_owner
    from areas as a
    left join policy_rules as r
        on r.effective_from = a.policy_from
        and r.kind = 'owner'
        and (r.area is null or r.area = a.permission_area)
        and (r.workflow is null or r.workflow = a.workflow)
    group by a.first_order, a.is_default_policy
)
select
    case
        when o.has_business_owner and o.has_technical_owner then 'ok'
        when o.is_default_policy or x.permission_area is null then 'untestable'
        else 'violation'
    end as result,
    x.action_id,
    x.seq,
    x.occurred_at,
    x.workflow,
    x.system,
    x.record_type,
    x.record_id,
    x.field,
    cast(null as varchar) as actor,
    case
        when o.has_business_owner and o.has_technical_owner then null
        when o.is_default_policy then 'no policy was applied that could name owners'
        when x.permission_area is null then 'the action names no permission area'
        else concat(
            x.permission_area,
            ' has no ',
            concat_ws(
                ' and no ',
                case when not o.has_business_owner then 'business owner' end,
                case when not o.has_technical_owner then 'technical owner' end
            )
        )
    end as detail
from judged_actions as x
inner join owned as o on o.first_order = x.event_order
where x.phase = 'proposal'
order by x.seq
