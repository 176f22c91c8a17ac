"""Training on a set that is larger than the memory it may take: peak memory, and the share of time spent waiting.

    python benchmarks/loading.py FOLDER --images 350000    # makes FOLDER, of about 4 GiB, once, and its copy in a cache

The set is of 64x64 images in colour, made of noise (which PNG cannot shrink), in parquet files as `nextpixel data pack`
writes them. A small network learns from it for a while, and from a few such images that are in memory, which shows what
the network itself takes. A process's own memory is anonymous; mapped pages of files are the system's to take back.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import torch

import nextpixel as npx
from nextpixel.data.dataset import DataSet, Split
from nextpixel.data.lazy import View
from nextpixel.data.packing import pack

SPEC = npx.ImageSpec(3, 64, 64, levels=256)
CASES = {"in memory": "2,000 in memory", "from disk": "all, from disk", "streaming": "all, as they come"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=350_000)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measured(options)))
        return
    if not options.folder.exists():
        pack(noise(options.images), options.folder)
    size = sum(file.stat().st_size for file in options.folder.iterdir()) / 2**30
    print(f"{options.images:,} images in {options.folder}, {size:.2f} GiB; {torch.get_num_threads()} threads\n")
    print("| images | opened in | images a second | share of time waiting | own memory, peak | mapped pages, peak |")
    print("|---|---|---|---|---|---|")
    for case in CASES:
        told = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--case", case], check=True, stdout=subprocess.PIPE, text=True
        )
        it = json.loads(told.stdout.splitlines()[-1])
        print(
            f"| {CASES[case]} | {it['opened']:.1f} s | {it['images_per_second']:.0f} | {100 * it['waiting']:.1f} % | "
            f"{it['anonymous'] / 1024:.0f} MiB | {it['mapped'] / 1024:.0f} MiB |"
        )


def noise(count: int) -> DataSet:
    """A set of noise, of which no more than a batch is in memory."""

    def drawn(indices: np.ndarray) -> np.ndarray:
        seeds = indices[:, 0, 0, 0].tolist()
        return np.stack([np.random.default_rng(seed).integers(0, 256, SPEC.shape, np.uint8) for seed in seeds])

    parts = np.split(np.arange(count).reshape(-1, 1, 1, 1), [count - 2000, count - 1000])
    train, validation, test = (Split(View([part], function=drawn), np.zeros(len(part), np.int64)) for part in parts)
    return DataSet("noise", SPEC, 1, train, validation, test)


def measured(options: argparse.Namespace) -> dict[str, float]:
    """Train in this process, and look at its memory all the while."""
    began = time.monotonic()
    if options.case == "in memory":  # what the network itself takes
        data = noise(4000).with_splits(lambda split: Split(split.images[:], split.labels))
    else:
        streaming = options.case == "streaming"
        limit = options.images - 2000 if streaming else None
        data = npx.open_data(f"hf:{options.folder}", streaming=streaming, limit=limit)
    opened = time.monotonic() - began
    model = npx.build("gated_pixelcnn", data.spec, "logistic_mixture", filters=16, blocks=1)
    settings = npx.Training(epochs=10**6, max_minutes=options.minutes, batch=64, samples=0, validation_images=64)
    peak = {"anonymous": 0.0, "mapped": 0.0}

    class Watched(npx.Training):
        """Looks at the memory at each step."""

        def rate(self, step: int, progress: float) -> float:
            status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            for name, field in (("anonymous", "RssAnon"), ("mapped", "RssFile")):
                peak[name] = max(peak[name], float(status[field].split()[0]))
            return super().rate(step, progress)

    run = options.folder.parent / f"run-{options.case.replace(' ', '-')}-{time.time_ns()}"
    npx.train(model, data, out=run, settings=Watched(**vars(settings)))
    header, row = (run / "metrics.csv").read_text().splitlines()[0], (run / "metrics.csv").read_text().splitlines()[-1]
    found = dict(zip(header.split(","), map(float, row.split(",")), strict=True))
    return {"opened": opened, "images_per_second": found["images_per_second"], "waiting": found["waiting"], **peak}


if __name__ == "__main__":
    datasets.disable_progress_bars()
    main()
