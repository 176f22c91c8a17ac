"""What exact models compress to, and how long it takes: the table of docs/compression.md.

    python benchmarks/codec.py [NAME …] [--images 1000]     # of shipped models; needs NEXTPIXEL_DATA

Twins are calibrated on 256 validation images; compressed are the first test images, with their classes where the model
is given one, each class at −log2 of its share. Times are of one thread, the best of three.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from orders import machine

import nextpixel as npx
from nextpixel import shipped
from nextpixel.evaluation import formats, lossless
from nextpixel.pairing import given

KEPT = Path(__file__).parents[1] / "results" / "shipped" / "codec.json"
PAGE = Path(__file__).parents[1] / "docs" / "compression.md"
SAMPLED = 64  # images whose passes, drawing and decoding are timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["mnist-class"])
    parser.add_argument("--images", type=int, default=1000)
    options = parser.parse_args()
    if options.images:
        torch.set_num_threads(1)
        measured = [measure(name, options.images) for name in options.names]
        KEPT.write_text(json.dumps({"machine": machine(), "rows": measured}, indent=1) + "\n")
    before, _, rest = PAGE.read_text().partition("<!-- measured -->\n")
    PAGE.write_text(f"{before}<!-- measured -->\n{table()}<!-- end -->{rest.partition('<!-- end -->')[2]}")


def measure(name: str, count: int) -> dict[str, Any]:
    """Sizes in bits a sub-pixel, and ratios of seconds."""
    model = npx.load(name)
    assert isinstance(model, npx.Autoregressive)
    data = npx.open_data(shipped.about(name)["data"])
    near, which = np.arange(256), np.arange(count)
    some, x = (
        split.batch(at, np.random.default_rng(0))[0].long()
        for split, at in ((data.validation, near), (data.test, which))
    )
    twin = npx.exact(model, some, given(model.context, data.validation, near))
    labels = given(model.context, data.test, which)
    with torch.no_grad():
        nats = [
            -sum(each.log_prob(*_piece(x, labels, at)).sum().item() for at in range(0, count, 100))
            for each in (model, twin)
        ]
    made = npx.compress(twin, x, labels, verify=False)
    first, beside = x[:SAMPLED], None if labels is None else labels[:SAMPLED]
    small, order = npx.compress(twin, first, beside, verify=False), 0 if model.orders > 1 else None
    with torch.no_grad():
        passes = [_seconds(lambda each=each: each.log_prob(first, beside, order=order)) for each in (model, twin)]
    drawn = [_seconds(lambda each=each: each.sample(SAMPLED, beside, seed=0)) for each in (model, twin)]
    size = x.numel()
    share = count * math.log2(model.context.classes) if isinstance(model.context, npx.ClassLabel) else 0
    row = {
        "model": name,
        "images": count,
        "float": nats[0] / math.log(2) / size,
        "exact": nats[1] / math.log(2) / size,
        "container": 8 * len(made) / size,
        "classes": share / size,
        "bytes": len(made),
        "codecs": {form: 8 * _tiled(x, model.spec, form) / size for form in formats(model.spec)},
        "pass": passes[1] / passes[0],
        "decode": _seconds(lambda: npx.decompress(twin, small)) / drawn[0],
        "draw": drawn[1] / drawn[0],
    }
    print(row, flush=True)
    return row


def _piece(x: torch.Tensor, labels: Any, start: int) -> tuple[torch.Tensor, Any]:
    return x[start : start + 100], None if labels is None else labels[start : start + 100]


def _tiled(x: torch.Tensor, spec: npx.ImageSpec, form: str) -> int:
    """Bytes as files of 500 images below each other, of which WebP has room for."""
    return sum(lossless(part.numpy(), spec, form) for part in x.split(500))


def _seconds(work: Callable[[], Any]) -> float:
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


def table() -> str:
    kept = json.loads(KEPT.read_text())
    headings = ["model", "test images", "float model", "exact twin", "container, classes included", "of it classes"]
    headings += [
        "PNG, 500 in one",
        "WebP, 500 in one",
        "one pass: exact / float",
        "decoding / drawing by the float model",
    ]
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for row in kept["rows"]:
        figures = [
            row["float"],
            row["exact"],
            row["container"],
            row["classes"],
            row["codecs"]["PNG"],
            row["codecs"]["WebP"],
        ]
        cells = [f"`{row['model']}`", f"{row['images']:,}", *(f"{value:.4f}" for value in figures)]
        cells += [f"{row[ratio]:.2f}" for ratio in ("pass", "decode")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(
        [
            *lines,
            "",
            f"Bits a sub-pixel, and ratios of seconds, on {kept['machine']}: `python benchmarks/codec.py`.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
