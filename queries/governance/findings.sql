-- question: What in this period needs somebody to act?
-- grain:    one row per finding
-- params:   period_start   timestamp
--           period_end     timestamp  half-open
--           as_of          timestamp
--           maturity_days  int64      = 30  days that a correction may take
--           pending_days   int64      = 7   a decision that takes longer is overdue
--           fast_seconds   int64      = 5   an approval this soon after opening was not read
-- returns:  rule         utf8   repeated_rejection, proposed_again, false_positives, recurring_exception,
--                               uncritical_reviewer, approval_coverage, overdue_decisions,
--                               unnamed_change, undeclared_version, failing_executions,
--                               incomplete_evidence or unused_permissions
--           severity     utf8   high, medium or low
--           workflow     utf8   null where the finding is about several
--           subject      utf8   what or whom it is about
--           statement    utf8   a sentence with the counts
--           owner        utf8   business or technical owner in the policy, or that there is none
--           advice       utf8
--           numerator    int64
--           denominator  int64
-- needs:    what the twelve rules need; a rule without data finds nothing
-- window:   batches
-- why:      few rules, each with a least count, so that a finding is worth a person's time. Who is asked
--           to act follows from the cause: rules and prompts are technical, processes and people
--           business. Nobody is a finding for approving everything: it takes a second sign that the
--           evidence was not read, or that the approvals were wrong.

with rules as (
    select
        kind,
        position,
        name,
        workflow,
        area,
        system,
        record_type,
        field,
        operation,
        principal,
        number,
        level,
        specificity
    from policy_rules
    where effective_from < $period_end
      and effective_to >= $period_end
),
limits as (
    select
        coalesce(
            max(number) filter (where kind = 'setting' and name = 'promotion_max_false_discovery_rate'),
            0.2
        ) as max_false_discovery_rate
    from rules
),
facts as (
    select
        action_id,
        workflow,
        issue_type,
        rule_version,
        prompt_version,
        system,
        record_type,
        record_id,
        field,
        first_decision,
        first_decision_reviewer,
        cast(first_decision_at as bigint) - cast(first_decision_review_opened_at as bigint) as duration_us,
        final_decision,
        final_decision_reviewer,
        final_decision_reason_code as reason_code,
        any_attempted,
        last_attempt_outcome,
        coalesce(
            verdict,
            case
                when corrected_at < cohort_at + cast(concat($maturity_days, ' days') as interval)
                    then 'true_positive'
            end
        ) as verdict
    from verdicts
    where cohort_at >= $period_start
      and cohort_at < $period_end
),

-- the same recommendation rejected again and again
reasons as (
    select
        workflow,
        issue_type,
        field,
        reason_code,
        count(*) as decided,
        count(*) filter (where final_decision = 'rejected') as rejected
    from facts
    where final_decision in ('approved', 'approved_with_changes', 'rejected')
    group by workflow, issue_type, field, reason_code
),
repeated_rejections as (
    select
        'repeated_rejection' as rule,
        'medium' as severity,
        workflow,
        concat(coalesce(issue_type, 'no issue type'), ' on ', coalesce(field, 'the record')) as subject,
        concat(
            sum(rejected), ' of ', sum(decided), ' recommendations of type ',
            coalesce(issue_type, '(none)'), ' on ', coalesce(field, 'the record'),
            ' were rejected, most often for ',
            coalesce(first_value(reason_code order by rejected desc, reason_code nulls last), 'no stated reason')
        ) as statement,
        'technical' as side,
        'change the rule or the prompt that makes this recommendation, or stop making it' as advice,
        sum(rejected) as numerator,
        sum(decided) as denominator
    from reasons
    group by workflow, issue_type, field
    having sum(rejected) >= 5 and sum(rejected) * 2 > sum(decided)
),
cells as (
    select
        workflow,
        issue_type,
        count(*) as rejected
    from facts
    where final_decision = 'rejected' and record_id is not null
    group by workflow, issue_type, system, record_type, record_id, field
),
proposed_again as (
    select
        'proposed_again' as rule,
        'medium' as severity,
        workflow,
        coalesce(issue_type, 'no issue type') as subject,
        concat(
            sum(rejected - 1), ' of ', sum(rejected), ' rejected recommendations of type ',
            coalesce(issue_type, '(none)'), ' were repeats for a record and field already rejected'
        ) as statement,
        'technical' as side,
        'let the agent see earlier rejections before it proposes' as advice,
        sum(rejected - 1) as numerator,
        sum(rejected) as denominator
    from cells
    group by workflow, issue_type
    having sum(rejected - 1) >= 3
),

