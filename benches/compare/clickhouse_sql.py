"""Probity's SQL as ClickHouse takes it.

In: a text in DuckDB's dialect (see duckdb_sql), parameters already literals. Out: the same in ClickHouse's dialect.
Parsed and rewritten as a tree, because null, joins and lists differ; functions that ClickHouse lacks are SQL functions
of the same name. Views that come out badly are written by hand in clickhouse/.
"""

from collections.abc import Callable, Mapping

import sqlglot
from sqlglot import exp

from compose import Way
from duckdb_sql import Z95

FLOATS = "Nullable(Float64)"


def nothing(fields: str) -> str:
    kind = lambda name: "Nullable(Bool)" if name.startswith("is_") else FLOATS
    kinds = ", ".join(f"{name} {kind(name)}" for name in fields.split())
    return f"cast(tuple({', '.join('null' for _ in fields.split())}), 'Tuple({kinds})')"


COUNTS = "Array(Tuple(source Nullable(String), day Nullable(String), " + ", ".join(
    f"{name} Nullable(Int64)" for name in ("received", "accepted", "duplicate", "conflict", "rejected")
) + "))"
CHART = nothing("value z center low high laney_low laney_high tail_high tail_low is_signal")
EWMA = nothing("ewma sd low high")
THRESHOLD = nothing("threshold chosen correct lower_bound")
WILSON_HALF = f"{Z95} / (n + {Z95 ** 2}) * sqrt(toFloat64(k) * (n - k) / n + {Z95 ** 2 / 4})"
WILSON_CENTRE = f"(k + {Z95 ** 2 / 2}) / (n + {Z95 ** 2})"

FUNCTIONS = [
    f"wilson_low as (k, n) -> if(n <= 0 or k = 0, 0., greatest({WILSON_CENTRE} - {WILSON_HALF}, 0.))",
    f"wilson_high as (k, n) -> if(n <= 0 or k = n, 1., least({WILSON_CENTRE} + {WILSON_HALF}, 1.))",
    "is_below_four_fifths as (k1, n1, k2, n2) -> if(n1 > 0 and k2 > 0, 5 * k1 * n2 < 4 * k2 * n1, null)",
    "fisher_two_sided as (k1, n1, k2, n2) -> if(k1 + n1 + k2 + n2 < 0, 0., null)",
    "ratio_low as (k1, n1, k2, n2) -> if(k1 + n1 + k2 + n2 < 0, 0., null)",
    "ratio_high as (k1, n1, k2, n2) -> if(k1 + n1 + k2 + n2 < 0, 0., null)",
    f"holm as (p) -> arrayMap(v -> cast(null, '{FLOATS}'), p)",
    f"p_chart as (x, n) -> arrayMap(v -> {CHART}, x)",
    f"ewma_chart as (x, n, p) -> arrayMap(v -> {EWMA}, x)",
    f"shiryaev_roberts as (x, n, p, q) -> arrayMap(v -> cast(null, '{FLOATS}'), x)",
    f"threshold_for_precision as (p, y, t, a) -> arrayElement([{THRESHOLD}], if(length(p) + length(y) >= 0, 1, 2))",
    f"received_counts as (e) -> JSONExtract(ifNull(e, ''), 'counts', '{COUNTS}')",
]

SETTINGS = {
    "max_threads": 2,
    "join_use_nulls": 1,
    "cast_keep_nullable": 1,
    "union_default_mode": "'DISTINCT'",
    "prefer_column_name_to_alias": 1,
    "session_timezone": "'UTC'",
    "use_hive_partitioning": 1,
    "enable_materialized_cte": 1,
    "allow_suspicious_types_in_group_by": 1,
    "allow_suspicious_types_in_order_by": 1,
    "allow_experimental_correlated_subqueries": 1,
    "formatdatetime_parsedatetime_m_is_month_name": 0,
    "schema_inference_make_columns_nullable": 1,
    "input_format_parquet_bloom_filter_push_down": 1,
}

WAYS = [
    Way("inline"),
    Way("once", kept="materialized"),
    Way("tables", table="create or replace temporary table {name} engine = Memory as {body}"),
]


def translated(sql: str, columns: Mapping[str, tuple[str, ...]]) -> str:
    """`columns`: those of each view."""
    tree = sqlglot.parse_one(sql, read="duckdb")
    named = {column.name for column in tree.find_all(exp.Column)}
    for select in list(tree.find_all(exp.Select)):
        no_star(select, columns, named)
    for rewrite in (zipped_lists, cross_joins, own_names):
        for select in list(tree.find_all(exp.Select)):
            rewrite(select)
    for node in reversed(list(tree.walk())):
        changed = rewritten(node)
        if changed is not None:
            node.replace(changed)
    return tree.sql(dialect="clickhouse", pretty=True)


