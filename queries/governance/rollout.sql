-- question: How far is each workflow rolled out, and may it go one level up?
-- grain:    one row per workflow of the policy at the end of the period, or with an action in the period
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           maturity_days  int64      = 30  days that a correction may take
-- returns:  workflow              utf8
--           stage                 int64    permission level that the policy allows; null when not in it
--           has_owners            boolean  business and technical owner
--           has_levels            boolean  a permission level for it
--           has_blocked_actions   boolean  a prohibited action or a blocked field
--           has_sample_notes      boolean  artefact of the policy
--           has_failure_patterns  boolean  artefact of the policy
--           has_audit_log         boolean  its actions are in the evidence
--           has_rollback_path     boolean  artefact, or every reversible write executed can be undone
--           has_threshold         boolean  a confidence threshold
--           has_approval_matrix   boolean  who may approve
--           has_incident_rule     boolean  a rule that opens an incident
--           has_roi_decision      boolean  artefact of the policy
--           decisions             int64    final approved, approved_with_changes or rejected
--           approval_rate         float64  null when nothing is in it, as the next two
--           false_discovery_rate  float64
--           approval_coverage     float64  of the actions known to need approval
--           may_promote           boolean  every promotion setting of the policy is met
--           why_not               utf8     what is not met, joined by `; `; null when all is
-- needs:    a policy with [promotion]
-- window:   actions
-- why:      a promotion is a decision of a person; this says only whether the numbers stand in the way.
--           Executions that needed no approval do not hurt the coverage; one of which that is not known
--           leaves it unknown. A setting that the policy leaves out is not asked for, but without any
--           setting nothing may be promoted.