-- too many false positives
judged as (
    select
        workflow,
        issue_type,
        rule_version,
        count(*) filter (where verdict = 'false_positive') as wrong,
        count(*) as judged
    from facts
    where verdict in ('true_positive', 'false_positive')
    group by workflow, issue_type, rule_version
),
false_positives as (
    select
        'false_positives' as rule,
        case
            when wilson_low(j.wrong, j.judged) > l.max_false_discovery_rate then 'high'
            else 'medium'
        end as severity,
        j.workflow,
        concat(
            coalesce(j.issue_type, 'no issue type'), ', rule version ', coalesce(j.rule_version, 'unknown')
        ) as subject,
        concat(
            j.wrong, ' of ', j.judged, ' recommendations of type ', coalesce(j.issue_type, '(none)'),
            ' under rule version ', coalesce(j.rule_version, 'unknown'),
            ' were wrong, the limit is ', round(l.max_false_discovery_rate * 100, 1), ' %'
        ) as statement,
        'technical' as side,
        'correct the rule, or raise its confidence threshold' as advice,
        j.wrong as numerator,
        j.judged as denominator
    from judged as j
    cross join limits as l
    where j.wrong >= 5
      and cast(j.wrong as double) / j.judged > l.max_false_discovery_rate
),

-- the same exception in three of four batches in a row
batch_reviews as (
    select
        workflow,
        batch_id,
        system,
        record_type,
        record_id,
        min(event_order) as review_order,
        min(reviewed_at) as reviewed_at
    from reviewed
    where batch_id is not null
      and reviewed_at < $period_end
    group by workflow, batch_id, system, record_type, record_id
),
batches as (
    select
        workflow,
        batch_id,
        count(*) as records,
        min(reviewed_at) as reviewed_at,
        row_number() over (partition by workflow order by min(review_order)) as position
    from batch_reviews
    group by workflow, batch_id
),
batch_exceptions as (
    select r.workflow, r.batch_id, x.kind, r.system, r.record_type, r.record_id
    from batch_reviews as r
    inner join exceptions as x
        on x.system = r.system
        and x.record_type = r.record_type
        and x.record_id = r.record_id
        and x.event_order > r.review_order
        and x.occurred_at < r.reviewed_at + cast(concat($maturity_days, ' days') as interval)
    group by r.workflow, r.batch_id, x.kind, r.system, r.record_type, r.record_id
    union all
    select workflow, batch_id, reason_code as kind, system, record_type, record_id
    from events
    where event_type = 'exception.raised'
      and environment = 'production'
      and batch_id is not null
      and reason_code is not null
    group by workflow, batch_id, reason_code, system, record_type, record_id
),
kinds_of_batches as (
    select
        b.workflow,
        b.batch_id,
        b.reviewed_at,
        b.position,
        b.records,
        x.kind,
        count(*) as exceptions
    from batches as b
    inner join batch_exceptions as x on x.workflow = b.workflow and x.batch_id = b.batch_id
    group by b.workflow, b.batch_id, b.reviewed_at, b.position, b.records, x.kind
    having count(*) * 100 >= b.records
),
runs as (
    select
        l.workflow,
        l.kind,
        l.batch_id,
        l.position,
        count(*) as batches,
        sum(e.exceptions) as exceptions
    from kinds_of_batches as l
    inner join kinds_of_batches as e
        on e.workflow = l.workflow
        and e.kind = l.kind
        and e.position <= l.position
        and e.position + 3 >= l.position
    where l.reviewed_at >= $period_start
    group by l.workflow, l.kind, l.batch_id, l.position
    having count(*) >= 3
),
last_runs as (
    select
        workflow,
        kind,
        max(position) as position
    from runs
    group by workflow, kind
),
recurring_exceptions as (
    select
        'recurring_exception' as rule,
        'medium' as severity,
        r.workflow,
        r.kind as subject,
        concat(
            'The exception ', r.kind, ' came up in ', r.batches, ' of the ',
            least(4, r.position), ' batches up to ', r.batch_id, ', on ', r.exceptions, ' records in all'
        ) as statement,
        'business' as side,
        'repair the process upstream that produces these records' as advice,
        r.batches as numerator,
        cast(least(4, r.position) as bigint) as denominator
    from runs as r
    inner join last_runs as l
        on l.workflow = r.workflow and l.kind = r.kind and l.position = r.position
),

