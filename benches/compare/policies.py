"""The policies that the evidence holds, parsed: the one function of Probity that no other engine can have.

In: policy documents, TOML. Out: an Arrow table with one row per document: its rules as a list of structs, and since
when it holds. Parsed by the reader of tests/oracle/; no engine is timed for it. Finding and joining them is timed.
"""

import sys
import tomllib

import pyarrow as pa

from questions import ROOT

sys.path.insert(0, str(ROOT / "tests" / "oracle"))
import policy_oracle

WHOLE, NUMBER, TEXT = pa.int64(), pa.float64(), pa.string()
KINDS = {
    "position": WHOLE, "level": WHOLE, "amount": pa.decimal128(18, 2), "number": NUMBER, "hours": NUMBER, "days": WHOLE,
}
RULE = pa.struct([(name, KINDS.get(name, TEXT)) for name in policy_oracle.RULE_COLUMNS])
SCHEMA = pa.schema([
    ("document", TEXT), ("is_default", pa.bool_()), ("effective_from", pa.timestamp("us", "UTC")),
    ("rules", pa.list_(RULE)),
])

# Every document that counts as a policy for the view `policies`.
DOCUMENTS = """
select distinct new_value
from evidence
where event_type = 'config.changed' and field = 'policy' and source = 'probity' and new_value is not null
order by new_value
"""


def table(documents: list[str]) -> pa.Table:
    default = policy_oracle.default_document()
    rows = [parsed(default, is_default=True)] + [parsed(document, is_default=False) for document in documents]
    return pa.Table.from_pylist([row for row in rows if row], SCHEMA)


def parsed(document: str, *, is_default: bool) -> dict | None:
    """Nothing for a text that is no policy."""
    try:
        rules = policy_oracle.parse(document)
    except (KeyError, ValueError):
        return None
    effective_from = None if is_default else tomllib.loads(document).get("effective_from")
    return {"document": document, "is_default": is_default, "effective_from": effective_from, "rules": rules}