with rules as (
    select
        kind,
        name,
        workflow,
        area,
        level,
        number
    from policy_rules
    where effective_from < $period_end
      and effective_to >= $period_end
),
settings as (
    select
        max(number) filter (where name = 'promotion_min_decisions') as min_decisions,
        max(number) filter (where name = 'promotion_min_approval_rate') as min_approval_rate,
        max(number) filter (where name = 'promotion_max_false_discovery_rate') as max_false_discovery_rate,
        max(number) filter (where name = 'promotion_min_approval_coverage') as min_approval_coverage,
        count(*) filter (where starts_with(name, 'promotion_')) as settings
    from rules
    where kind = 'setting'
),
areas as (
    select workflow, permission_area as area
    from actions
    where workflow is not null
      and cohort_at >= $period_start
      and cohort_at < $period_end
    group by workflow, permission_area
    union
    select workflow, area
    from rules
    where kind = 'workflow'
),
artefacts as (
    select
        a.workflow,
        max(r.level) filter (where r.kind = 'workflow') as stage,
        bool_or(r.kind = 'owner' and r.name = 'business') as has_business_owner,
        bool_or(r.kind = 'owner' and r.name = 'technical') as has_technical_owner,
        bool_or(r.kind = 'permission') as has_levels,
        bool_or(r.kind in ('prohibited', 'blocked_field')) as has_blocked_actions,
        bool_or(r.kind = 'artefact' and r.name = 'sample_notes') as has_sample_notes,
        bool_or(r.kind = 'artefact' and r.name = 'failure_patterns') as has_failure_patterns,
        bool_or(r.kind = 'artefact' and r.name = 'rollback_path') as has_rollback_artefact,
        bool_or(r.kind = 'threshold') as has_threshold,
        bool_or(r.kind = 'approver') as has_approval_matrix,
        bool_or(r.kind = 'incident_rule') as has_incident_rule,
        bool_or(r.kind = 'artefact' and r.name = 'roi_decision') as has_roi_decision
    from areas as a
    left join rules as r
        on (r.workflow is null or r.workflow = a.workflow)
        and (r.kind = 'workflow' or r.area is null or a.area is null or r.area = a.area)
    group by a.workflow
),
decided as (
    select
        a.workflow,
        count(*) as actions,
        count(*) filter (
            where a.final_decision in ('approved', 'approved_with_changes')
        ) as approved,
        count(*) filter (
            where a.final_decision in ('approved', 'approved_with_changes', 'rejected')
        ) as decisions,
        count(*) filter (where v.verdict = 'false_positive') as wrong,
        count(*) filter (
            where v.verdict in ('true_positive', 'false_positive') or (
                v.verdict is null
                and v.corrected_at < v.cohort_at + cast(concat($maturity_days, ' days') as interval)
            )
        ) as judged
    from actions as a
    inner join verdicts as v on v.action_id = a.action_id
    where a.cohort_at >= $period_start
      and a.cohort_at < $period_end
    group by a.workflow
),
reversible_writes as (
    select
        workflow,
        count(*) as writes,
        count(*) filter (where can_roll_back) as ready
    from action_evidence
    where any_executed
      and is_reversible_write
      and cohort_at >= $period_start
      and cohort_at < $period_end
    group by workflow
),
coverage as (
    select
        a.workflow,
        count(*) filter (where p.is_covered) as covered,
        count(p.is_covered) as needed,
        bool_or(p.is_need_unknown) as is_any_need_unknown
    from (
        select
            action_id,
            bool_and(status = 'valid') filter (where needs_approval) as is_covered,
            bool_or(needs_approval is null) as is_need_unknown
        from approvals
        group by action_id
    ) as p
    inner join actions as a on a.action_id = p.action_id
    where a.cohort_at >= $period_start
      and a.cohort_at < $period_end
    group by a.workflow
),
judged as (
    select
        f.workflow,
        f.stage,
        f.has_business_owner and f.has_technical_owner as has_owners,
        f.has_levels,
        f.has_blocked_actions,
        f.has_sample_notes,
        f.has_failure_patterns,
        coalesce(d.actions, 0) > 0 as has_audit_log,
        f.has_rollback_artefact or coalesce(w.ready = w.writes, false) as has_rollback_path,
        f.has_threshold,
        f.has_approval_matrix,
        f.has_incident_rule,
        f.has_roi_decision,
        coalesce(d.decisions, 0) as decisions,
        cast(d.approved as double) / nullif(d.decisions, 0) as approval_rate,
        cast(d.wrong as double) / nullif(d.judged, 0) as false_discovery_rate,
        cast(c.covered as double) / nullif(c.needed, 0) as approval_coverage,
        coalesce(c.is_any_need_unknown, false) as is_any_need_unknown
    from artefacts as f
    left join decided as d on d.workflow = f.workflow
    left join reversible_writes as w on w.workflow = f.workflow
    left join coverage as c on c.workflow = f.workflow
),
reasons as (
    select
        j.workflow,
        nullif(concat_ws(
            '; ',
            case when j.stage is null then 'the workflow is not in the policy' end,
            case when j.stage >= 5 then 'level 5 is the highest' end,
            case when s.settings = 0 then 'the policy sets no conditions for promotion' end,
            case
                when j.decisions < s.min_decisions
                    then concat(j.decisions, ' decisions, needs ', cast(s.min_decisions as bigint))
            end,
            case
                when s.min_approval_rate is not null and j.approval_rate is null
                    then 'approval rate unknown'
                when j.approval_rate < s.min_approval_rate
                    then concat(
                        'approval rate ', round(j.approval_rate * 100, 1), ' %, needs ',
                        round(s.min_approval_rate * 100, 1), ' %'
                    )
            end,
            case
                when s.max_false_discovery_rate is not null and j.false_discovery_rate is null
                    then 'false discovery rate unknown'
                when j.false_discovery_rate > s.max_false_discovery_rate
                    then concat(
                        'false discovery rate ', round(j.false_discovery_rate * 100, 1), ' %, allows ',
                        round(s.max_false_discovery_rate * 100, 1), ' %'
                    )
            end,
            case
                when s.min_approval_coverage is not null and j.is_any_need_unknown
                    then 'approval coverage unknown'
                when j.approval_coverage < s.min_approval_coverage
                    then concat(
                        'approval coverage ', round(j.approval_coverage * 100, 1), ' %, needs ',
                        round(s.min_approval_coverage * 100, 1), ' %'
                    )
            end
        ), '') as why_not
    from judged as j
    cross join settings as s
)
select
    j.workflow,
    j.stage,
    j.has_owners,
    j.has_levels,
    j.has_blocked_actions,
    j.has_sample_notes,
    j.has_failure_patterns,
    j.has_audit_log,
    j.has_rollback_path,
    j.has_threshold,
    j.has_approval_matrix,
    j.has_incident_rule,
    j.has_roi_decision,
    j.decisions,
    j.approval_rate,
    j.false_discovery_rate,
    j.approval_coverage,
    r.why_not is null as may_promote,
    r.why_not
from judged as j
inner join reasons as r on r.workflow = j.workflow
order by j.workflow
