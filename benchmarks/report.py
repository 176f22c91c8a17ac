"""The table and the plot of what was measured, and the ratios that are held to limits."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

KINDS = ("training step", "sampling")
GROWTH = ("batch", "rows and columns", "filters", "depth")
WHAT = {  # the ratios that are held
    "naive 1": "one pass of the whole network for each pixel ÷ ours, 1 image",
    "naive 16": "one pass of the whole network for each pixel ÷ ours, 16 images",
    "forwards": "ours ÷ a single pass of the whole network, 64 images",
    "plainly float32": "training, images a second: ours in float32 ÷ written plainly",
    "plainly bf16": "training, images a second: ours in bfloat16 ÷ written plainly",
}
LEGEND = """
What the columns say, for a network with random weights; each figure is the median of several after a warm-up.

- **training, images/s**: forward, backward and Adam at the recipe's batch, in bf16 where that is fast.
- **training, share of what this machine can do**: the floating-point operations of that, a second, as a share of those
  of a plain 3x3 convolution, forward and backward, measured in the same run with as many threads: the best of 64, 128
  and 256 channels. Where models were measured one after another, each has the peaks of its own run, and the last are
  shown. Operations are counted by torch; attention as whole matrices, though half of each is not computed.
- **sampling N images, in forwards**: the time of drawing N images ÷ that of one pass of the network over N known ones.
- **one image, times faster than naive**: naive is one whole pass a pixel (a colour, where colours are dependent). Only
  a few passes are timed and multiplied by their number, for all are alike.
- **times the limit**: drawing one image ÷ the limit, which is reading the network's weights once for each pixel, at the
  speed of a matrix-vector product of 16 MB.
- **memory**: what a training step at the recipe's batch takes at most beyond the network itself.
- In brackets stands the number of threads that was best for a figure.
- **grows with**: the k of cost ∝ size^k, fitted on a logarithmic scale, of a training step / of drawing one image (with
  the batch: of drawing so many). 1 is in proportion; convolutions tend to 2 with filters, and with rows and columns.
