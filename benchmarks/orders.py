"""What reading orders are worth: likelihoods of runs with one and with eight, completions of known parts, and cost.

    python benchmarks/orders.py runs 'digits, an epoch' RUN_OF_1 RUN_OF_8 …    (pairs; evaluates their test images)
    python benchmarks/orders.py completions RUN_OF_1 RUN_OF_8                  (binary MNIST; NEXTPIXEL_DATA)
    python benchmarks/orders.py cost

Each part keeps what it measured in benchmarks/orders/measured.json and makes the tables of docs/orders.md of that.
"""

import argparse
import contextlib
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

import nextpixel as npx
from nextpixel import pictures
from nextpixel.cli import main as command
from nextpixel.cli.drawing import known_pixels

KEPT = Path(__file__).parent / "orders" / "measured.json"
PAGE = Path(__file__).parent.parent / "docs" / "orders.md"
PARTS = {
    "bottom-half": "the bottom half",
    "right-half": "the right half",
    "random:20%": "20 % of the pixels",
    "border": "a frame",
}
IMAGES, SHOWN, PARTICLES, AT_ONCE = 100, 6, 256, 4


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("runs", "completions", "cost", "page"))
    parser.add_argument("given", nargs="*")
    options = parser.parse_args()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if options.part == "runs":
        for about, one, eight in zip(*[iter(options.given)] * 3, strict=True):
            kept.setdefault("runs", {})[about] = {"1": run(Path(one)), "8": run(Path(eight))}
    elif options.part == "completions":
        kept["completions"] = completions(*map(Path, options.given))
    elif options.part == "cost":
        kept["cost"] = cost()
    KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    write_page(kept)


def run(folder: Path) -> dict[str, Any]:
    """What a run came to: its size, steps, and what its test images cost."""
    model, recipe = npx.load(folder), yaml.safe_load((folder / "config.yaml").read_text())
    kept = folder / "evaluation.json"
    if not kept.exists():
        with kept.open("w") as file, contextlib.redirect_stdout(file):
            command(["evaluate", str(folder), "--json"])
    found = json.loads(kept.read_text())
    orders, steps = found.get("orders", [found]), int((folder / "metrics.csv").read_text().split()[-1].split(",")[0])
    return {
        "data": Path(recipe["data"]["name"]).stem,
        "weights": sum(weight.numel() for weight in model.parameters()),
        "steps": steps,
        "batch": recipe["training"]["batch"],
        "images": found["images"],
        "nats": found["nats"],
        "error": found["nats_error"],
        "bits": found["bits_per_dim"],
        "bits_error": found["bits_per_dim_error"],
        "best": min(each["nats"] for each in orders),
        "best_bits": min(each["bits_per_dim"] for each in orders),
    }


def completions(one: Path, eight: Path) -> dict[str, Any]:
    """Complete test digits of which parts are known; draw some, and judge all."""
    raster, mixed = npx.load(one), npx.load(eight)
    assert isinstance(raster, npx.Autoregressive)
    assert isinstance(mixed, npx.Autoregressive)
    data = npx.open_data("mnist-binary")
    x, labels = data.test.batch(np.arange(IMAGES), np.random.default_rng(0))
    x = x.long()
    assert labels is not None
    classifier, accuracy = train_classifier(data)
    ways: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
        "one order, raster": lambda x, known, first: raster.complete(x, known, seed=0, first=first),
        "8 orders, the best": lambda x, known, first: mixed.complete(x, known, seed=0, first=first),
        f"8 orders, {PARTICLES} particles": lambda x, known, first: mixed.complete(
            x, known, seed=0, first=first, particles=PARTICLES
        ),
    }
    rows, sheets = [judged("the images themselves", "", x, x, mixed, classifier, labels)], []
    for part, words in PARTS.items():
        known, made = known_pixels(part, x, seed=0), []
        for way, complete in ways.items():
            if "particles" in way and part.endswith("half"):  # nothing that is known comes late
                made.append(made[-1])
                continue
            began, pieces = time.monotonic(), range(0, IMAGES, AT_ONCE if "particles" in way else IMAGES)
            size = pieces.step
            done = torch.cat([complete(x[i : i + size], known[i : i + size], i) for i in pieces])
            made.append(done[:SHOWN])
            rows.append(judged(way, words, done, x, mixed, classifier, labels) | {"seconds": time.monotonic() - began})
            print(rows[-1], flush=True)
        columns = torch.stack(made, 1).flatten(0, 1)
        sheets.append(pictures.completions(x[:SHOWN], known[:SHOWN], columns, 2, ordinal=True, original=True))
    pictures.write(pictures.stacked(sheets), PAGE.with_name("orders-completed.png"))
    return {"images": IMAGES, "accuracy": accuracy, "rows": rows, "machine": machine()}


def judged(
    way: str, part: str, made: Tensor, x: Tensor, judge: npx.Autoregressive, classifier: nn.Module, labels: Tensor
) -> dict[str, Any]:
    """How likely images are to the mixture of all orders, and how often a classifier sees the digit that it was."""
    with torch.no_grad():
        nats = -judge.log_prob(made)
        agreed = (classifier(made.float()).argmax(1) == labels).float()
    return {
        "way": way,
        "part": part,
        "nats": float(nats.mean()),
        "error": float(nats.std() / len(nats) ** 0.5),
        "agreement": float(agreed.mean()),
    }


