-- question: What has been told of the actions of agents?
-- grain:    one row per production event of an action
-- params:   none
-- returns:  action_id         utf8
--           seq               int64
--           event_order       decimal(38,0)
--           occurred_at       timestamp
--           event_type        utf8
--           actor_kind        utf8
--           actor_id          utf8
--           payload_hash      utf8
--           decision          utf8
--           reviewer          utf8
--           review_opened_at  timestamp
--           outcome           utf8
--           policy_outcome    utf8
--           reason_code       utf8
--           confidence        float64
--           old_value         utf8  sealed
--           new_value         utf8  sealed
-- needs:    events with action_id
-- why:      what the engine says about the evidence itself is no part of an action.

select
    action_id,
    seq,
    event_order,
    occurred_at,
    event_type,
    actor_kind,
    actor_id,
    payload_hash,
    decision,
    reviewer,
    review_opened_at,
    outcome,
    policy_outcome,
    reason_code,
    confidence,
    old_value,
    new_value
from events
where action_id is not null
  and environment = 'production'
  and event_type not like 'evidence.%'
