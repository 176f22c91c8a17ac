"""How sampling compares with whole passes of the same network, in one run: ratios, as machines differ.

    python benchmarks/sampling.py                 # the network that DESIGN.md's numbers are about
    python benchmarks/sampling.py --model row_lstm filters=128 layers=7 --json
    python benchmarks/sampling.py --model pixelcnnpp --size 32 --repeats 1        # colour and 256 levels only

The naive sampler runs one whole forward a sub-pixel (a pixel, where the likelihood couples the colours); its time is
that of one forward, measured, times their number. Weights are random. Nothing else should run on the machine meanwhile.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import nextpixel as npx

NAIVE, NAIVE_16, GREY, COLOURS = (
    "one pass of the whole network for each pixel ÷ ours, 1 image",
    "one pass of the whole network for each pixel ÷ ours, 16 images",
    "ours ÷ a single pass of the whole network, 64 images",
    "ours ÷ a single pass of the whole network, 64 images of 3 dependent colours",
)
COUPLED = ("pixelcnnpp", "pixelsnail")  # colours by the likelihood, as published
RECURRENT = ("row_lstm", "diagonal_bilstm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    exact = [name for name in npx.MODELS if name != "pixelvae"]
    parser.add_argument("--model", default="gated_pixelcnn", choices=exact)
    parser.add_argument("arguments", nargs="*", help="of the model, name=whole number (default: the model's own)")
    parser.add_argument("--size", type=int, default=28, help="height and width")
    parser.add_argument("--repeats", type=int, default=3, help="the median of so many is taken")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.model in COUPLED:
        model = _model(options, channels=3, levels=256, likelihood="logistic_mixture")
        rows = [
            _compare(what, model, batch, options.repeats) for what, batch in ((NAIVE, 1), (NAIVE_16, 16), (GREY, 64))
        ]
    else:
        grey = _model(options, channels=1, levels=2, likelihood="bernoulli")
        colours = _model(options, channels=3, levels=4, likelihood="categorical")
        rows = [
            _compare(NAIVE, grey, 1, options.repeats),  # first, before the large batches
            _compare(GREY, grey, 64, options.repeats),
            _compare(COLOURS, colours, 64, options.repeats),
        ]
    for row in rows:
        row["model"] = " ".join((options.model, *options.arguments))
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    title = f"{options.model} {' '.join(options.arguments)}, {options.size}x{options.size}"
    table = Table(
        "", "one forward, s", "sampling, s", "ratio", "must", title=f"{title}, {torch.get_num_threads()} threads"
    )
    for row in rows:
        table.add_row(
            row["what"], f"{row['forward']:.3f}", f"{row['sampling']:.3f}", f"{row['ratio']:.2f}", row["must"]
        )
    Console().print(table)


def _model(options: argparse.Namespace, *, channels: int, levels: int, likelihood: str) -> npx.Autoregressive:
    spec = npx.ImageSpec(channels, options.size, options.size, levels=levels)
    arguments: dict[str, Any] = {
        name: int(value) for name, _, value in (text.partition("=") for text in options.arguments)
    }
    return npx.build(options.model, spec, likelihood, **arguments).eval()


def _compare(what: str, model: npx.Autoregressive, batch: int, repeats: int) -> dict[str, Any]:
    x = torch.randint(model.spec.levels, (batch, *model.spec.shape))
    with torch.no_grad():
        forward = _seconds(lambda: model(x), max(repeats, 5))
    sampling = _seconds(lambda: model.sample(batch, seed=0), repeats)
    sites = model.spec.subpixels // (model.spec.channels // model.backbone.substeps)
    ratio = sites * forward / sampling if what in (NAIVE, NAIVE_16) else sampling / forward
    must = _must(model.recipe["name"], what)
    return {"what": what, "ratio": ratio, "must": must, "forward": forward, "sampling": sampling}


def _must(model: str, what: str) -> str:
    """What a ratio is held to."""
    if what == NAIVE:
        return {"gated_pixelcnn": "≥ 60", "pixelcnnpp": "≥ 100"}.get(model, "")
    if what == NAIVE_16:
        return "≥ 250" if model == "pixelcnnpp" else ""
    if what == COLOURS:
        return "≤ 4"
    if model in COUPLED:
        return "≤ 2.5"
    return "≤ 3" if model in RECURRENT else "≤ 2"


def _seconds(work: Callable[[], object], repeats: int) -> float:
    work()  # the first call of a kernel is slow
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