-- a reviewer who approves everything, and a second sign
verdicts_of_reviewers as (
    select
        final_decision_reviewer as reviewer,
        min(workflow) as first_workflow,
        max(workflow) as last_workflow,
        count(*) as decided,
        count(*) filter (where final_decision <> 'rejected') as approved,
        count(*) filter (
            where final_decision <> 'rejected' and verdict in ('true_positive', 'false_positive')
        ) as judged,
        count(*) filter (
            where final_decision <> 'rejected' and verdict = 'false_positive'
        ) as wrong
    from facts
    where final_decision in ('approved', 'approved_with_changes', 'rejected')
      and final_decision_reviewer is not null
    group by final_decision_reviewer
),
speeds_of_reviewers as (
    select
        first_decision_reviewer as reviewer,
        count(*) as decided,
        count(duration_us) as opened,
        count(duration_us) filter (
            where first_decision in ('approved', 'approved_with_changes')
        ) as approvals_opened,
        count(duration_us) filter (
            where first_decision in ('approved', 'approved_with_changes')
              and duration_us < $fast_seconds * 1000000
        ) as approvals_fast
    from facts
    where first_decision_reviewer is not null
    group by first_decision_reviewer
),
reviewers as (
    select
        v.reviewer,
        case when v.first_workflow = v.last_workflow then v.first_workflow end as workflow,
        v.decided,
        v.approved,
        v.judged,
        v.wrong,
        coalesce(s.decided, 0) as first_decided,
        coalesce(s.opened, 0) as opened,
        coalesce(s.approvals_opened, 0) as approvals_opened,
        coalesce(s.approvals_fast, 0) as approvals_fast,
        count(*) over () as reviewers,
        sum(v.decided) over () - v.decided as others_decided,
        sum(v.approved) over () - v.approved as others_approved,
        sum(v.judged) over () - v.judged as others_judged,
        sum(v.wrong) over () - v.wrong as others_wrong,
        sum(coalesce(s.decided, 0)) over () - coalesce(s.decided, 0) as others_first_decided,
        sum(coalesce(s.opened, 0)) over () - coalesce(s.opened, 0) as others_opened
    from verdicts_of_reviewers as v
    left join speeds_of_reviewers as s on s.reviewer = v.reviewer
),
signs as (
    select
        reviewer,
        workflow,
        decided,
        approved,
        approved = decided or (
            others_decided >= 20
            and binomial_tail_high(
                approved, decided, (others_approved + 0.5) / (others_decided + 1)
            ) * reviewers < 0.05
        ) as approves_too_much,
        nullif(concat_ws(
            '; ',
            case
                when approvals_opened >= 5 and approvals_fast * 2 >= approvals_opened
                    then concat(
                        approvals_fast, ' of ', approvals_opened, ' approvals within ', $fast_seconds,
                        ' s of opening'
                    )
            end,
            case
                when first_decided >= 5
                    and opened * 2 < first_decided
                    and others_opened * 2 > others_first_decided
                    then concat(
                        'only ', opened, ' of ', first_decided, ' packets opened, unlike the others'
                    )
            end,
            case
                when wrong * others_judged > others_wrong * judged
                    and fisher_two_sided(wrong, judged, others_wrong, others_judged) < 0.05
                    then concat(wrong, ' of ', judged, ' approvals turned out wrong, more than with the others')
            end
        ), '') as second_sign
    from reviewers
    where decided >= 20
),
uncritical_reviewers as (
    select
        'uncritical_reviewer' as rule,
        'high' as severity,
        workflow,
        reviewer as subject,
        concat(reviewer, ' approved ', approved, ' of ', decided, ' recommendations; ', second_sign)
            as statement,
        'business' as side,
        'have a second person review a sample of these approvals, and talk to the reviewer' as advice,
        approved as numerator,
        decided as denominator
    from signs
    where approves_too_much
      and second_sign is not null
),

