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

select
    s.grain,
    s.key,
    s.reviewed_at,
    s.system,
    s.record_type,
    s.record_id,
    a.action_id,
    a.has_proposal,
    a.proposal_order
from review_scopes as s
inner join actions as a
    on a.system = s.system
    and a.record_type = s.record_type
    and a.record_id = s.record_id
    and (a.batch_id = s.batch_id or a.batch_id is null or s.batch_id is null)
