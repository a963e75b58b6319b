-- question: What did each policy say?
-- grain:    one row per policy and rule
-- params:   none
-- returns:  version         utf8
--           effective_from  timestamp      names the policy; one version may have been applied twice
--           effective_to    timestamp
--           kind            utf8           setting, approval_level, review_level, workflow, agent,
--                                          allowed_field, blocked_field, permission,
--                                          approval_required, approver, threshold, owner, prohibited,
--                                          segment, processor, incident_rule, deadline
--                                          or artefact
--           position        int64          order in the document within its kind, from 0
--           name            utf8
--           workflow        utf8           this and the next six: null = any
--           area            utf8
--           system          utf8
--           record_type     utf8
--           field           utf8
--           operation       utf8
--           issue_type      utf8
--           level           int64
--           principal       utf8           identity of an agent, reviewer or owner; * = any;
--                                          of a deadline whom it tells: authority or owner
--           amount          decimal(18,2)
--           currency        utf8
--           number          float64
--           hours           float64
--           days            int64
--           words           utf8
--           specificity     int64          how many of the seven it names
--           precedence      int64          among rules that match, the smallest wins
-- needs:    config.changed
-- why:      a rule without a scope holds everywhere; which rule wins is said here, once: the one that
--           names most, then the one listed first. A policy has less than a million rules of a kind.

with parsed as (
    select
        version,
        effective_from,
        effective_to,
        unnest(parse_policy(document)) as rule
    from policies
),
rules as (
    select
        version,
        effective_from,
        effective_to,
        rule['kind'] as kind,
        rule['position'] as position,
        rule['name'] as name,
        rule['workflow'] as workflow,
        rule['area'] as area,
        rule['system'] as system,
        rule['record_type'] as record_type,
        rule['field'] as field,
        rule['operation'] as operation,
        rule['issue_type'] as issue_type,
        rule['level'] as level,
        rule['principal'] as principal,
        rule['amount'] as amount,
        rule['currency'] as currency,
        rule['number'] as number,
        rule['hours'] as hours,
        rule['days'] as days,
        rule['words'] as words,
        cast(rule['workflow'] is not null as bigint)
            + cast(rule['area'] is not null as bigint)
            + cast(rule['system'] is not null as bigint)
            + cast(rule['record_type'] is not null as bigint)
            + cast(rule['field'] is not null as bigint)
            + cast(rule['operation'] is not null as bigint)
            + cast(rule['issue_type'] is not null as bigint) as specificity
    from parsed
)
select
    version,
    effective_from,
    effective_to,
    kind,
    position,
    name,
    workflow,
    area,
    system,
    record_type,
    field,
    operation,
    issue_type,
    level,
    principal,
    amount,
    currency,
    number,
    hours,
    days,
    words,
    specificity,
    (7 - specificity) * 1000000 + position as precedence
from rules
