"""Draws how the blast radius grows: time and memory by what is affected, time by the size of the log.

usage: blast_plot.py FILE.ndjson [--in-process GROWTH.ndjson]

In: the lines of `blast.py growth`, and lines of `cargo bench --bench engine -- scope`, drawn dashed. Out: FILE's name
with `-growth.svg` at its end. All axes are logarithmic: time in proportion rises by one decade a decade, time that does
not depend on the size is level. Invariant: every point is a line of a file; nothing is smoothed or left out but errors.
"""

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 900, 400
LEFT, RIGHT, TOP, BOTTOM = 86, 709, 41, 345
# Least distance of two labels at the right, in pixels.
LABEL_HEIGHT = 17
COLOURS = {"probity": "#0B4F8A", "probity_sql": "#2E7D4F", "duckdb_tables": "#B8480A", "duckdb_once": "#7D5BA6",
           "in_process": "#52606D"}
WORDS = {"probity": "probity, whole command", "probity_sql": "probity, radius alone", "duckdb_tables": "duckdb",
         "duckdb_once": "duckdb, one statement", "in_process": "probity, in process"}
DAYS = {"scope_in_the_first_month": "first month", "scope_in_the_last_month": "last month"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--in-process", type=Path)
    asked = parser.parse_args()
    lines = measured(asked.file)
    alone = [{**line, "engine": "in_process"} for line in measured(asked.in_process)] if asked.in_process else []
    out = asked.file.with_name(f"{asked.file.stem}-growth.svg")
    out.write_text(picture(by_affected(lines) + [by_log(lines + alone)]), encoding="utf-8")
    print(f"{out}: {len(lines) + len(alone)} lines")


def measured(path: Path) -> list[dict]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [line for line in lines if line.get("median_ms") and line["name"].startswith("scope_")]


def whole_ms(line: dict) -> float:
    return line["median_ms"] + line.get("opening_ms", 0.0)


# ---- what is drawn ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """Points from left to right."""

    name: str
    colour: str
    points: list[tuple[float, float]]
    dashes: str = ""


@dataclass(frozen=True)
class Panel:
    """One plot."""

    caption: str
    across: str
    unit: str
    curves: list[Curve]


def by_affected(lines: list[dict]) -> list[Panel]:
    """Selectors that begin at the start of the largest log: all of it is read, whatever they pick."""
    events = max(line["events"] for line in lines)
    lines = [line for line in lines if line["events"] == events and line["name"] not in DAYS and line["cells"]]
    engines = [engine for engine in COLOURS if any(line["engine"] == engine for line in lines)]

    def curves(value) -> list[Curve]:
        points = {e: sorted((line["cells"], value(line)) for line in lines if line["engine"] == e) for e in engines}
        return [Curve(WORDS[engine], COLOURS[engine], points[engine]) for engine in engines]

    log = f"of a log of {number(round(events, -5))} events, from its second day on"
    return [
        Panel(f"Time by affected cells {log} (median)", "affected cells", "ms", curves(whole_ms)),
        Panel(f"Peak memory by affected cells {log}", "affected cells", "MiB", curves(lambda line: line["peak_mib"])),
    ]


def by_log(lines: list[dict]) -> Panel:
    """A day near the beginning of a log and one near its end."""
    curves = []
    for name, day in DAYS.items():
        for engine, colour in COLOURS.items():
            own = [line for line in lines if (line["name"], line["engine"]) == (name, engine)]
            points = sorted((line["events"], whole_ms(line)) for line in own)
            dashes = "6 4" if engine == "in_process" else "2 3" if "last" in name else ""
            if points and engine != "probity_sql":
                curves.append(Curve(f"{WORDS[engine].split(',')[0]}, {day}" if engine != "in_process"
                                    else f"in process, {day}", colour, points, dashes))
    return Panel("Time by size of the log, bad actions of one day (median)", "events", "ms", curves)


# ---- how it is drawn --------------------------------------------------------------------------


def picture(panels: list[Panel]) -> str:
    height = HEIGHT * len(panels)
    parts = [f'<svg width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" xmlns="http://www.w3.org/2000/svg" '
             'font-family="sans-serif">', f'<rect width="{WIDTH}" height="{height}" fill="#FFFFFF"/>']
    for row, panel in enumerate(panels):
        parts += [f'<g transform="translate(0 {row * HEIGHT})">', *drawn(panel), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def drawn(panel: Panel) -> list[str]:
    x = Axis([at for curve in panel.curves for at, _ in curve.points], LEFT, RIGHT)
    y = Axis([at for curve in panel.curves for _, at in curve.points], BOTTOM, TOP)
    parts = [text((LEFT + RIGHT) / 2, 22, panel.caption, 14.5, "middle")]
    for at in x.decades():
        parts += [line(x.place(at), TOP, x.place(at), BOTTOM, "#D9D9D9"), text(x.place(at), BOTTOM + 16, number(at))]
    for at in y.decades():
        parts += [line(LEFT, y.place(at), RIGHT, y.place(at), "#D9D9D9"),
                  text(LEFT - 8, y.place(at) + 4, with_unit(at, panel.unit), anchor="end")]
    parts += [line(LEFT, TOP, LEFT, BOTTOM, "#000000"), line(LEFT, BOTTOM, RIGHT, BOTTOM, "#000000"),
              text((LEFT + RIGHT) / 2, BOTTOM + 34, panel.across)]
    free = 0.0
    for curve in sorted(panel.curves, key=lambda curve: y.place(curve.points[-1][1])):
        places = [(x.place(across), y.place(up)) for across, up in curve.points]
        path = " ".join(f"{across:.1f},{up:.1f}" for across, up in places)
        dashes = f' stroke-dasharray="{curve.dashes}"' if curve.dashes else ""
        parts.append(f'<polyline fill="none" stroke="{curve.colour}" stroke-width="2"{dashes} points="{path}"/>')
        parts += [f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3" fill="{curve.colour}"/>' for across, up in places]
        at = max(places[-1][1], free)
        free = at + LABEL_HEIGHT
        parts.append(text(places[-1][0] + 10, at + 4, curve.name, 11.3, "start", curve.colour))
    return parts


class Axis:
    """A logarithmic axis over whole decades, or parts of one where the values need no more."""

    def __init__(self, values: list[float], start: float, end: float) -> None:
        least, most = math.log10(max(min(values), 0.1)), math.log10(max(values))
        self.low, self.high = math.floor(least * 2) / 2, max(math.ceil(most * 2) / 2, math.floor(least * 2) / 2 + 0.5)
        self.start, self.end = start, end

    def place(self, value: float) -> float:
        share = (math.log10(max(value, 0.1)) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def decades(self) -> list[float]:
        return [10.0**power for power in range(math.ceil(self.low), math.floor(self.high) + 1)]


def number(value: float) -> str:
    return f"{value / 1e6:g} M" if value >= 1e6 else f"{value:,.0f}"


def with_unit(value: float, unit: str) -> str:
    larger = {"ms": "s", "MiB": "GiB"}[unit]
    return f"{value / 1000:g} {larger}" if unit == "ms" and value >= 1000 else f"{value:g} {unit}"


def line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="1"/>'


def text(x: float, y: float, words: str, size: float = 10, anchor: str = "middle", colour: str = "#000000") -> str:
    style = f'font-size="{size}" text-anchor="{anchor}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'


if __name__ == "__main__":
    main()
