-- question: Which actions are about a record that was examined?
-- grain:    one row per record.reviewed and action on that record, unless both name different batches
-- params:   none
-- returns:  reviewed_at     timestamp
--           workflow        utf8           of the review, as the next eight
--           batch_id        utf8
--           system          utf8
--           record_type     utf8
--           record_id       utf8
--           segment         utf8
--           rule_version    utf8
--           prompt_version  utf8
--           model_version   utf8
--           action_id       utf8
--           has_proposal    boolean
--           proposal_order  decimal(38,0)
-- needs:    record.reviewed, action.proposed
-- why:      reviews meet actions before they are told apart by scope, as `review_actions` does: the join
--           has a seventh of the rows.

select
    r.reviewed_at,
    r.workflow,
    r.batch_id,
    r.system,
    r.record_type,
    r.record_id,
    r.segment,
    r.rule_version,
    r.prompt_version,
    r.model_version,
    a.action_id,
    a.has_proposal,
    a.proposal_order
from reviewed as r
inner join actions as a
    on a.system = r.system
    and a.record_type = r.record_type
    and a.record_id = r.record_id
    and (a.batch_id = r.batch_id or a.batch_id is null or r.batch_id is null)
