-- question: Which external actions were executed without all twelve items of evidence?
-- grain:    one row per execution at level 5, and per incomplete one at an unknown level
-- params:   period_start  timestamp = 0001-01-01T00:00:00Z
--           period_end    timestamp = 9999-12-31T00:00:00Z  half-open, by the time of the execution
-- returns:  result       utf8       ok, violation or untestable
--           action_id    utf8
--           seq          int64      of the execution
--           occurred_at  timestamp
--           workflow     utf8
--           system       utf8
--           record_type  utf8
--           record_id    utf8
--           field        utf8
--           actor        utf8       who executed
--           detail       utf8       what was found; null when ok
-- needs:    action.executed, permission_level or a permission rule, the twelve items
-- window:   actions
-- why:      what leaves the house cannot be looked up in a system of record afterwards. The items are
--           those of the view action_evidence; one that cannot apply counts as present. Untestable: the
--           level is not known.

select
    case
        when e.missing = '' then 'ok'
        when x.level is null then 'untestable'
        else 'violation'
    end as result,
    x.action_id,
    x.seq,
    x.executed_at as occurred_at,
    x.workflow,
    x.system,
    x.record_type,
    x.record_id,
    x.field,
    x.executed_by as actor,
    case
        when e.missing = '' then null
        else concat(
            'executed at ',
            coalesce('level ' || x.level, 'an unknown level'),
            ' without ',
            e.missing
        )
    end as detail
from approvals as x
inner join action_evidence as e on e.action_id = x.action_id
where x.executed_at >= $period_start
  and x.executed_at < $period_end
  and (x.level = 5 or (x.level is null and e.missing <> ''))
order by x.seq
