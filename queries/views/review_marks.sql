-- question: What did reviewers say of the items of sample reviews?
-- grain:    one row per review.marked that names its reviewer
-- params:   none
-- returns:  review_id         utf8
--           reviewer          utf8
--           item              utf8           id of the item
--           mark              utf8           correct, incorrect or escalate
--           occurred_at       timestamp
--           review_opened_at  timestamp      when the reviewer opened the item; null where not said
--           event_order       decimal(38,0)
-- needs:    review.marked
-- why:      a mark that somebody took back stands here, too: which of several counts is for the
--           question to say.

select
    review_id,
    reviewer,
    json_text(extra, '/item') as item,
    json_text(extra, '/mark') as mark,
    occurred_at,
    review_opened_at,
    event_order
from events
where source = 'probity'
  and event_type = 'review.marked'
  and review_id is not null
  and reviewer is not null
