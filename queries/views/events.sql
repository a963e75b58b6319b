-- question: What has been recorded?
-- grain:    one row per event
-- params:   none
-- returns:  event_id          utf8
--           source            utf8
--           event_type        utf8
--           occurred_at       timestamp
--           source_seq        int64
--           environment       utf8
--           workflow          utf8
--           trigger           utf8
--           run_id            utf8
--           batch_id          utf8
--           trace_id          utf8
--           action_id         utf8
--           attempt           int32
--           actor_kind        utf8
--           actor_id          utf8
--           prompt_version    utf8
--           rule_version      utf8
--           model_version     utf8
--           policy_version    utf8
--           permission_area   utf8
--           permission_level  int8
--           system            utf8
--           record_type       utf8
--           record_id         utf8
--           field             utf8
--           segment           utf8
--           subject_id        utf8
--           operation         utf8
--           issue_type        utf8
--           old_value         utf8           sealed
--           new_value         utf8           sealed
--           amount            decimal(18,2)
--           currency          utf8
--           processor         utf8
--           region            utf8
--           confidence        float64
--           threshold         float64
--           reason_code       utf8
--           reversibility     utf8
--           rollback_ref      utf8
--           payload_hash      utf8
--           inputs            list
--           policy_outcome    utf8
--           decision          utf8
--           reviewer          utf8
--           review_opened_at  timestamp
--           outcome           utf8
--           error             utf8           sealed
--           correction        utf8
--           label             utf8
--           incident_id       utf8
--           review_id         utf8
--           comment           utf8           sealed
--           extra             utf8           sealed
--           seq               int64
--           recorded_at       timestamp
--           occurred_month    utf8
--           old_value_digest  utf8
--           new_value_digest  utf8
--           error_digest      utf8
--           comment_digest    utf8
--           extra_digest      utf8
--           event_order       decimal(38,0)  occurred_at and seq as one number: later means larger
-- needs:    evidence
-- why:      (occurred_at, seq) is the order everywhere; as one number it is compared, and its
--           minimum taken, at once. Seq is below 10^12, microseconds below 10^17.

select
    event_id,
    source,
    event_type,
    occurred_at,
    source_seq,
    environment,
    workflow,
    trigger,
    run_id,
    batch_id,
    trace_id,
    action_id,
    attempt,
    actor_kind,
    actor_id,
    prompt_version,
    rule_version,
    model_version,
    policy_version,
    permission_area,
    permission_level,
    system,
    record_type,
    record_id,
    field,
    segment,
    subject_id,
    operation,
    issue_type,
    old_value,
    new_value,
    amount,
    currency,
    processor,
    region,
    confidence,
    threshold,
    reason_code,
    reversibility,
    rollback_ref,
    payload_hash,
    inputs,
    policy_outcome,
    decision,
    reviewer,
    review_opened_at,
    outcome,
    error,
    correction,
    label,
    incident_id,
    review_id,
    comment,
    extra,
    seq,
    recorded_at,
    occurred_month,
    old_value_digest,
    new_value_digest,
    error_digest,
    comment_digest,
    extra_digest,
    cast(cast(occurred_at as bigint) as decimal(38, 0)) * 1000000000000 + seq as event_order
from evidence