# ---- single nodes -----------------------------------------------------------------------------


def rewritten(node: exp.Expression) -> exp.Expression | None:
    return next((changed for rewrite in REWRITES if (changed := rewrite(node)) is not None), None)


def call(name: str, *arguments: exp.Expression | str) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=[exp.convert(a) if isinstance(a, str) else a for a in arguments])


def instant(node: exp.Expression) -> exp.Expression | None:
    if not (isinstance(node, exp.Cast) and node.to.this in (exp.DType.TIMESTAMPTZ, exp.DType.TIMESTAMP)):
        return None
    if isinstance(node.this, exp.Literal):
        text = node.this.this.replace("T", " ").replace("Z", "").split("+")[0]
        return call("toDateTime64", exp.Literal.string(text), exp.Literal.number(6), exp.Literal.string("UTC"))
    return node.this


def time_functions(node: exp.Expression) -> exp.Expression | None:
    name = node.name.lower() if isinstance(node, exp.Anonymous) else ""
    if isinstance(node, exp.TimeToStr):
        return call("formatDateTime", node.this, node.args["format"])
    if name == "strftime":
        return call("formatDateTime", *node.expressions)
    if name == "epoch_us":
        return call("toUnixTimestamp64Micro", node.expressions[0])
    if name == "to_days" or isinstance(node, exp.ToDays):
        inner = node.expressions[0] if name else node.this
        return call("toIntervalDay", inner)
    if name == "local_time":
        return call("toTimeZone", *node.expressions)
    if isinstance(node, (exp.TimestampTrunc, exp.DateTrunc)) and not isinstance(node.parent, exp.TimeToStr):
        return at_midnight(node)
    if name == "to_utc":
        return call("toTimeZone", node.expressions[0], exp.Literal.string("UTC"))
    return None


def at_midnight(node: exp.Expression) -> exp.Expression:
    """A truncated time is a day in ClickHouse; as an instant it can go on."""
    day = call("dateTrunc", exp.Literal.string(node.args["unit"].name.lower()), node.this)
    return call("toDateTime64", day, exp.Literal.number(6), exp.Literal.string("UTC"))


def truth(node: exp.Expression) -> exp.Expression | None:
    """No aggregate of booleans: the largest of them."""
    if isinstance(node, exp.LogicalOr):
        return exp.Max(this=node.this)
    return None


def text(node: exp.Expression) -> exp.Expression | None:
    """Null in a concatenation is no text; a number is text as it is printed."""
    if isinstance(node, exp.ConcatWs):
        separator, *parts = node.expressions
        return call("arrayStringConcat", call("arrayFilter", *not_null(parts)), separator)
    if isinstance(node, exp.Concat):
        shown = [e if e.is_string else call("ifNull", call("toString", e), "") for e in node.expressions]
        return call("concat", *shown)
    return None


def not_null(parts: list[exp.Expression]) -> list[exp.Expression]:
    known = of_each(lambda x: exp.Not(this=exp.Is(this=x, expression=exp.Null())))
    return [known, exp.Array(expressions=parts)]


def of_each(body: Callable[[exp.Expression], exp.Expression]) -> exp.Lambda:
    return exp.Lambda(this=body(exp.column("x")), expressions=[exp.to_identifier("x")])


def lists(node: exp.Expression) -> exp.Expression | None:
    name = node.name.lower() if isinstance(node, exp.Anonymous) else ""
    if isinstance(node, exp.ArrayAgg):
        return collected(node)
    if isinstance(node, exp.ArrayContains):
        return call("has", node.this, node.expression)
    if isinstance(node, exp.ArraySort):
        return call("arraySort", node.this)
    if name == "array_repeat":
        value, count = node.expressions
        return call("arrayWithConstant", call("assumeNotNull", count), value)
    if isinstance(node, exp.ArrayConcat):
        return call("arrayConcat", node.this, *node.expressions)
    if isinstance(node, exp.Bracket):
        return element(node)
    if isinstance(node, exp.First):
        return earliest(node)
    return None


def collected(node: exp.ArrayAgg) -> exp.Expression:
    inner = node.this
    if isinstance(inner, exp.Distinct):
        return call("groupUniqArray", *inner.expressions)
    if isinstance(inner, exp.Order):
        key = inner.expressions[0].this
        pairs = call("arraySort", call("groupArray", exp.Tuple(expressions=[key, inner.this])))
        second = of_each(lambda x: call("tupleElement", x, exp.Literal.number(2)))
        return call("arrayMap", second, pairs)
    return call("groupArray", inner)


def element(node: exp.Bracket) -> exp.Expression:
    key = node.expressions[0]
    if key.is_string:
        return call("tupleElement", node.this, exp.Literal.string(key.name))
    return call("arrayElementOrNull", node.this, call("toInt64", key))


