# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# tools/report: results.jsonl of tools/compare as one HTML page. Plotly draws the figures, Graphviz the architectures; the page
# (report_page.html) has both inside it.
import argparse
import datetime
import html
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

HERE = pathlib.Path(__file__).resolve().parent
CALLER = pathlib.Path(os.environ.get("CALLER", "."))  # where paths on the command line begin
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d3b", "#6a3d9a", "#b2182b", "#4d4d4d"]
DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"]
PATTERNS = ["", "/", ".", "x", "-", "|", "+", "\\"]
SYMBOLS = ["circle", "square", "diamond", "cross", "triangle-up", "star", "hexagon", "x", "pentagon", "triangle-down", "bowtie", "hourglass",
           "circle-open", "square-open", "diamond-open", "triangle-up-open", "star-open", "hexagon-open", "pentagon-open"]


def stop(sentence):
    sys.exit(f"tools/report: {sentence}")


def middle(values):
    return statistics.median(values) if values else None


def finite(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def words(text):
    """As Plotly takes names and labels, which are HTML to it."""
    return html.escape(str(text)).replace("%{", "% {")


class Entry:
    """An architecture or baseline, with its runs."""

    def __init__(self, name, family):
        self.name, self.family, self.runs, self.failed, self.diverged, self.waiting = name, family, [], [], [], 0
        self.about = None

    @property
    def begun(self):
        """How many of its runs ended, in whichever way."""
        return len(self.runs) + len(self.failed) + len(self.diverged)

    def share(self, kind):
        """Of each run the percentage of right answers; runs that could not be asked have none."""
        shares = []
        for run in self.runs:
            for score in run.get("scores", []):
                if score["kind"] == kind and score["asked"] and not (score.get("refused") and score["right"] == 0):
                    shares.append(100 * score["right"] / score["asked"])
        return shares

    def needles(self):
        """Tokens to the shares of needles found, of each run."""
        shares = {}
        for run in self.runs:
            for row in run.get("needle", []):
                if row.get("refused") and not any(row["right"]):
                    continue
                shares.setdefault(row["tokens"], []).append(100 * sum(row["right"]) / (row["cases"] * len(row["right"])))
        return dict(sorted(shares.items()))

    def generation(self, field):
        """Tokens to a figure of one generation, of each run."""
        rows = {}
        for run in self.runs:
            for row in run.get("generation", []):
                if field in row:
                    rows.setdefault(row["tokens"], []).append(row[field])
        return dict(sorted(rows.items()))

    def of(self, field):
        """A figure of each run; of one that was taken several times the middle."""
        values = [run.get(field) for run in self.runs]
        values = [value.get("median") if isinstance(value, dict) else value for value in values]
        return [value for value in values if finite(value)]

    def last_losses(self):
        ends = [[loss for _, loss, _ in run.get("loss", [])[-5:] if finite(loss)] for run in self.runs]
        return [statistics.mean(losses) for losses in ends if losses]

    def interference(self):
        """How much more surprising other texts are under an adapter, of each run."""
        pairs = [(run["perplexity"].get("with"), run["perplexity"].get("without")) for run in self.runs if run.get("perplexity")]
        return [changed / plain for changed, plain in pairs if finite(changed) and finite(plain)]


def read(path):
    """The plan, and the entries in the file's order."""
    plan, entries = {}, {}
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        stop(str(error))
    for number, line in enumerate(lines, 1):
        try:
            run = json.loads(line)
        except json.JSONDecodeError as error:
            stop(f"{path}: line {number}: {error}")
        if not isinstance(run, dict) or ("plan" not in run and "name" not in run):
            stop(f"{path}: line {number}: expected an object with a plan or a name")
        if "plan" in run:
            plan = run["plan"]
            continue
        entry = entries.setdefault(run["name"], Entry(run["name"], run.get("family", run["name"])))
        entry.about = entry.about or run.get("about")
        if "waiting" in run:
            entry.waiting += 1
        elif "failed" in run:
            entry.failed.append(run["failed"])
        elif "diverged" in run:
            entry.diverged.append(f"diverged at {run['diverged']} (seed {run['seed']})")
        else:
            entry.runs.append(run)
    if not any(entry.runs for entry in entries.values()):
        stop(f"{path}: no run is done")
    return plan, list(entries.values())


class Looks:
    """A family has a colour, its members dashes and symbols."""

    def __init__(self, entries):
        families = list(dict.fromkeys(entry.family for entry in entries))
        seen = {}
        self.of = {}
        for entry in entries:
            number = seen.get(entry.family, 0)
            seen[entry.family] = number + 1
            colour = "#7f7f7f" if entry.family == "baseline" else COLOURS[families.index(entry.family) % len(COLOURS)]
            self.of[entry.name] = {"colour": colour, "dash": DASHES[number % len(DASHES)], "symbol": SYMBOLS[number % len(SYMBOLS)],
                                   "pattern": PATTERNS[number % len(PATTERNS)]}

    def line(self, entry):
        look = self.of[entry.name]
        return {"color": look["colour"], "dash": look["dash"], "width": 2}

    def marker(self, entry, size=9):
        look = self.of[entry.name]
        return {"color": look["colour"], "symbol": look["symbol"], "size": size}


def spread(values):
    """What is drawn of several seeds: the middle, and how far it is to the ends."""
    centre = middle(values)
    return centre, max(values) - centre, centre - min(values)


def curve(entry, looks, points, hover):
    centres = [spread(values) for values in points.values()]
    several = any(up or down for _, up, down in centres)
    bars = {"type": "data", "array": [up for _, up, _ in centres], "arrayminus": [down for _, _, down in centres],
            "thickness": 1, "width": 3} if several else None
    return go.Scatter(x=list(points), y=[centre for centre, _, _ in centres], error_y=bars, name=words(entry.name), mode="lines+markers",
                      line=looks.line(entry), marker=looks.marker(entry, 7), hovertemplate=hover + f"<extra>{words(entry.name)}</extra>")


def accuracy(entries, looks, kinds):
    figure = go.Figure()
    for entry in entries:
        shares = [entry.share(kind) for kind in kinds]
        if not any(shares):
            continue
        centres = [spread(values) if values else (None, 0, 0) for values in shares]
        look = looks.of[entry.name]
        figure.add_bar(x=kinds, y=[centre for centre, _, _ in centres], name=words(entry.name), marker_color=look["colour"],
                       marker_pattern_shape=look["pattern"],
                       error_y={"type": "data", "array": [up for _, up, _ in centres], "arrayminus": [down for _, _, down in centres],
                                "visible": any(up or down for _, up, down in centres), "thickness": 1},
                       hovertemplate="%{x}: %{y:.1f} %<extra>" + words(entry.name) + "</extra>")
    return figure.update_layout(barmode="group", yaxis={"title": "right answers, %", "range": [0, 102]})


def smooth(losses, reach=4):
    """The mean of each with those around it: single reports are of a few steps only."""
    return [statistics.mean(losses[max(0, i - reach):i + reach + 1]) for i in range(len(losses))]


def loss_curves(entries, looks, at, title):
    figure = go.Figure()
    for entry in entries:
        for run in entry.runs:
            points = [point for point in run.get("loss", []) if finite(point[1])]
            if points:
                figure.add_scatter(x=[point[at] for point in points], y=smooth([point[1] for point in points]), name=words(entry.name),
                                   legendgroup=entry.name, showlegend=run is entry.runs[0], mode="lines",
                                   line={**looks.line(entry), "width": 1.5},
                                   hovertemplate=f"%{{x}} {title}: loss %{{y:.3f}}<extra>{words(entry.name)}, seed {run['seed']}</extra>")
    return figure.update_layout(xaxis_title=title, yaxis={"title": "loss", "type": "log"})


def pareto(entries, looks, kind, field, title, factor=1):
    """Quality against a cost, with the line of those that nothing beats in both."""
    points = []
    for entry in entries:
        share, cost = middle(entry.share(kind)), middle(entry.of(field))
        if share is not None and cost:
            points.append((cost * factor, share, entry))
    figure = go.Figure()
    for cost, share, entry in points:
        figure.add_scatter(x=[cost], y=[share], name=words(entry.name), mode="markers", marker=looks.marker(entry, 12),
                           hovertemplate=f"%{{x:.4g}} {title}, %{{y:.1f}} % right<extra>{words(entry.name)}</extra>")
    front, best = [], -1
    for cost, share, _ in sorted(points, key=lambda point: (point[0], -point[1])):
        if share > best:
            front.append((cost, share))
            best = share
    figure.add_scatter(x=[cost for cost, _ in front], y=[share for _, share in front], mode="lines", name="nothing beats these",
                       line={"color": "#999999", "dash": "dot", "shape": "hv"}, hoverinfo="skip")
    return figure.update_layout(xaxis={"title": title, "type": "log"}, yaxis={"title": f"{kind}: right answers, %", "range": [-2, 104]})


def milliseconds(rows):
    """Of several seeds the middle of each; of one the quarters around its own."""
    return [1e3 * value for value in ([row["median"] for row in rows] if len(rows) > 1 else [rows[0][key] for key in ("low", "median", "high")])]


def against_length(entries, looks, points_of, title, hover, log=True):
    figure = go.Figure()
    for entry in entries:
        points = points_of(entry)
        if points:
            figure.add_trace(curve(entry, looks, points, hover))
    axis = {"title": title, "type": "log"} if log else {"title": title, "range": [-2, 104]}
    return figure.update_layout(xaxis={"title": "tokens of the document", "type": "log"}, yaxis=axis)


def heat_map(entry):
    """Needles found, by length and depth, of all seeds together; none of an entry that finds nothing."""
    cells = {}
    for run in entry.runs:
        for row in run.get("needle", []):
            right, asked = cells.setdefault(row["tokens"], ([0] * len(row["right"]), [0] * len(row["right"])))
            if row.get("refused") and not any(row["right"]):
                continue  # of texts that it does not take nothing is known
            for i, found in enumerate(row["right"]):
                right[i] += found
                asked[i] += row["cases"]
    lengths = sorted(cells)
    if not any(any(right) for right, _ in cells.values()):
        return None
    bins = len(cells[lengths[0]][0])
    shares = [[100 * cells[length][0][i] / cells[length][1][i] if cells[length][1][i] else None for length in lengths] for i in range(bins)]
    depths = [f"{100 * i // bins}-{100 * (i + 1) // bins} %" for i in range(bins)]
    cases = max(asked[0] for _, asked in cells.values())
    figure = go.Figure(go.Heatmap(z=shares, x=[str(length) for length in lengths], y=depths, zmin=0, zmax=100, colorscale="Viridis",
                                  colorbar={"title": "found, %"}, xgap=1, ygap=1,
                                  hovertemplate="%{x} tokens, depth %{y}: %{z:.0f} % of " + str(cases) + "<extra></extra>"))
    return figure.update_layout(xaxis={"title": "tokens of the document", "type": "category"},
                                yaxis={"title": "depth of the needle", "autorange": "reversed", "type": "category"})


def drawing(entry):
    """The data flow as Graphviz draws it."""
    def text(label):
        return str(label).replace("\\", "/").replace('"', "'")
    nodes, edges = [], []
    for i, (what, *_) in enumerate(entry.about):
        nodes.append(f'n{i} [label="{text(what)}"];')
        if i + 1 < len(entry.about):
            edges.append(f'n{i} -> n{i + 1} [label="  {text(entry.about[i][1])}"];')
    source = ('digraph { bgcolor="transparent"; node [shape=box, style="rounded", fontname="sans-serif", fontsize=11, margin="0.15,0.08"];'
              ' edge [fontname="sans-serif", fontsize=9, arrowsize=0.7]; ' + " ".join(nodes + edges) + " }")
    drawn = subprocess.run(["dot", "-Tsvg"], input=source, capture_output=True, text=True, check=True).stdout
    drawn = drawn[drawn.index("<svg"):]
    return re.sub(r'(stroke|fill)="black"', r'\1="currentColor"', re.sub(r"<title>[^<]*</title>\n?", "", drawn)).replace(
        "<text ", '<text fill="currentColor" ')


def number(value, digits=3):
    if value is None:
        return "&ndash;"
    if 1000 <= value < 1e4:
        return f"{value:.0f}"
    if value >= 1e4:
        for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
            if value >= size:
                return f"{value / size:.{digits}g} {unit}"
    return f"{value:.{digits}g}"


def cell(value, shown):
    return f'<td data-value="{value if value is not None else ""}">{shown}</td>'


def table(entries, kinds):
    """All figures, to be sorted by any of them."""
    heads = ["", *kinds, "loss at the end", "parameters", "adapter", "ms to know a document", "operations", "bytes moved", "perplexity of other texts", "seeds"]
    rows = []
    for entry in entries:
        if not entry.runs:
            continue
        cells = []
        for kind in kinds:
            share = middle(entry.share(kind))
            cells.append(cell(share, "&ndash;" if share is None else f"{share:.0f} %"))
        loss = middle(entry.last_losses())
        cells.append(cell(loss, number(loss)))
        for field, factor in (("parameters", 1), ("bytes_kept", 1), ("seconds_to_know", 1e3)):
            value = middle(entry.of(field))
            value = value * factor if value is not None else None
            cells.append(cell(value, number(value)))
        for field in ("operations", "bytes"):
            counted = entry.generation(field)
            shortest = middle(next(iter(counted.values()))) if counted else None
            cells.append(cell(shortest, number(shortest)))
        change = middle(entry.interference())
        cells.append(cell(change, "&ndash;" if change is None else f"&times; {change:.3f}"))
        cells.append(cell(len(entry.runs), f"{len(entry.runs)} of {entry.begun}"))
        rows.append(f'<tr><th scope="row">{html.escape(entry.name)}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col"><button>{html.escape(name) or "way"}</button></th>' for name in heads)
    return f'<div class="wide"><table class="sortable"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def measured(entry, what, longest):
    """Of each seed; one that diverged is as bad as can be."""
    if what == "loss":
        return entry.last_losses() + [math.inf] * len(entry.diverged)
    if what == "longest needle":
        found = [100 * sum(row["right"]) / (row["cases"] * len(row["right"]))
                 for run in entry.runs for row in run.get("needle", []) if row.get("lines") == longest]
    else:
        found = [100 * score["right"] / score["asked"]
                 for run in entry.runs for score in run.get("scores", []) if score["kind"] == what and score["asked"]]
    return found + [0] * len(entry.diverged)


def claims_table(plan, entries):
    """Yes where every seed of the better one is beyond every seed of the other, or reaches what it should; no the other way round."""
    by_name = {entry.name: entry for entry in entries}
    longest = max((row["lines"] for entry in entries for run in entry.runs for row in run.get("needle", [])), default=None)
    rows = []
    for claim in plan.get("claims") or []:
        what = claim.get("by", "loss")
        better = measured(by_name[claim["better"]], what, longest) if claim["better"] in by_name else []
        if "at_least" in claim:
            worse, other = [claim["at_least"]], "at least"
        else:
            worse, other = measured(by_name[claim["than"]], what, longest) if claim["than"] in by_name else [], claim["than"]
        shown = [", ".join(f"{value:.3g}" for value in values) or "not run" for values in (better, worse)]
        if not better or not worse:
            verdict = "not run"
        else:
            sign = -1 if what == "loss" else 1
            ahead, behind = [sign * value for value in better], [sign * value for value in worse]
            beyond = min(ahead) >= behind[0] if "at_least" in claim else min(ahead) > max(behind)
            verdict = "yes" if beyond else "no" if max(ahead) < min(behind) else "not clear"
        if verdict == "yes" and any(by_name[name].failed or by_name[name].waiting
                                    for name in (claim["better"], claim.get("than")) if name in by_name):
            verdict = "not clear: seeds are missing"
        rows.append(f'<tr><td>{html.escape(claim["claim"])}</td><td>{html.escape(claim["better"])}: {shown[0]}</td>'
                    f'<td>{html.escape(other)}: {shown[1]}</td><td>{html.escape(what)}</td><td><b>{verdict}</b></td></tr>')
    if not rows:
        return ""
    return ('<div class="wide"><table><thead><tr><th>claim</th><th>should be better</th><th>than</th><th>by</th><th>so it is</th></tr></thead>'
            f'<tbody>{"".join(rows)}</tbody></table></div>')


def kernel_figures(paths):
    """Google Benchmark's JSON: for each group of names the rate of each implementation against m, and its floor where one is given."""
    figures = []
    for path in paths:
        try:
            runs = json.loads(pathlib.Path(path).read_text())["benchmarks"]
        except (OSError, json.JSONDecodeError, KeyError) as error:
            stop(f"{path}: {error!r}")
        groups = {}
        for run in runs:
            found = re.match(r"([^/]+)/(.*)/m:(\d+)(.*)", run["name"])
            if found and run.get("run_type") != "aggregate":
                who, shape, rows, rest = found.groups()
                groups.setdefault(shape, {}).setdefault(who, {}).setdefault(int(rows), []).append(run)
        for shape, of in groups.items():
            figure = go.Figure()
            for i, (who, rows) in enumerate(of.items()):
                figure.add_scatter(x=sorted(rows), y=[min(run["real_time"] for run in rows[m]) for m in sorted(rows)], name=who,
                                   mode="lines+markers", line={"color": COLOURS[i % len(COLOURS)]},
                                   hovertemplate="m = %{x}: %{y:.4g} " + runs[0].get("time_unit", "ns") + f"<extra>{who}</extra>")
            floors = {m: run["floor"] for rows in of.values() for m, found in rows.items() for run in found if "floor" in run}
            if floors:
                figure.add_scatter(x=sorted(floors), y=[floors[m] for m in sorted(floors)], name="floor", mode="lines",
                                   line={"color": "#999999", "dash": "dot"})
            figure.update_layout(xaxis={"title": "rows m", "type": "log"},
                                 yaxis={"title": f"time, {runs[0].get('time_unit', 'ns')}", "type": "log"})
            figures.append((f"{pathlib.Path(path).stem}: {shape}", figure))
    return figures


def sections(plan, entries, kernels):
    """(title, words, what stands there): HTML, or figures by their titles."""
    looks = Looks(entries)
    kinds = list(dict.fromkeys(score["kind"] for entry in entries for run in entry.runs for score in run.get("scores", [])))
    first = kinds[0]
    yield "All figures", ("The middle of all seeds; a click on a head sorts. The adapter and its time are of a document of the first kind; operations and bytes "
        "of one generation, of the shortest text with a needle. SHINE's loss is a mean over tokens, the others' over questions."), table(entries, kinds)
    claims = claims_table(plan, entries)
    if claims:
        yield "Claims", "Yes: every seed of one is beyond every seed of the other, or reaches what it should.", claims
    yield "Right answers", "About people whom no training has met. Bars: the middle of all seeds, with the least and the most.", [
        ("By kind of question", accuracy(entries, looks, kinds))]
    yield "Training", ("The same base, the same documents in the same order for a seed, the same budget. Each point is the mean of nine "
        "reports. SHINE's loss is a mean over tokens, as published, the others' over questions: compare their curves, not their heights."), [
        ("Loss by step", loss_curves(entries, looks, 0, "step")), ("Loss by time", loss_curves(entries, looks, 2, "seconds"))]
    yield "Quality and what it costs", "Up and to the left is better; nothing beats what lies on the dotted line.", [
        ("Against bytes that are kept of a document", pareto(entries, looks, first, "bytes_kept", "bytes")),
        ("Against the time until the first question", pareto(entries, looks, first, "seconds_to_know", "milliseconds", 1e3))]
    yield "Length", "Where a curve ends, the way takes no longer documents.", [
        ("Needles found", against_length(entries, looks, Entry.needles, "found, %", "%{x} tokens: %{y:.1f} %", log=False)),
        ("Time of a generation", against_length(
            entries, looks, lambda entry: {tokens: milliseconds(rows) for tokens, rows in entry.generation("seconds").items()},
            "milliseconds", "%{x} tokens: %{y:.3g} ms")),
        ("Operations of a generation, counted", against_length(
            entries, looks, lambda entry: entry.generation("operations"), "operations", "%{x} tokens: %{y:.3g}")),
        ("Scratch memory of a generation", against_length(
            entries, looks, lambda entry: entry.generation("scratch"), "bytes", "%{x} tokens: %{y:.3g} bytes"))]
    maps = [(entry.name, heat_map(entry)) for entry in entries if entry.runs]
    blind = [name for name, figure in maps if figure is None]
    yield ("Where the needle lies", "Of all seeds together." + (f" Nothing is found by: {html.escape(', '.join(blind))}." if blind else ""),
           [(name, figure) for name, figure in maps if figure is not None])
    drawn = [f'<figure><figcaption>{html.escape(entry.name)}</figcaption>{drawing(entry)}</figure>' for entry in entries if entry.about]
    if drawn:
        yield "What each of them is", "", f'<div class="drawings">{"".join(drawn)}</div>'
    ladder = kernel_figures(kernels)
    if ladder:
        yield ("Kernels", "Our kernels on each instruction set beside plain ways, one thread, the best of all repetitions. The floor: what this "
               "machine's multiply-adds take, or reading the weights.", ladder)
    failed = [f"<li><b>{html.escape(entry.name)}</b>: {html.escape(reason)}</li>" for entry in entries
              for reason in entry.failed + entry.diverged + [f"{entry.waiting} runs are still to come"] * (entry.waiting > 0)]
    refused = sorted({f"<li><b>{html.escape(entry.name)}</b>, {html.escape(row.get('kind') or str(row['tokens']) + ' tokens')}: "
                      f"{html.escape(row['refused'])}</li>" for entry in entries for run in entry.runs
                      for row in run.get("scores", []) + run.get("needle", []) if row.get("refused")})
    if failed or refused:
        yield "What did not work", "", f"<ul>{''.join(failed + refused)}</ul>"


def page(plan, entries, kernels):
    body, links, figures = [], [], []
    for title, words, content in sections(plan, entries, kernels):
        mark = re.sub(r"[^a-z]+", "-", title.lower())
        links.append(f'<a href="#{mark}">{title}</a>')
        if not isinstance(content, str):
            drawn = []
            for name, figure in content:
                drawn.append(f'<figure><figcaption>{html.escape(name)}</figcaption><div class="plot" id="plot{len(figures)}" role="img" '
                             f'aria-label="{html.escape(name)}"></div></figure>')
                figures.append(json.loads(figure.update_layout(template=None).to_json()))
            content = f'<div class="plots{" one" if len(drawn) == 1 else ""}">{"".join(drawn)}</div>'
        body.append(f'<section id="{mark}"><h2>{title}</h2>{f"<p>{words}</p>" if words else ""}{content}</section>')
    budget = ", ".join(f"{value:,} {key}" for key, value in (plan.get("budget") or {}).items())
    facts = (f"{html.escape(str(plan.get('title') or ''))} &middot; base {html.escape(str(plan.get('base')))} &middot; {budget} each &middot; "
             f"{plan.get('date') or datetime.date.today()}")
    beside = max((run.get("beside", 1) for entry in entries for run in entry.runs), default=1)
    if beside > 1:
        facts += f" &middot; times with up to {beside} runs side by side"
    text = (HERE / "report_page.html").read_text()
    for name, value in (("FACTS", facts), ("LINKS", " ".join(links)), ("BODY", "\n".join(body)),
                        ("FIGURES", json.dumps(figures).replace("</", "<\\/")), ("PLOTLY", get_plotlyjs())):
        text = text.replace(f"<!--{name}-->", value)
    return text


def check(path):
    """In a headless Chromium, light and dark, wide and narrow: the page says what it drew and what went wrong."""
    address = path.resolve().as_uri()
    browser = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
               "--virtual-time-budget=30000"]
    told = subprocess.run([*browser, "--dump-dom", address], capture_output=True, text=True, timeout=300)
    console = [line for line in told.stderr.splitlines() if "CONSOLE" in line]
    state = re.search(r'<html[^>]*data-drawn="(\d+)"[^>]*data-errors="(\d+)"', told.stdout)
    wanted = len(re.findall(r'class="plot"', path.read_text()))
    drawn, errors = (int(state.group(1)), int(state.group(2))) if state else (0, 1)
    tables = told.stdout.count("<table") > 0
    for name, size, theme in (("wide", "1400,5200", "light"), ("dark", "1400,5200", "dark"), ("phone", "500,8600", "light")):
        subprocess.run([*browser, f"--window-size={size}", f"--screenshot={path.with_suffix('')}-{name}.png", f"{address}?theme={theme}"],
                       capture_output=True, timeout=300, check=True)
    print(f"{drawn} of {wanted} figures drawn, {errors} errors, {len(console)} console messages")
    for line in console:
        print(line)
    if drawn != wanted or errors or console or not tables:
        sys.exit(1)


def main():
    parser = argparse.ArgumentParser(prog="tools/report", description="One HTML page of what tools/compare found.")
    parser.add_argument("results", nargs="?", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("report.html"))
    parser.add_argument("--kernels", action="append", default=[], help="what a benchmark wrote with --benchmark_out")
    parser.add_argument("--check", type=pathlib.Path, help="a page that is there, to be opened in a browser")
    options = parser.parse_args()
    if options.check:
        return check(CALLER / options.check)
    if options.results is None:
        parser.error("RESULTS.jsonl is missing")
    plan, entries = read(CALLER / options.results)
    text = page(plan, entries, [CALLER / path for path in options.kernels])
    out = CALLER / options.out
    try:
        out.with_suffix(".part").write_text(text)
        out.with_suffix(".part").replace(out)
    except OSError as error:
        stop(str(error))
    print(out)


if __name__ == "__main__":
    main()
