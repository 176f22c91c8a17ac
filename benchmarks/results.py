"""The tables of results: measured figures only, each with the command that made it.

    python benchmarks/results.py record runs/mnist-binary      # evaluates on the test split, keeps it in results/
    python benchmarks/results.py table                         # writes the tables of the pages from results/

docs/results.md has all of them, README.md the runs of `CHOSEN`. What others published stands in a column of its own.
"""

import argparse
import csv
import json
import math
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

import nextpixel as npx
from nextpixel.cli.measuring import as_json
from nextpixel.cli.sharing import FIGURES
from nextpixel.data import open_data
from nextpixel.evaluation import evaluate, evaluate_bounds

ROOT = Path(__file__).parents[1]
RESULTS, MACHINES = ROOT / "results", ROOT / "benchmarks" / "machines"
CHOSEN = (  # the runs of README.md's table, in this order
    "mnist-pixelsnail",
    "mnist-class-tuned",
    "mnist-8",
    "fashion-pixelsnail",
    "mnist-binary-pixelvae",
    "photos",
)
PAGES = {"README.md": CHOSEN, "docs/results.md": None}  # None: every run
IMAGES = {  # the data of a run -> what a reader is told that it is; the order of the tables
    "mnist-binary": "MNIST, binarised",
    "mnist-threshold": "MNIST in black and white, by a threshold",
    "mnist-coloured": "MNIST in colours",
    "fashion-mnist": "Fashion-MNIST",
    "shapes": "shapes in black and white",
    "shapes-coloured": "shapes in colours",
    "digits": "handwritten numerals, 8x8",
    "photos32.npz": "32x32 photographs",
    "emoji32.npz": "32x32 drawings in nine classes",
    "mnist": "MNIST, 256 levels",
    "mnist-codes": "codes of MNIST, 7x7 names",
    "codes.npz": "codes of 32x32 photographs",
}
GIVEN = {"": "", "class": ", given the class", "mixture": ", as the mixture of its classes"}
PAPER = {  # data set -> what was published for a larger network of this kind, and where
    ("gated_pixelcnn", "mnist-binary"): "81.50 nats (a PyTorch library's README, dynamic binarisation)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    recording = verbs.add_parser("record", help="evaluate runs on their test split")
    recording.add_argument("runs", type=Path, nargs="+")
    recording.add_argument("--data-root")
    recording.add_argument("--images", type=int, help="only the first so many of the test split")
    recording.add_argument("--samples", type=int, default=16, help="of z, for importance-weighted bounds")
    recording.add_argument("--figures", type=Path, help="what nextpixel evaluate --json printed of the one run")
    recording.add_argument("--after", type=Path, help="the file here of the run that it started from: also its time")
    recording.add_argument("--command", help="how the run was made; by default its recipe's command")
    verbs.add_parser("table", help="write the tables")
    options = parser.parse_args()
    if options.verb == "record":
        for run in options.runs:
            record(run, options)
    for name, chosen in PAGES.items():
        page = ROOT / name
        page.write_text(tabulated(page.read_text(), chosen))


def record(run: Path, options: argparse.Namespace) -> None:
    """Evaluate a run on its test images and keep the figures with where they come from."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    with (run / "metrics.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    before = json.loads(options.after.read_text()) if options.after else {"epochs": 0.0, "minutes": 0.0}
    model, given = npx.load(run), "class"
    start = time.monotonic()
    if options.figures is not None:
        said = json.loads(options.figures.read_text())
        given = "class" if said.get("classes", True) else "mixture"  # of all classes, as a model of images
        measured = {key: (said.get("importance") or said.get("elbo") or said)[key] for key in FIGURES}
        if "elbo" in said:
            measured["bounds"] = {key: said[key] for key in ("elbo", "reconstruction", "kl", "importance", "samples")}
    else:
        data = open_data(**{**config["data"], **({"root": options.data_root} if options.data_root else {})})
        if isinstance(model, npx.PixelVAE):
            bounds = evaluate_bounds(model, data.test, images=options.images, samples=options.samples)
            measured = {"bounds": as_json(bounds), **as_json(bounds.importance or bounds.elbo)}
        else:
            measured = as_json(evaluate(model, data.test, images=options.images))
    name = run.name + "-mixture" * (given == "mixture")
    figures = {
        "name": name,
        "model": config["model"]["name"],
        "data": Path(config["data"]["name"]).name,
        "given": given if model.context else "",
        "colours": config["model"].get("colours", "") if model.spec.channels > 1 else "",
        "orders": config["model"].get("orders", 1),
        "weights": sum(weight.numel() for weight in model.parameters()),
        "command": options.command or f"nextpixel train recipes/{run.name}.yaml",
        "seed": config["training"]["seed"],
        "epochs": before["epochs"] + float(last["epoch"]),
        "minutes": before["minutes"] + float(last["minutes"]),
        **({} if options.figures else {"evaluation_seconds": round(time.monotonic() - start, 1)}),
        **measured,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")


def tabulated(text: str, chosen: Sequence[str] | None = None) -> str:
    """A page with the tables made from `results/` between its markers: of these runs, in their order, or of all."""
    short = chosen is not None
    tables = {
        "likelihoods": _likelihoods(_runs(chosen), short=short),
        "bounds": _bounds(_runs(chosen)),
        "speed": _speed(),
    }
    for name, table in tables.items():
        marked = re.compile(f"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = marked.sub(lambda found, table=table: f"{found[1]}{table}{found[2]}", text)
    return text


def _runs(chosen: Sequence[str] | None) -> list[dict[str, Any]]:
    """What was kept of the chosen runs; of all, the same images side by side, the best first."""
    if chosen is not None:
        return [json.loads((RESULTS / f"{name}.json").read_text()) for name in chosen]
    runs = [json.loads(path.read_text()) for path in RESULTS.glob("*.json")]
    return sorted(runs, key=lambda run: (list(IMAGES).index(run["data"]), run["nats"]))


def _likelihoods(runs: Sequence[dict[str, Any]], *, short: bool) -> str:
    """A line a run; a short one without its seed, its command, and what others published."""
    headings = ["images (how many)", "model", "weights", "training", "nats per image", "bits/dim"]
    headings += [] if short else ["published", "command"]
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for run in runs:
        given = GIVEN[run["given"]]
        given += f", colours {run['colours']}" if run.get("colours") else ""
        given += f", {run['orders']} reading orders" if run.get("orders", 1) > 1 else ""
        most = "≤ " if "bounds" in run else ""
        cells = [
            _images(run),
            f"`{run['model']}`{given}",
            f"{run['weights']:,}",
            f"{run['minutes']:.1f} min" + ("" if short else f", {run['epochs']:.2f} epochs, seed {run['seed']}"),
            most + _figure(run["nats"], run["nats_error"], 2),
            most + _figure(run["bits_per_dim"], run["bits_per_dim_error"], 4),
            *([] if short else ["" if given else PAPER.get((run["model"], run["data"]), ""), f"`{run['command']}`"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _bounds(runs: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| images (how many) | unit | negative ELBO | = reconstruction | + KL | share of KL | importance-weighted |",
        "|---|---|---|---|---|---|---|",
    ]
    for run in (run for run in runs if "bounds" in run):
        bounds = run["bounds"]
        share = 100 * bounds["kl"]["nats"] / bounds["elbo"]["nats"]
        for unit, key, digits in (("nats", "nats", 2), ("bits/dim", "bits_per_dim", 4)):
            figures = [
                "" if bounds[part] is None else _figure(bounds[part][key], bounds[part][f"{key}_error"], digits)
                for part in ("elbo", "reconstruction", "kl", "importance")
            ]
            *parts, tighter = figures
            cells = [_images(run), unit, *parts, f"{share:.1f} %"]
            lines.append(f"| {' | '.join(cells)} | {tighter} (k = {bounds['samples']}) |")
    return "\n".join(lines) + "\n"


def _images(run: dict[str, Any]) -> str:
    return f"{IMAGES[run['data']]} ({run['images']:,})"


def _figure(value: float, error: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isnan(error) else f"{value:.{digits}f} ± {error:.{digits}f}"


def _speed() -> str:
    """The ratios of every machine that has a file."""
    lines = ["| machine | model | what is divided by what | ratio | limit |", "|---|---|---|---|---|"]
    for path in sorted(MACHINES.glob("*.json")):
        for row in json.loads(path.read_text())["held"]:
            cells = [path.stem, f"`{row['model']}`", row["what"], f"{row['ratio']:.2f}", row["must"]]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