-- what a compliance officer asks for
defects as (
    select
        action_id,
        min(event_order) filter (where status <> 'valid') as defect_order
    from approvals
    where needs_approval
    group by action_id
),
statuses as (
    select
        a.workflow,
        coalesce(p.status, 'valid') as status,
        count(*) as actions
    from defects as d
    inner join actions as a on a.action_id = d.action_id
    left join approvals as p on p.event_order = d.defect_order
    where a.cohort_at >= $period_start
      and a.cohort_at < $period_end
    group by a.workflow, coalesce(p.status, 'valid')
),
uncovered as (
    select
        'approval_coverage' as rule,
        case
            when bool_or(status not in ('valid', 'unprovable', 'recorded_late')) then 'high'
            else 'medium'
        end as severity,
        workflow,
        'approvals' as subject,
        concat(
            sum(actions) filter (where status <> 'valid'), ' of ', sum(actions),
            ' executed actions that needed approval had no valid one: ',
            string_agg(concat(actions, ' ', replace(status, '_', ' ')), ', ' order by status) filter (
                where status <> 'valid'
            )
        ) as statement,
        'business' as side,
        'close the path around the approval, and review these actions afterwards' as advice,
        sum(actions) filter (where status <> 'valid') as numerator,
        sum(actions) as denominator
    from statuses
    group by workflow
    having bool_or(status <> 'valid')
),
waiting as (
    select
        workflow,
        cohort_at,
        cohort_at + cast(concat($pending_days, ' days') as interval) < $as_of as is_overdue
    from all_actions
    where has_proposal
      and not has_execution
      and coalesce(final_decision, 'escalated') = 'escalated'
      and cohort_at < $period_end
),
overdue_decisions as (
    select
        'overdue_decisions' as rule,
        'medium' as severity,
        workflow,
        'decisions' as subject,
        concat(
            count(*) filter (where is_overdue), ' of ', count(*),
            ' open recommendations have waited for more than ', $pending_days,
            ' days, the oldest since ', to_char(min(cohort_at), '%Y-%m-%d')
        ) as statement,
        'business' as side,
        'decide or withdraw them, and name a deputy for the reviewer' as advice,
        count(*) filter (where is_overdue) as numerator,
        count(*) as denominator
    from waiting
    group by workflow
    having bool_or(is_overdue)
),
unnamed_changes as (
    select
        'unnamed_change' as rule,
        'high' as severity,
        workflow,
        'configuration' as subject,
        concat(
            count(*) filter (where actor_id is null or actor_kind <> 'human'), ' of ', count(*),
            ' configuration changes name no person'
        ) as statement,
        'technical' as side,
        'let configuration change only under a personal account' as advice,
        count(*) filter (where actor_id is null or actor_kind <> 'human') as numerator,
        count(*) as denominator
    from events
    where event_type = 'config.changed'
      and environment = 'production'
      and occurred_at >= $period_start
      and occurred_at < $period_end
    group by workflow
    having bool_or(actor_id is null or actor_kind <> 'human')
),
combinations as (
    select
        workflow,
        prompt_version,
        rule_version,
        model_version,
        min(event_order) as first_order,
        min(occurred_at) as first_at
    from events
    where environment = 'production'
      and event_type not like 'evidence.%'
      and event_type <> 'config.changed'
      and occurred_at < $period_end
    group by workflow, prompt_version, rule_version, model_version
),
named as (
    select
        c.workflow,
        k.kind,
        case k.kind
            when 'prompt' then c.prompt_version
            when 'rule' then c.rule_version
            when 'model' then c.model_version
        end as version,
        c.first_order,
        c.first_at
    from combinations as c
    cross join (values ('prompt'), ('rule'), ('model')) as k (kind)
),
versions_seen as (
    select
        workflow,
        kind,
        version,
        min(first_order) as first_order,
        min(first_at) as first_at
    from named
    group by workflow, kind, version
),
versions_in_order as (
    select
        workflow,
        kind,
        version,
        first_at,
        row_number() over (partition by workflow, kind order by first_order, version) as position
    from versions_seen
    where version is not null
),
declared as (
    select distinct new_value as version
    from events
    where event_type = 'config.changed'
      and environment = 'production'
      and new_value is not null
),
undeclared_versions as (
    select
        'undeclared_version' as rule,
        'medium' as severity,
        v.workflow,
        concat(v.kind, ' versions') as subject,
        concat(
            count(*) filter (where d.version is null), ' of ', count(*), ' new ', v.kind,
            ' versions appeared without a recorded change: ',
            string_agg(v.version, ', ' order by v.position) filter (where d.version is null)
        ) as statement,
        'technical' as side,
        'record every change of prompt, rule and model as config.changed' as advice,
        count(*) filter (where d.version is null) as numerator,
        count(*) as denominator
    from versions_in_order as v
    left join declared as d on d.version = v.version
    where v.position > 1
      and v.first_at >= $period_start
    group by v.workflow, v.kind
    having bool_or(d.version is null)
),
failing_executions as (
    select
        'failing_executions' as rule,
        'medium' as severity,
        workflow,
        'executions' as subject,
        concat(
            count(*) filter (where last_attempt_outcome <> 'succeeded'), ' of ', count(*),
            ' attempted actions did not succeed in the end'
        ) as statement,
        'technical' as side,
        'look at the errors, and at partial and unknown writes first' as advice,
        count(*) filter (where last_attempt_outcome <> 'succeeded') as numerator,
        count(*) as denominator
    from facts
    where any_attempted
    group by workflow
    having count(*) >= 10
       and wilson_low(count(*) filter (where last_attempt_outcome <> 'succeeded'), count(*)) > 0.05
),
incomplete as (
    select
        workflow,
        case when items_present < 12 then missing end as missing,
        count(*) as executed
    from action_evidence
    where any_executed
      and cohort_at >= $period_start
      and cohort_at < $period_end
    group by workflow, case when items_present < 12 then missing end
),
incomplete_evidence as (
    select
        'incomplete_evidence' as rule,
        'medium' as severity,
        workflow,
        'evidence' as subject,
        concat(
            sum(executed) filter (where missing is not null), ' of ', sum(executed),
            ' executed actions lack evidence, most often: ',
            first_value(missing order by executed desc, missing) filter (where missing is not null)
        ) as statement,
        'technical' as side,
        'let the source send the missing items with every action' as advice,
        sum(executed) filter (where missing is not null) as numerator,
        sum(executed) as denominator
    from incomplete
    group by workflow
    having bool_or(missing is not null)
),
uses as (
    select
        workflow,
        permission_area as area,
        system,
        record_type,
        field,
        operation,
        true as is_use
    from actions
    where (cohort_at >= $period_start and cohort_at < $period_end)
       or (last_executed_at >= $period_start and last_executed_at < $period_end)
    group by workflow, permission_area, system, record_type, field, operation
),
permissions as (
    select
        r.position,
        coalesce(bool_or(u.is_use), false) as is_used
    from rules as r
    left join uses as u
        on (r.workflow is null or r.workflow = u.workflow)
        and (r.area is null or r.area = u.area)
        and (r.system is null or r.system = u.system)
        and (r.record_type is null or r.record_type = u.record_type)
        and (r.field is null or r.field = u.field)
        and (r.operation is null or r.operation = u.operation)
    where r.kind = 'permission' and r.level > 1
    group by r.position
),
unused_permissions as (
    select
        'unused_permissions' as rule,
        'low' as severity,
        cast(null as varchar) as workflow,
        'permissions' as subject,
        concat(
            count(*) filter (where not is_used), ' of ', count(*),
            ' permissions to draft or to write were used by no action'
        ) as statement,
        'business' as side,
        'take away what nobody uses' as advice,
        count(*) filter (where not is_used) as numerator,
        count(*) as denominator
    from permissions
    having bool_or(not is_used)
),