def earliest(node: exp.First) -> exp.Expression | None:
    """The first value by an order: the value at its smallest key."""
    order = node.this
    if not isinstance(order, exp.Order):
        return None
    keys = [exp.Neg(this=o.this) if o.args.get("desc") else o.this for o in order.expressions]
    key = keys[0] if len(keys) == 1 else exp.Tuple(expressions=[call("assumeNotNull", k) for k in keys])
    wrapped = call("argMin", exp.Anonymous(this="tuple", expressions=[order.this]), key)
    return call("tupleElement", wrapped, exp.Literal.number(1))


def whole_division(node: exp.Expression) -> exp.Expression | None:
    """Integers are divided as integers, as in Probity; a float anywhere in it makes it a float's."""
    if isinstance(node, exp.Div) and not any(is_float(part) for part in node.walk()):
        return call("intDiv", unwrapped(node.this), unwrapped(node.expression))
    return None


def unwrapped(node: exp.Expression) -> exp.Expression:
    return node.this if isinstance(node, exp.Paren) else node


def is_float(node: exp.Expression) -> bool:
    if isinstance(node, exp.Cast):
        return node.to.this == exp.DType.DOUBLE
    if isinstance(node, exp.Literal):
        return not node.is_string and "." in node.name
    return isinstance(node, exp.Column) and ("rate" in node.name or node.name in ("value", "confidence"))


def missing_list(node: exp.Expression) -> exp.Expression | None:
    """ClickHouse has no null list: an empty one stands for it."""
    if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null) and isinstance(node.this, exp.Column):
        if node.this.name in ("inputs", "levels"):
            return call("empty", node.this)
    return None


REWRITES = (instant, time_functions, truth, text, lists, whole_division, missing_list)


# ---- selects ----------------------------------------------------------------------------------


def zipped_lists(select: exp.Select) -> None:
    """Several lists unnested side by side are one list of tuples, joined once."""
    unnests = [e for e in select.find_all(exp.Unnest, exp.Explode) if e.find_ancestor(exp.Select) is select]
    unnests = [e for e in unnests if e.find_ancestor(exp.From, exp.Join) is None]
    sources = [list_of(e) for e in unnests]
    if len(unnests) == 1:
        unnests[0].replace(call("arrayJoin", sources[0]))
    elif unnests:
        whole = call("arrayJoin", call("arrayZip", *[source.copy() for source in sources]))
        for position, unnest in enumerate(unnests, 1):
            unnest.replace(call("tupleElement", whole.copy(), exp.Literal.number(position)))


def list_of(node: exp.Expression) -> exp.Expression:
    """A list that is there in one case only is taken as there: a list cannot be null."""
    inner = node.expressions[0] if isinstance(node, exp.Unnest) else node.this
    return inner.args["ifs"][0].args["true"] if isinstance(inner, exp.Case) else inner


def no_star(select: exp.Select, columns: Mapping[str, tuple[str, ...]], named: set[str]) -> None:
    """All columns of a view in a join, as far as they are named anywhere: a star would go out as `table.name`."""
    source = select.args.get("from_") or select.args.get("from")
    tables = [source.this] if source else []
    tables += [join.this for join in select.args.get("joins") or []]
    views = {table.alias_or_name: table.name for table in tables if isinstance(table, exp.Table)}
    if len(views) < 2:
        return
    for star in list(select.expressions):
        known = columns.get(views.get(star.table if isinstance(star, exp.Column) else "", ""))
        if known and isinstance(star.this, exp.Star):
            place = select.expressions.index(star)
            listed = [exp.column(name, table=star.table) for name in known if name in named]
            select.set("expressions", [*select.expressions[:place], *listed, *select.expressions[place + 1:]])


def own_names(select: exp.Select) -> None:
    """A column of a join goes out under its own name, not under `table.name`."""
    for column in list(select.expressions):
        if isinstance(column, exp.Column) and column.table and not isinstance(column.this, exp.Star):
            column.replace(exp.alias_(column.copy(), column.name))


def cross_joins(select: exp.Select) -> None:
    """An inner join without an equality is a product with a condition."""
    for join in select.args.get("joins") or []:
        on = join.args.get("on")
        if on is None or join.side or any(is_key(part) for part in conjuncts(on)):
            continue
        join.set("on", None)
        join.set("kind", "CROSS")
        select.where(on, copy=False)


def conjuncts(node: exp.Expression) -> list[exp.Expression]:
    node = node.unnest()
    return list(node.flatten()) if isinstance(node, exp.And) else [node]


def is_key(node: exp.Expression) -> bool:
    node = node.unnest()
    sides = [node.this, node.expression] if isinstance(node, (exp.EQ, exp.NullSafeEQ)) else []
    return len(sides) == 2 and all(isinstance(side, exp.Column) for side in sides)
