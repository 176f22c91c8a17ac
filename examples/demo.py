"""From nothing to likelihoods, samples and completions in a few minutes: `make demo`.

Trains a class-conditional Gated PixelCNN on 8x8 digits, which need no download, and measures it on the
test images beside three baselines.
"""

import argparse
import math
import shutil
import time
import zlib
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import nextpixel as npx
from nextpixel import pictures
from nextpixel.data import DataSet, open_data
from nextpixel.evaluate import evaluate
from nextpixel.training import Training, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the run and the pictures")
    parser.add_argument("--minutes", type=float, default=1.5, help="of training")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.monotonic()

    data = open_data("digits")
    torch.manual_seed(options.seed)
    model = npx.build("gated_pixelcnn", data.spec, context=npx.ClassLabel(10), filters=32, blocks=4, dropout=0.1)
    run = options.out / "run"
    shutil.rmtree(run, ignore_errors=True)
    settings = Training(
        epochs=60, max_minutes=options.minutes, batch=16, learning_rate=2e-3, validate_every=5, seed=options.seed
    )
    train(model, data, out=run, settings=settings)

    model = npx.load(run)
    result = evaluate(model, data.test)
    table = Table("bits per dimension", "test images", title=f"{len(data.test)} test digits, 8x8, 17 levels")
    table.add_row("uniform: all levels alike, log2 17", f"{math.log2(data.spec.levels):.3f}")
    table.add_row("independent pixels: how often each level stands at each place", f"{independent_pixels(data):.3f}")
    table.add_row("zlib, all test images in one stream", f"{deflated(data):.3f}")
    table.add_row(
        "[bold]Gated PixelCNN, given the class[/bold]",
        f"[bold]{result.bits_per_dim:.3f} ± {result.bits_per_dim_error:.3f}[/bold]",
    )
    Console().print(table)

    samples = model.sample(100, torch.arange(100) % 10, seed=options.seed)
    by_class = model.sample(100, torch.arange(100) // 10, seed=options.seed + 1)
    given, labels = data.test.batch(np.arange(16), np.random.default_rng(0))
    known = torch.zeros(16, 1, 8, 8, dtype=torch.bool)
    known[:, :, :4] = True
    completed = torch.stack([model.complete(given, known, labels, seed=seed) for seed in range(4)], 1).flatten(0, 1)
    for name, picture, what in (
        ("samples.png", pictures.grid(samples, data.spec.levels, columns=10), "samples, a column a class"),
        ("classes.png", pictures.grid(by_class, data.spec.levels, columns=10), "samples, a row a class: 0 to 9"),
        (
            "completions.png",
            pictures.completions(given, known, completed, data.spec.levels),
            "test digits: the given top half | four completions",
        ),
    ):
        pictures.write(picture, options.out / name)
        print(f"{options.out / name}: {what}")
    print(f"The model is {run / 'model.safetensors'}; all of it took {time.monotonic() - start:.0f} s.")


def independent_pixels(data: DataSet) -> float:
    """Bits per dimension of the test images under the training images' histogram at each pixel, each count plus one."""
    counts = np.stack([(data.train.images == level).sum(0) + 1 for level in range(data.spec.levels)])
    bits = -np.log2(counts / counts.sum(0))
    channel, row, column = np.indices(data.spec.shape)
    return float(bits[data.test.images, channel, row, column].mean())


def deflated(data: DataSet) -> float:
    """Bits per dimension of the test images, a byte a pixel, compressed by zlib."""
    images = np.ascontiguousarray(data.test.images, dtype=np.uint8)
    return 8 * len(zlib.compress(images.tobytes(), 9)) / images.size


if __name__ == "__main__":
    main()