def train_classifier(data: Any, *, steps: int = 2000) -> tuple[nn.Module, float]:
    """A small convolutional network that knows nothing of the models; and its accuracy on all test images."""
    torch.manual_seed(0)
    scale = 1 / (data.spec.levels - 1)
    channels, height, width = data.spec.shape
    last = nn.Linear(48 * (height // 4) * (width // 4), data.classes)
    layers = [
        nn.Conv2d(channels, 24, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 5, padding=2),
        nn.ReLU(),
    ]
    network = nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3), last)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    noise = np.random.default_rng(0)
    for step in range(steps):
        images, labels = data.train.batch(noise.integers(len(data.train), size=64), noise)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 - step / steps)
        optimizer.zero_grad()
        F.cross_entropy(network(images * scale), labels).backward()
        optimizer.step()
    network.eval()
    right = 0
    with torch.no_grad():
        for start in range(0, len(data.test), 500):
            images, labels = data.test.batch(np.arange(start, min(start + 500, len(data.test))), noise)
            right += int((network(images * scale).argmax(1) == labels).sum())
    return network, right / len(data.test)


def cost() -> dict[str, Any]:
    """Seconds of a training step, of drawing and of likelihoods, in turns, so that both meet the same machine."""
    spec, settings = (
        npx.ImageSpec(1, 28, 28, levels=2),
        {"filters": 32, "blocks": 4, "first_kernel": 15, "norm": "layer"},
    )
    models = {orders: npx.build("gated_pixelcnn", spec, "bernoulli", orders=orders, **settings) for orders in (1, 8)}
    x = torch.randint(2, (64, *spec.shape))

    def learn(model: npx.Autoregressive) -> None:
        model.train()
        (-model(x[:16]).mean()).backward()

    def measure(model: npx.Autoregressive) -> None:
        with torch.no_grad():
            model.log_prob(x)

    work: dict[str, Callable[[npx.Autoregressive], object]] = {
        "a training step of 16 images": learn,
        "drawing 64 images": lambda model: model.sample(64),
        "the likelihood of 64 images": measure,
    }
    found: dict[str, Any] = {"machine": machine()}
    for name, do in work.items():
        taken: dict[int, list[float]] = {1: [], 8: []}
        for _ in range(9):
            for orders, model in models.items():
                began = time.monotonic()
                do(model)
                taken[orders].append(time.monotonic() - began)
        found[name] = {orders: float(np.median(its[1:])) for orders, its in taken.items()}
    return found


def machine() -> str:
    """Which processor, and how many threads."""
    names = [
        line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "name" in line
    ]
    flags = "AVX-512" if torch.backends.cpu.get_cpu_capability() == "AVX512" else "AVX2"
    return f"{names[0] if names else platform.processor()}, {flags}, {torch.get_num_threads()} thread"


def write_page(kept: dict[str, Any]) -> None:
    """Write the tables between the marks of the page."""
    text = PAGE.read_text()
    for part, make in {"runs": _runs, "completions": _completions, "cost": _cost}.items():
        begin, end = f"<!-- {part} -->\n", f"<!-- end of {part} -->"
        before, _, rest = text.partition(begin)
        table = "\n".join(make(kept[part])) if part in kept else "Not measured yet."
        text = before + begin + table + "\n" + end + rest.partition(end)[2]
    PAGE.write_text(text)


def _runs(kept: dict[str, Any]) -> list[str]:
    lines = ["| run | steps | one order | 8 orders: the mixture | the best single one |", "|---|---|---|---|---|"]
    for about, pair in kept.items():
        one, eight = pair["1"], pair["8"]
        binary = "binary" in one["data"]
        cells = [
            f"{its['nats']:.2f} ± {its['error']:.2f} nats" if binary else f"{its['bits']:.3f} ± {its['bits_error']:.3f}"
            for its in (one, eight)
        ]
        best = f"{eight['best']:.2f}" if binary else f"{eight['best_bits']:.3f}"
        lines.append(f"| {about} | {one['steps']:,} of {one['batch']} | {cells[0]} | {cells[1]} | {best} |")
    return lines


def _completions(kept: dict[str, Any]) -> list[str]:
    lines = ["| known | drawn by | nats of the completed images | seen as the right digit |", "|---|---|---|---|"]
    for row in kept["rows"]:
        agreed = f"{100 * row['agreement']:.0f} %"
        lines.append(f"| {row['part'] or 'all'} | {row['way']} | {row['nats']:.1f} ± {row['error']:.1f} | {agreed} |")
    right = f"the classifier is right about {100 * kept['accuracy']:.1f} % of all test images"
    about = f"{kept['images']} test images; {right}. {kept['machine']}."
    return [*lines, "", about]


def _cost(kept: dict[str, Any]) -> list[str]:
    lines = ["| | one order | 8 orders | ratio |", "|---|---|---|---|"]
    for name, its in kept.items():
        if name != "machine":
            one, eight = its.get("1", its.get(1)), its.get("8", its.get(8))
            lines.append(f"| {name} | {one:.3f} s | {eight:.3f} s | {eight / one:.2f} |")
    return [*lines, "", f"{kept['machine']}; medians of eight."]


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
