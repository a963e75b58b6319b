-- The rules of the policies, from the parsed documents.
-- Same rows and columns as queries/views/policy_rules.sql.

with rules as (
    select
        p.version as version,
        p.effective_from as effective_from,
        p.effective_to as effective_to,
        arrayJoin(d.rules) as rule
    from policies as p
    inner join parsed_policies as d on d.document = p.document
)
select
    version,
    effective_from,
    effective_to,
    rule.kind as kind,
    rule.position as position,
    rule.name as name,
    rule.workflow as workflow,
    rule.area as area,
    rule.system as system,
    rule.record_type as record_type,
    rule.field as field,
    rule.operation as operation,
    rule.issue_type as issue_type,
    rule.level as level,
    rule.principal as principal,
    rule.amount as amount,
    rule.currency as currency,
    rule.number as number,
    rule.hours as hours,
    rule.days as days,
    rule.words as words,
    (workflow is not null) + (area is not null) + (system is not null) + (record_type is not null)
        + (field is not null) + (operation is not null) + (issue_type is not null) as specificity,
    (7 - specificity) * 1000000 + position as precedence
from rules
