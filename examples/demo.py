"""From nothing to likelihoods, samples and completions in a minute: `make demo`.

Trains a class-conditional network on scikit-learn's 8x8 digits, which come with the package, for as long as it learns
something that holds for other digits too, and measures it on the test images beside three baselines.
"""

import argparse
import shutil
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import nextpixel as npx
from nextpixel import pictures
from nextpixel.data import open_data
from nextpixel.evaluation import baselines, evaluate
from nextpixel.training import Training, train
from nextpixel.training.dial import build_section, choose

ABOUT = {
    "uniform": "uniform: all levels alike, log2 17",
    "independent pixels": "independent pixels: how often each level stands at each place",
    "PNG": "PNG, all test images in one file",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the run and the pictures")
    parser.add_argument("--minutes", type=float, default=0.5, help="of training, at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.monotonic()

    data = open_data("digits")
    choice = choose(data, options.minutes, seed=options.seed)
    print("\n".join(choice.lines))
    run = options.out / "run"
    shutil.rmtree(run, ignore_errors=True)
    model = build_section(choice.recipe["model"], data, seed=options.seed)
    train(model, data, out=run, settings=Training(**choice.recipe["training"]))

    model = npx.load(run)
    result = evaluate(model, data.test)
    table = Table("bits per dimension", "test images", title=f"{len(data.test)} test digits, 8x8, 17 levels")
    for name, bits in baselines(data.spec, data.train, data.test).items():
        table.add_row(ABOUT[name], f"{bits:.3f}")
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


if __name__ == "__main__":
    main()
