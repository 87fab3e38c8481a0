"""From runs to medians and ratios, and these as a table."""

import statistics

from servers import AXUM, FLOOR, REJOIN

COLUMNS = ["work", "clients", "server", "figure", "median", "least", "most", "rounds", "to_floor", "to_axum"]


def rows_of(work, runs):
    """The medians of a work, and their ratios to the floor and to axum-broadcast."""
    values_of = {}
    for server in runs:
        for key, figure, scale in work.figures:
            values = [run["results"][key] * scale for run in runs[server] if run["results"].get(key) is not None]
            if values:
                values_of[server, figure] = values
    rows = []
    for (server, figure), values in values_of.items():
        median = statistics.median(values)

        def ratio(other):
            if figure.endswith("_ratio"):
                return None
            base = statistics.median(values_of.get((other, figure), [0]))
            return round(median / base, 3) if base and other != server else None

        rows.append({
            "work": work.name,
            "clients": work.clients,
            "server": server,
            "figure": figure,
            "median": round(median, 4),
            "least": round(min(values), 4),
            "most": round(max(values), 4),
            "rounds": len(values),
            "to_floor": ratio(FLOOR),
            "to_axum": ratio(AXUM),
        })
    return rows


def table(rows, failed):
    """As Markdown: a row for each figure of a work, a column for each server; in brackets the ratio to the floor. `failed`: pairs
    of a work's name and a server."""
    servers = list(dict.fromkeys([row["server"] for row in rows] + [server for _, server in failed]))
    of = {(row["work"], row["figure"], row["server"]): row for row in rows}
    lines = [["work", "figure", *servers, "rejoin to axum"]]
    for work, figure in dict.fromkeys((row["work"], row["figure"]) for row in rows):
        cells = []
        for server in servers:
            row = of.get((work, figure, server))
            cells.append(session(row) if row else "failed" if (work, server) in failed else "")
        rejoin = of.get((work, figure, REJOIN))
        to_axum = f"{rejoin['to_axum']:.2f}" if rejoin and rejoin["to_axum"] is not None else ""
        lines.append([work, figure, *cells, to_axum])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def session(row):
    return number(row["median"]) + (f" ({row['to_floor']:.2f})" if row["to_floor"] is not None else "")


def number(value):
    if value and abs(value) < 10:
        return f"{value:.2f}"
    return f"{value:,.1f}" if abs(value) < 1000 and value != int(value) else f"{value:,.0f}"
