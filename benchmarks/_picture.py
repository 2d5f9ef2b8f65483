"""The picture of the page: an SVG of bars, readable on light and on dark ground."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from benchmarks._targets import MARKS, TIMES, Check, Row

LEFT, WIDTH, LINE, TOP = 480, 360, 17, 58
LEAST, MOST = 0.4, 100.0
"""Ends of the scale, which is logarithmic."""

STYLE = """
.ground{fill:#fff}.work,.axis,.title{fill:#24292f}.name,.value{fill:#57606a}
.grid{stroke:#d8dee4}.one{stroke:#24292f}.yes{fill:#2da44e}.no{fill:#cf222e}.aim{stroke:#24292f}
text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif}.title{font-weight:600;font-size:14px}
.axis,.name,.value{font-size:11px}
@media (prefers-color-scheme:dark){.ground{fill:#0d1117}.work,.axis,.title{fill:#e6edf3}
.name,.value{fill:#9198a1}.grid{stroke:#30363d}.one,.aim{stroke:#e6edf3}.yes{fill:#3fb950}
.no{fill:#f85149}}
"""


def across(value: float) -> float:
    """Where a ratio is on the scale."""
    share = math.log(min(max(value, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LEFT + share * WIDTH


def bar(check: Check, y: float) -> str:
    """One comparison: a bar from 1, and a mark where it was to come to."""
    value = check.reached
    assert value is not None
    one, end, aim = across(1), across(value), across(check.needed)
    return (
        f'<text class="name" x="{LEFT - 10}" y="{y + 11:.0f}" text-anchor="end">{escape(check.what)}'
        f'</text><rect class="{"yes" if check.ok else "no"}" x="{min(one, end):.1f}" y="{y + 2:.0f}"'
        f' width="{max(abs(end - one), 1):.1f}" height="{LINE - 5}" rx="2"/>'
        f'<line class="aim" x1="{aim:.1f}" x2="{aim:.1f}" y1="{y:.0f}" y2="{y + LINE - 1:.0f}"'
        f' stroke-width="2"/><text class="value" x="{max(one, end, aim) + 6:.1f}"'
        f' y="{y + 11:.0f}">{value:.2f} {MARKS[check.ok]}</text>'
    )


def picture(rows: Sequence[Row]) -> str:
    """All ratios of the table; rows whose figures are missing are left to the table."""
    parts: list[str] = []
    y: float = TOP
    for row in rows:
        known = [item for item in row.checks if item.reached is not None and not item.memory]
        if known:
            work = escape(row.work.replace(" of 8 KiB", ""))
            parts.append(f'<text class="work" x="16" y="{y + 11:.0f}">{work}</text>')
        for check in known:
            parts.append(bar(check, y))
            y += LINE
        y += 7 if known else 0
    height = y + 12
    grid = "".join(
        f'<line class="{"one" if tick == 1 else "grid"}" x1="{across(tick):.1f}"'
        f' x2="{across(tick):.1f}" y1="{TOP - 8}" y2="{height - 12:.0f}"/>'
        f'<text class="axis" x="{across(tick):.1f}" y="{TOP - 14}" text-anchor="middle">{tick:g} {TIMES}'
        f"</text>"
        for tick in (0.5, 1, 2, 5, 10, 20, 50, 100)
    )
    width = LEFT + WIDTH + 60
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}"'
        f' width="{width}" height="{height:.0f}" role="img"'
        f' aria-label="storage-core against each rival, target by target">'
        f'<style>{STYLE}</style><rect class="ground" width="{width}" height="{height:.0f}" rx="6"/>'
        f'<text class="title" x="16" y="24">storage-core against each rival: how many times'
        f" better; the upright mark is the target</text>{grid}{''.join(parts)}</svg>\n"
    )
