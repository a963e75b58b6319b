"""Probity's SQL as DuckDB takes it.

In: a text in DataFusion's dialect, values of its parameters. Out: the same in DuckDB's dialect. Everything that
DuckDB lacks is a macro of the same name; statistics without a closed form become null, but their arguments are
computed. Rewritten by pattern: the dialects are close, and a pattern that does not fit shows as an error.
"""

import re
from collections.abc import Mapping

from compose import Way

Z95 = 1.959963984540054

SETTINGS = ["integer_division = true", "TimeZone = 'UTC'", "parquet_metadata_cache = true"]

PATTERNS = [
    (r"arrow_cast\(([^,()]+), 'Timestamp\(Microsecond, Some\(\"UTC\"\)\)'\)", r"cast(\1 as timestamptz)"),
    (r"cast\(((?:\w+\.)?\w+_at|\$as_of|cast\(\S+ as timestamptz\)) as bigint\)", r"epoch_us(\1)"),
    (r"cast\(concat\(([\w$.]+), ' days'\) as interval\)", r"to_days(cast(\1 as integer))"),
    (r"cast\(epoch_us\(occurred_at\) as decimal\(38, 0\)\)", "cast(epoch_us(occurred_at) as hugeint)"),
    (r"\bdecimal\(38, 0\)", "hugeint"),
    (r"\bfirst_value\((\S+) order by", r"first(\1 order by"),
    (r"\bto_char\(", "strftime("),
    (r"\butc_time\(", "to_utc("),
]

COUNTS = '{"counts":[{"source":"VARCHAR","day":"VARCHAR",' + ",".join(
    f'"{name}":"BIGINT"' for name in ("received", "accepted", "duplicate", "conflict", "rejected")
) + "}]}"


def nothing(fields: str) -> str:
    """A null struct with these float fields, the last a boolean if it begins with `is_`."""
    kind = lambda name: "boolean" if name.startswith("is_") else "double"
    return "null::struct(" + ", ".join(f'"{name}" {kind(name)}' for name in fields.split()) + ")"


CHART = nothing("value z center low high laney_low laney_high tail_high tail_low is_signal")
EWMA = nothing("ewma sd low high")
THRESHOLD = nothing("threshold chosen correct lower_bound")
WILSON_HALF = f"{Z95} / (n + {Z95 ** 2}) * sqrt(k::double * (n - k) / n + {Z95 ** 2 / 4})"
WILSON_CENTRE = f"(k + {Z95 ** 2 / 2}) / (n + {Z95 ** 2})"

MACROS = [
    f"wilson_low(k, n) as case when n <= 0 or k = 0 then 0.0 else greatest({WILSON_CENTRE} - {WILSON_HALF}, 0.0) end",
    f"wilson_high(k, n) as case when n <= 0 or k = n then 1.0 else least({WILSON_CENTRE} + {WILSON_HALF}, 1.0) end",
    "is_below_four_fifths(k1, n1, k2, n2) as case when n1 > 0 and k2 > 0 then 5 * k1 * n2 < 4 * k2 * n1 end",
    "fisher_two_sided(k1, n1, k2, n2) as case when k1 + n1 + k2 + n2 < 0 then 0.0 end",
    "ratio_low(k1, n1, k2, n2) as case when k1 + n1 + k2 + n2 < 0 then 0.0 end",
    "ratio_high(k1, n1, k2, n2) as case when k1 + n1 + k2 + n2 < 0 then 0.0 end",
    "holm(p) as list_transform(p, lambda v: null::double)",
    f"p_chart(x, n) as list_transform(x, lambda v: {CHART})",
    f"ewma_chart(x, n, p) as list_transform(x, lambda v: {EWMA})",
    "shiryaev_roberts(x, n, p, q) as list_transform(x, lambda v: null::double)",
    f"threshold_for_precision(p, y, t, a) as case when len(p) + len(y) >= 0 then {THRESHOLD} end",
    "array_repeat(x, n) as list_resize(cast([] as boolean[]), cast(n as bigint), x)",
    "local_time(t, zone) as timezone(zone, t)",
    "to_utc(t, zone) as timezone(zone, t)",
    f"received_counts(e) as case when json_valid(e) then from_json(e, '{COUNTS}').counts end",
    "parse_policy(d) as (select any_value(p.rules) from parsed_policies as p where p.document = d)",
    "policy_effective_from(d) as (select any_value(p.effective_from) from parsed_policies as p where p.document = d)",
    "default_policy() as (select p.document from parsed_policies as p where p.is_default)",
]

WAYS = [
    Way("inline", once="not materialized", kept="not materialized"),
    Way("plain"),
    Way("once", once="not materialized", kept="materialized"),
    Way("tables", once="not materialized", kept="not materialized",
        table="create or replace temp table {name} as {body}"),
]


def translated(sql: str) -> str:
    for pattern, replacement in PATTERNS:
        sql = re.sub(pattern, replacement, sql)
    return sql


def with_values(sql: str, values: Mapping[str, object], kinds: Mapping[str, str]) -> str:
    """Parameters as literals."""

    def literal(match: re.Match[str]) -> str:
        value, kind = values[match[1]], kinds[match[1]]
        if kind == "timestamp":
            return f"timestamptz '{value}'"
        return "'" + str(value).replace("'", "''") + "'" if kind == "utf8" else str(value)

    return re.sub(r"\$(\w+)", literal, sql)
