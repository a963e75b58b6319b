-- question: How many input records did each ingest receive, and what became of them?
-- grain:    one row per receipt, source and UTC day of occurrence
-- params:   none
-- returns:  seq          int64
--           recorded_at  timestamp
--           source       utf8
--           day          utf8       YYYY-MM-DD; null where the time could not be read
--           received     int64
--           accepted     int64
--           duplicate    int64
--           conflict     int64
--           rejected     int64
-- needs:    evidence.received
-- why:      the only evidence.* event that metrics read, so that log health is cut by as_of too.

with receipts as (
    select
        seq,
        recorded_at,
        unnest(received_counts(extra)) as counts
    from events
    where event_type = 'evidence.received'
)
select
    seq,
    recorded_at,
    counts['source'] as source,
    counts['day'] as day,
    counts['received'] as received,
    counts['accepted'] as accepted,
    counts['duplicate'] as duplicate,
    counts['conflict'] as conflict,
    counts['rejected'] as rejected
from receipts