"""


def table(kept: dict[str, dict[str, Any]]) -> str:
    """The page of all machines: a section for each, those that were only held to limits left out."""
    lines = ["# What was measured, machine by machine", "", "Written by `make bench` from the files beside it."]
    lines += [LEGEND.rstrip()]
    for name, figures in kept.items():
        if figures.get("models"):
            lines += ["", f"## {name}", "", *_about(figures), "", *_models(figures["models"]), ""]
            lines += [f"![what the machine can do, and what networks make of it]({name}.png)", ""]
            lines += _growth(figures["models"])
    return "\n".join(lines).rstrip() + "\n"


def _about(figures: dict[str, Any]) -> list[str]:
    its = figures["machine"]
    lines = [
        f"{its['processor']}, {its['cores']} cores; {', '.join(its['instructions'])} (torch uses {its['torch uses']}); "
        f"bf16 {its['bf16']}; torch {its['torch']}; {figures['date']}; load before: {its['load before']}."
    ]
    if figures["quick"]:
        lines += ["", "**Tiny networks: this shows that the benchmark works, and nothing else.**"]
    peaks = figures["peaks"]
    heads = [f"{threads} thread{'s' * (threads != '1')}" for threads in peaks]
    lines += ["", f"| what the machine can do | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for key in next(iter(peaks.values())):
        unit = "GB/s" if key in ("copy", "reading weights") else "GFLOP/s"
        said = {"copy": "copying memory, read and written", "reading weights": "reading 16 MB of weights"}.get(key, key)
        said += " channels, forward and backward" * key.startswith("convolution")
        lines.append(f"| {said}, {unit} | {' | '.join(_short(its[key] / 1e9) for its in peaks.values())} |")
    return lines


def _models(models: dict[str, Any]) -> list[str]:
    many = {count for its in models.values() for count in _counts(its)}
    batches = sorted(many, key=int)
    heads = [
        "model",
        "recipe",
        "weights",
        "images",
        "training, images/s",
        "training, share of what this machine can do",
    ]
    heads += [f"sampling {count} image{'s' * (count != '1')}, in forwards" for count in batches]
    heads += ["one image, times faster than naive", "one image, s", "limit, s", "times the limit", "memory, MiB"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, its in models.items():
        row = [name, its["recipe"], f"{its['weights']:,}", its["images"]]
        row += [
            _best(_training(its, "images a second"), max),
            _best(_training(its, "share of peak"), max, percent=True),
        ]
        row += [_best(_values(its, "streaming", count, "forwards"), min) for count in batches]
        row += [_best(_naive(its, "1"), max), _best(_values(its, "streaming", "1", "sampling"), min)]
        row += [_best(_values(its, "streaming", "one image", "reading its weights once a pixel"), min)]
        row += [_best(_values(its, "streaming", "one image", "times that"), min)]
        row += [f"{its['memory'] / 2**20:,.0f}" if "memory" in its else ""]
        lines.append(f"| {' | '.join(row)} |")
    return lines


def _growth(models: dict[str, Any]) -> list[str]:
    grown = {name: its["growth"] for name, its in models.items() if "growth" in its}
    if not grown:
        return []
    lines = [f"| cost of training / sampling grows with | {' | '.join(GROWTH)} |", "|---" * (1 + len(GROWTH)) + "|"]
    for name, its in grown.items():
        cells = [" / ".join(f"{its[what][kind]:.2f}" for kind in KINDS) for what in GROWTH]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def held(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """The ratios that have limits, and what they are compared with; each with its best number of threads."""
    rows = []
    for name, its in figures["models"].items():
        found = {
            "naive 1": (_naive(its, "1"), max),
            "naive 16": (_naive(its, "16"), max),
            "forwards": (_values(its, "streaming", "64", "forwards"), min),
            "plainly float32": (_values(its, "plainly", "float32"), max),
            "plainly bf16": (_values(its, "plainly", "bf16"), max),
        }
        for key, (values, better) in found.items():
            if values and (key in its["limits"] or key == "plainly float32"):
                row = {"model": name, "what": WHAT[key], "ratio": better(values.values())}
                rows.append(row | {"must": its["limits"].get(key, "")})
    return rows


def draw(name: str, figures: dict[str, Any]) -> Image.Image:
    """Bars of shares and ratios for each model, and the exponents."""
    models = dict(reversed(figures["models"].items()))
    figure = Figure(figsize=(14, 3.2 + 0.62 * len(models)), dpi=100, layout="constrained")
    (share, forwards), (one, growth) = figure.subplots(2, 2)
    threads = list(figures["peaks"])
    _bars(
        share,
        models,
        {
            f"{t} thread{'s' * (t != '1')}": {m: _training(i, "share of peak").get(t) for m, i in models.items()}
            for t in threads
        },
    )
    share.set(title="training: share of the convolution peak of this run", xlim=(0, 1))
    share.axvline(0.6, color="grey", linestyle=":", linewidth=1)
    batches = sorted({count for its in models.values() for count in _counts(its)}, key=int)
    ratios = {
        f"{b} image{'s' * (b != '1')}": {m: _least(_values(i, "streaming", b, "forwards")) for m, i in models.items()}
        for b in batches
    }
    _bars(forwards, models, ratios, scale="log")
    forwards.set(title="sampling, in forwards (less is better)")
    forwards.axvline(1, color="grey", linestyle=":", linewidth=1)
    times = {
        "naive (timed on a part)": {m: _least(_values(i, "streaming", "1", "naive")) for m, i in models.items()},
        "ours": {m: _least(_values(i, "streaming", "1", "sampling")) for m, i in models.items()},
        "limit: reading the weights once a pixel": {
            m: _least(_values(i, "streaming", "one image", "reading its weights once a pixel"))
            for m, i in models.items()
        },
    }
    _bars(one, models, times, scale="log")
    one.set(title="drawing one image, seconds")
    grown = {m: i["growth"] for m, i in models.items() if "growth" in i}
    for place, what in enumerate(GROWTH):
        for kind, marker in zip(KINDS, ("o", "x"), strict=True):
            values = [its[what][kind] for its in grown.values()]
            label = kind if what == GROWTH[0] else None
            offset = np.arange(len(grown)) + (place - 1.5) * 0.18
            growth.plot(values, offset, marker, color=f"C{place}", markersize=5, label=label, alpha=0.9)
        growth.plot([], [], "s", color=f"C{place}", label=f"with {what}")
    growth.set_yticks(range(len(grown)), list(grown))
    growth.set(title="cost ∝ size^k: the exponent k")
    for axes in (share, forwards, one, growth):
        axes.grid(axis="x", alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=3, frameon=False)
    its = figures["machine"]
    said = " (tiny networks: only that it works)" if figures["quick"] else ""
    figure.suptitle(
        f"{name}: {its['processor']}, {its['threads']} threads, bf16 {its['bf16']}, {figures['date']}{said}"
    )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _bars(
    axes: Any, models: Iterable[str], groups: dict[str, dict[str, float | None]], *, scale: str = "linear"
) -> None:
    """A bar of each group beside each model; none where there is no figure."""
    names, thick = list(models), 0.8 / max(len(groups), 1)
    for place, (label, values) in enumerate(groups.items()):
        there = [(number, values[name]) for number, name in enumerate(names) if values.get(name) is not None]
        at = [number + 0.4 - (place + 0.5) * thick for number, _ in there]
        axes.barh(at, [value for _, value in there], thick, color=f"C{place}", label=label)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    if any(value is not None for values in groups.values() for value in values.values()):
        axes.set_xscale(scale)  # nothing has no logarithm


def _counts(its: dict[str, Any]) -> set[str]:
    return {key for run in its["threads"].values() for key in run.get("streaming", {}) if key.isdecimal()}


def _values(its: dict[str, Any], *keys: str) -> dict[str, float]:
    """What was measured under these keys with each number of threads."""
    found: dict[str, float] = {}
    for threads, run in its["threads"].items():
        value: Any = run
        for key in keys:
            value = value.get(key, {})
        if isinstance(value, float | int):
            found[threads] = float(value)
    return found


def _training(its: dict[str, Any], key: str) -> dict[str, float]:
    """In bf16 where that is fast, else in float32."""
    return _values(its, "training", "bf16", key) or _values(its, "training", "float32", key)


def _naive(its: dict[str, Any], count: str) -> dict[str, float]:
    naive, ours = (_values(its, "streaming", count, key) for key in ("naive", "sampling"))
    return {threads: naive[threads] / ours[threads] for threads in naive}


def _least(values: dict[str, float]) -> float | None:
    return min(values.values(), default=None)


def _best(values: dict[str, float], better: Any, *, percent: bool = False) -> str:
    """The best, and the number of threads that it is of."""
    if not values:
        return ""
    threads = better(values, key=values.__getitem__)
    value = values[threads]
    return (f"{100 * value:.0f} %" if percent else _short(value)) + f" ({threads})"


def _short(value: float) -> str:
    """Three digits that say something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