all_findings as (
    select * from repeated_rejections
    union all
    select * from proposed_again
    union all
    select * from false_positives
    union all
    select * from recurring_exceptions
    union all
    select * from uncritical_reviewers
    union all
    select * from uncovered
    union all
    select * from overdue_decisions
    union all
    select * from unnamed_changes
    union all
    select * from undeclared_versions
    union all
    select * from failing_executions
    union all
    select * from incomplete_evidence
    union all
    select * from unused_permissions
),

-- who is asked to act
areas as (
    select workflow, permission_area as area
    from all_actions
    where workflow is not null and permission_area is not null
    group by workflow, permission_area
    union
    select workflow, area
    from rules
    where kind = 'workflow' and area is not null
),
owner_rules as (
    select r.workflow, r.name as side, r.principal, r.specificity, r.position
    from rules as r
    where r.kind = 'owner' and r.area is null
    union all
    select a.workflow, r.name as side, r.principal, r.specificity, r.position
    from rules as r
    inner join areas as a
        on a.area = r.area and (r.workflow is null or r.workflow = a.workflow)
    where r.kind = 'owner'
)
select
    f.rule,
    f.severity,
    f.workflow,
    f.subject,
    concat(
        f.statement,
        case when f.workflow is null then '' else concat(' (workflow ', f.workflow, ')') end,
        '.'
    ) as statement,
    coalesce(
        first_value(o.principal order by o.specificity desc, o.position) filter (where o.principal is not null),
        'no owner in the policy'
    ) as owner,
    f.advice,
    f.numerator,
    f.denominator
from all_findings as f
left join owner_rules as o
    on o.side = f.side and (o.workflow is null or o.workflow = f.workflow)
group by f.rule, f.severity, f.workflow, f.subject, f.statement, f.side, f.advice, f.numerator, f.denominator
order by
    case f.severity when 'high' then 0 when 'medium' then 1 else 2 end,
    f.rule, f.workflow, f.subject
