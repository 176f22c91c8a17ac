"""Training on a set that is larger than the memory it may take: peak memory, and the share of time spent waiting.

    python benchmarks/loading.py FOLDER --images 350000    # makes FOLDER, of about 4 GiB, once, and its copy in a cache

The set is of 64x64 images in colour, made of noise (which PNG cannot shrink), in parquet files as `nextpixel data pack`
writes them. A small network learns from it for a while, by `open_data("hf:FOLDER")`, and from a few images of it in
memory. Anonymous memory is what a process has for itself; mapped pages of files are the system's to take back.
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
from nextpixel.data.lazy import Changed
from nextpixel.data.packing import pack

SPEC = npx.ImageSpec(3, 64, 64, levels=256)
CASES = {"in memory": "first", "from disk": "disk", "streaming": "stream"}


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
        make(options.folder, options.images)
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
            f"| {case} | {it['opened']:.1f} s | {it['images_per_second']:.0f} | {100 * it['waiting']:.1f} % | "
            f"{it['anonymous'] / 1024:.0f} MiB | {it['mapped'] / 1024:.0f} MiB |"
        )


def make(folder: Path, count: int) -> None:
    """A set of noise, packed; no more than a batch of it is in memory."""

    def noise(indices: np.ndarray) -> np.ndarray:
        return np.stack(
            [np.random.default_rng(int(i)).integers(0, 256, SPEC.shape, np.uint8) for i in indices[:, 0, 0, 0]]
        )

    numbers = np.arange(count).reshape(-1, 1, 1, 1)
    parts = np.split(numbers, [count - 2000, count - 1000])
    train, validation, test = (Split(Changed(part, noise), np.zeros(len(part), np.int64)) for part in parts)
    pack(DataSet("noise", SPEC, 1, train, validation, test), folder)


def measured(options: argparse.Namespace) -> dict[str, float]:
    """Train in this process, and look at its memory all the while."""
    began = time.monotonic()
    limit = options.images - 2000 if options.case == "streaming" else 2000 if options.case == "in memory" else None
    data = npx.open_data(f"hf:{options.folder}", streaming=options.case == "streaming", limit=limit)
    if options.case == "in memory":
        data = data.with_splits(lambda split: Split(split.images[:], split.labels))
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
