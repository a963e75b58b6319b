-- question: Which numbers has each source given its events without a break?
-- grain:    one row per unbroken run of a source's numbers
-- params:   none
-- returns:  source           utf8
--           first_number     int64
--           previous_number  int64  the last of the run before; null for a source's first run
--           seq              int64  of the event with the first number; the earliest where several have it
-- needs:    source_seq
-- why:      every run but a source's first begins behind a gap. Thirty-two numbers at a time are the bits
--           of a word: a bit without its lower neighbour begins a run, one without its upper neighbour ends
--           it. Sorting all events by their numbers would say the same, later. What the engine says itself
--           is numbered by seq.

with numbered as (
    select
        source,
        source_seq,
        seq,
        event_order
    from events
    where source_seq is not null
      and event_type not like 'evidence.%'
),
words as (
    select
        source,
        source_seq >> 5 as word,
        bit_or(cast(1 as bigint) << (source_seq & 31)) as present
    from numbered
    group by source, source_seq >> 5
),
neighbours as (
    select
        source,
        word,
        present,
        case
            when lag(word) over (partition by source order by word) = word - 1
                then lag(present) over (partition by source order by word) >> 31
            else 0
        end as before,
        case
            when lead(word) over (partition by source order by word) = word + 1
                then lead(present) over (partition by source order by word) & 1
            else 0
        end as behind
    from words
),
borders as (
    select
        source,
        word,
        present - (present & (present * 2 + before)) as first_bits,
        present - (present & ((present >> 1) + (behind << 31))) as last_bits
    from neighbours
),
bits (bit) as (
    values
        (0), (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12), (13), (14), (15),
        (16), (17), (18), (19), (20), (21), (22), (23), (24), (25), (26), (27), (28), (29), (30), (31)
),
ends as (
    select
        w.source,
        w.word * 32 + b.bit as number,
        (w.first_bits >> b.bit) & 1 = 1 as is_first
    from borders as w
    inner join bits as b on ((w.first_bits | w.last_bits) >> b.bit) & 1 = 1
    where w.first_bits > 0 or w.last_bits > 0
),
runs as (
    select
        source,
        number,
        is_first,
        lag(number) over (partition by source order by number) as previous_number
    from ends
),
begun as (
    select
        source,
        number as first_number,
        previous_number
    from runs
    where is_first
)
select
    b.source,
    b.first_number,
    min(b.previous_number) as previous_number,
    first_value(n.seq order by n.event_order) as seq
from begun as b
inner join numbered as n on n.source = b.source and n.source_seq = b.first_number
group by b.source, b.first_number
