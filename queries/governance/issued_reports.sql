-- question: Which reports were issued, by whom, and what did they say?
-- grain:    one row per report.issued
-- params:   none
-- returns:  seq        int64
--           issued_at  timestamp
--           issued_by  utf8
--           report     utf8       monthly or batch
--           subject    utf8       the month or the batch
--           params     utf8       parameters of its numbers, JSON
--           size       int64      events of the ledger that it counted
--           metrics    utf8       its numbers by metric, JSON
--           sha256     utf8       digest of the page
-- needs:    report.issued
-- why:      what was issued first stays what was issued first: a later report shows both values.

select
    seq,
    occurred_at as issued_at,
    actor_id as issued_by,
    json_text(extra, '/report') as report,
    json_text(extra, '/subject') as subject,
    json_text(extra, '/params') as params,
    cast(json_text(extra, '/as_of/size') as bigint) as size,
    json_text(extra, '/metrics') as metrics,
    json_text(extra, '/sha256') as sha256
from events
where event_type = 'report.issued'
order by seq
