"""Draws how servers grow with the number of connections, from the results.csv of scripts/bench.sh, as SVG:

    python3 benches/plot.py target/bench/results.csv > growth.svg
"""

import csv
import math
import sys
from xml.sax.saxutils import escape

# Okabe and Ito's colours, which the colour-blind tell apart; the marks do without colour.
STYLES = {
    "rejoin": ("#0072B2", "circle"),
    "limit-server": ("#555555", "square"),
    "axum-broadcast": ("#D55E00", "triangle"),
}
# Of the servers that --also adds, in their order, and again from the first.
OTHERS = [("#009E73", "diamond"), ("#CC79A7", "turned"), ("#E69F00", "square"), ("#56B4E9", "circle")]
PANELS = [
    ("cpu_us", "Server CPU per delivery", "µs", 1, False),
    ("memory_bytes", "Server memory per connection", "KB", 1e-3, True),
]
WIDTH, HEIGHT = 460, 340
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 46, 56


def growth(rows):
    """The SVG of the works `growth-*`."""
    rows = [row for row in rows if row["work"].startswith("growth-")]
    if not rows:
        raise ValueError("there is no work named growth-*")
    styles = styles_of(dict.fromkeys(row["server"] for row in rows))
    width, height = WIDTH * len(PANELS), HEIGHT + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12" fill="#222222">',
        "<title>Cost against the number of connections</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for index, panel in enumerate(PANELS):
        parts += draw(rows, styles, *panel, WIDTH * index)
    parts += legend(styles, width, height)
    return "\n".join([*parts, "</svg>", ""])


def styles_of(servers):
    """Each server's colour and mark."""
    known = {server: style for server, style in STYLES.items() if server in servers}
    others = [server for server in servers if server not in STYLES]
    return known | {server: OTHERS[index % len(OTHERS)] for index, server in enumerate(others)}


def draw(rows, styles, figure, title, unit, scale, is_log, left):
    """One panel: axes with ticks, and a line for each server."""
    lines = {}
    for server in styles:
        points = [(int(row["clients"]), max(float(row["median"]) * scale, 0)) for row in rows if (row["server"], row["figure"]) == (server, figure)]
        # A logarithm has no place for nothing at all.
        points = sorted(point for point in points if point[1] > 0 or not is_log)
        if points:
            lines[server] = points
    if not lines:
        return []
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    x_axis = Axis(10 ** math.floor(math.log10(min(xs))), max(xs) * 1.15, left + LEFT, left + WIDTH - RIGHT, True)
    if is_log:
        bottom = 10 ** math.floor(math.log10(min(ys)))
        y_axis = Axis(bottom, max(10 ** math.ceil(math.log10(max(ys))), bottom * 10), HEIGHT - BOTTOM, TOP, True)
    else:
        y_axis = Axis(0, max(ys) * 1.1 or 1, HEIGHT - BOTTOM, TOP, False)

    parts = [text(left + LEFT, TOP - 20, f"{title}, {unit}", 'font-size="14" font-weight="bold"')]
    for tick in y_axis.ticks():
        y = y_axis.at(tick)
        parts.append(line(x_axis.start, y, x_axis.end, y, "#dddddd"))
        parts.append(text(x_axis.start - 6, y + 4, label(tick), 'text-anchor="end"'))
    for tick in x_axis.ticks():
        x = x_axis.at(tick)
        parts.append(line(x, y_axis.start, x, y_axis.start + 5, "#222222"))
        parts.append(text(x, y_axis.start + 19, label(tick), 'text-anchor="middle"'))
    parts.append(line(x_axis.start, y_axis.start, x_axis.end, y_axis.start, "#222222"))
    parts.append(line(x_axis.start, y_axis.start, x_axis.start, y_axis.end, "#222222"))
    parts.append(text((x_axis.start + x_axis.end) / 2, y_axis.start + 40, "connections", 'text-anchor="middle"'))
    for server, points in lines.items():
        colour, mark = styles[server]
        places = [(x_axis.at(x), y_axis.at(y)) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), (clients, value) in zip(places, points):
            parts.append(symbol(mark, x, y, colour, f"{server}, {clients:,} connections: {value:.3g} {unit}"))
    return parts


class Axis:
    """From values to places."""

    def __init__(self, low, high, start, end, is_log):
        self.low, self.high, self.start, self.end, self.is_log = low, high, start, end, is_log

    def at(self, value):
        low, high = self.low, self.high
        if self.is_log:
            value, low, high = math.log10(value), math.log10(low), math.log10(high)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self):
        if self.is_log:
            powers = range(round(math.log10(self.low)), math.floor(math.log10(self.high) + 1e-9) + 1)
            return [10.0**power for power in powers]
        # 4 to 9 round steps.
        step = 10 ** math.floor(math.log10(self.high / 4))
        step = next(step * factor for factor in (1, 2, 5, 10) if self.high / (step * factor) < 9)
        return [step * n for n in range(int(self.high / step) + 1)]


def legend(styles, width, height):
    wide = {server: 44 + 7 * len(server) for server in styles}
    parts, x = [], (width - sum(wide.values())) / 2
    for server, (colour, mark) in styles.items():
        parts.append(line(x, height - 20, x + 24, height - 20, colour, 2))
        parts.append(symbol(mark, x + 12, height - 20, colour, server))
        parts.append(text(x + 30, height - 16, server))
        x += wide[server]
    return parts


def line(x1, y1, x2, y2, colour, width=1):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def text(x, y, words, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(words)}</text>'


def symbol(mark, x, y, colour, title):
    shapes = {
        "circle": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5"',
        "square": f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"',
        "triangle": f'<polygon points="{x:.1f},{y - 5:.1f} {x + 5:.1f},{y + 4:.1f} {x - 5:.1f},{y + 4:.1f}"',
        "turned": f'<polygon points="{x:.1f},{y + 5:.1f} {x + 5:.1f},{y - 4:.1f} {x - 5:.1f},{y - 4:.1f}"',
        "diamond": f'<polygon points="{x:.1f},{y - 5.5:.1f} {x + 5.5:.1f},{y:.1f} {x:.1f},{y + 5.5:.1f} {x - 5.5:.1f},{y:.1f}"',
    }
    return f'{shapes[mark]} fill="{colour}"><title>{escape(title)}</title></{shapes[mark].split()[0][1:]}>'


def label(value):
    if value >= 1:
        return f"{value:,.0f}" if value == int(value) else f"{value:g}"
    return f"{value:g}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        with open(sys.argv[1], newline="") as file:
            sys.stdout.write(growth(list(csv.DictReader(file))))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")


if __name__ == "__main__":
    main()
