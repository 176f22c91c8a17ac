"""What exact models compress to, and how long it takes: the table of docs/compression.md.

    python benchmarks/codec.py [NAME …] [--images 1000]     # of shipped models; needs NEXTPIXEL_DATA
    python benchmarks/codec.py --images 0                   # the table alone, of what was measured

Twins are calibrated on 256 validation images; compressed are the first test images, with their classes where the model
is given one. Times are CPU seconds of one thread, the best of three, but of many images the only one. JPEG XL needs
pillow-jxl-plugin, zstd pyarrow.
"""

import argparse
import hashlib
import io
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pillow_jxl  # noqa: F401  # tells Pillow of JPEG XL
import pyarrow as pa
import torch
from PIL import Image

import nextpixel as npx
from nextpixel import shipped
from nextpixel.cli.common import at_once
from nextpixel.evaluation import lossless
from nextpixel.pairing import given
from orders import machine

KEPT = Path(__file__).parents[1] / "results" / "shipped" / "codec.json"
PAGE = Path(__file__).parents[1] / "docs" / "compression.md"
NAMES = ["mnist-class", "mnist-pixelsnail", "mnist-8", "fashion", "fashion-pixelsnail", "emoji", "photos"]
FORMS = ("PNG", "WebP", "JXL", "zstd")
SAMPLED = 64  # images whose passes, drawing and decoding are timed
MANY = 256  # images that are drawn in pieces, as `nextpixel sample` does, and decoded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--images", type=int, default=1000)
    options = parser.parse_args()
    if options.images:
        torch.set_num_threads(1)
        made = [measure(name, options.images) for name in options.names]
        every = {(row["machine"], row["model"]): row for row in [*kept(), *made]}
        rows = sorted(every.values(), key=lambda row: (row["machine"], NAMES.index(row["model"])))
        KEPT.write_text(json.dumps(rows, indent=1) + "\n")
    before, _, rest = PAGE.read_text().partition("<!-- measured -->\n")
    PAGE.write_text(f"{before}<!-- measured -->\n{table()}<!-- end -->{rest.partition('<!-- end -->')[2]}")


def kept() -> list[dict[str, Any]]:
    """What was measured, here and on other machines, of the weights that there are now."""
    return [row for row in json.loads(KEPT.read_text()) if row["weights"] == _weights(row["model"])]


def _weights(name: str) -> str:
    return hashlib.sha256((shipped.FOLDER / name / shipped.FILE).read_bytes()).hexdigest()[:16]


def measure(name: str, count: int) -> dict[str, Any]:
    """Sizes in bits a sub-pixel, and ratios of seconds."""
    model = npx.load(name)
    assert isinstance(model, npx.Autoregressive)
    data = npx.open_data(shipped.about(name)["data"])
    count = min(count, len(data.test))
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
    many, some = x[:MANY], None if labels is None else labels[:MANY]
    large, each = npx.compress(twin, many, some, verify=False), at_once(MANY, model.spec)

    def draw() -> None:
        for start in range(0, len(many), each):
            given = None if some is None else some[start : start + each]
            model.sample(len(many[start : start + each]), given, seed=0, first=start)

    size = x.numel()
    row = {
        "machine": machine(),
        "model": name,
        "weights": _weights(name),
        "images": count,
        "subpixels": size,
        "float": nats[0] / math.log(2) / size,
        "exact": nats[1] / math.log(2) / size,
        "classes": model.context.classes if isinstance(model.context, npx.ClassLabel) else 1,
        "orders": model.orders,
        "bytes": len(made),
        "twin": len(_file(twin)),
        "single": {form: 8 * sum(_lossless(each[None], model.spec, form) for each in x) / size for form in FORMS},
        "tiled": {form: 8 * sum(_lossless(part, model.spec, form) for part in x.split(500)) / size for form in FORMS},
        "pass": passes[1] / passes[0],
        "decode": _seconds(lambda: npx.decompress(twin, small)) / drawn[0],
        "draw": drawn[1] / drawn[0],
        "many": _seconds(lambda: npx.decompress(twin, large), times=1) / _seconds(draw, times=1),
    }
    print(row, flush=True)
    return row


def _file(model: npx.Model) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        npx.save(model, path := Path(folder) / "exact.safetensors")
        return path.read_bytes()


def _lossless(images: torch.Tensor, spec: npx.ImageSpec, form: str) -> int:
    """Bytes of images below each other as one file."""
    if form in ("PNG", "WebP"):
        return lossless(images.numpy(), spec, form)
    column = np.moveaxis(images.numpy().astype(np.uint8), 1, 3).reshape(-1, spec.width, spec.channels)
    if form == "zstd":
        raw = np.packbits(column) if spec.levels == 2 else column
        return len(pa.Codec("zstd", compression_level=19).compress(raw.tobytes()))
    column = column * (255 // (spec.levels - 1))
    picture = Image.fromarray(column if spec.channels == 3 else column[..., 0])
    picture.save(file := io.BytesIO(), "JXL", lossless=True, effort=9)
    return file.tell()


def _piece(x: torch.Tensor, labels: Any, start: int) -> tuple[torch.Tensor, Any]:
    return x[start : start + 100], None if labels is None else labels[start : start + 100]


def _seconds(work: Callable[[], Any], *, times: int = 3) -> float:
    taken = []
    for _ in range(times):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def table() -> str:
    """Sizes first, then seconds."""
    sizes = [["model", "float model", "exact twin", "container, bytes", "−log₂ p of the float model, bytes"]]
    sizes[0] += ["of the container for classes and orders, bytes", "twin, bytes"]
    sizes[0] += [f"{form}, single / 500 in one" for form in FORMS]
    times = [["model", "machine", "one pass: exact / float", "decoding / drawing by the float model"]]
    times[0] += [f"the same of {MANY}", "decoding / drawing by the twin", "drawing: twin / float"]
    rows, last = kept(), {row["model"]: row for row in kept()}
    for row in (last[name] for name in NAMES if name in last):
        least = row["float"] * row["subpixels"] / 8
        beside = row["images"] * math.log2(row["classes"] * row["orders"]) / 8
        name = f"`{row['model']}`, {row['images']:,} test images"
        sizes.append([name, f"{row['float']:.4f}", f"{row['exact']:.4f}", f"{row['bytes']:,}", f"{least:,.0f}"])
        sizes[-1] += [f"{beside:,.0f}", f"{row['twin']:,}"]
        sizes[-1] += [f"{row['single'][form]:.3f} / {row['tiled'][form]:.3f}" for form in FORMS]
    for row in rows:
        where = row["machine"].removesuffix(", 1 thread")
        times.append([f"`{row['model']}`", where, *(f"{row[ratio]:.2f}" for ratio in ("pass", "decode"))])
        times[-1] += [f"{row['many']:.2f}" if "many" in row else "–"]
        times[-1] += [f"{row['decode'] / row['draw']:.2f}", f"{row['draw']:.2f}"]
    note = "Sizes are bits a sub-pixel where nothing else is said; times are ratios of CPU seconds of one thread, of"
    note += f" {SAMPLED} images:\n`python benchmarks/codec.py`.\n"
    return f"{_rows(sizes)}\n{_rows(times)}\n{note}"


def _rows(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:], ""])


if __name__ == "__main__":
    main()
