"""The results table: measured figures only, each with the command that made it.

    python benchmarks/results.py record runs/mnist-binary      # evaluates on the test split, keeps it in results/
    python benchmarks/results.py table                         # writes the tables of README.md from results/

What others published stands in a column headed "paper".
"""

import argparse
import csv
import json
import math
import re
import time
from dataclasses import asdict
from pathlib import Path

import yaml

import nextpixel as npx
from nextpixel.data import open_data
from nextpixel.evaluation import evaluate, evaluate_bounds

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
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
    recording.add_argument("--command", help="how the run was made; by default its recipe's command")
    verbs.add_parser("table", help="write the tables")
    options = parser.parse_args()
    if options.verb == "record":
        for run in options.runs:
            record(run, options.data_root, options.command, options.images, options.samples)
    page = ROOT / "README.md"
    page.write_text(tabulated(page.read_text()))


def record(run: Path, root: str | None, command: str | None, images: int | None = None, samples: int = 16) -> None:
    """Evaluate a run on its test images and keep the figures with where they come from."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    with (run / "metrics.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    model = npx.load(run)
    chosen = {**config["data"], **({"root": root} if root else {})}
    data = open_data(**chosen)
    start = time.monotonic()
    if isinstance(model, npx.PixelVAE):
        bounds = evaluate_bounds(model, data.test, images=images, samples=samples)
        measured = {"bounds": asdict(bounds), **asdict(bounds.importance or bounds.elbo)}
    else:
        measured = asdict(evaluate(model, data.test, images=images))
    figures = {
        "name": run.name,
        "model": config["model"]["name"],
        "data": Path(config["data"]["name"]).name,
        "given": "class" if model.context else "",
        "colours": config["model"].get("colours", "") if model.spec.channels > 1 else "",
        "weights": sum(weight.numel() for weight in model.parameters()),
        "command": command or f"nextpixel train recipes/{run.name}.yaml",
        "seed": config["training"]["seed"],
        "epochs": float(last["epoch"]),
        "minutes": float(last["minutes"]),
        "evaluation_seconds": round(time.monotonic() - start, 1),
        **measured,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{run.name}.json").write_text(json.dumps(figures, indent=1) + "\n")


def tabulated(text: str) -> str:
    """A page with the tables made from `results/` between its markers."""
    for name, table in (("likelihoods", _likelihoods()), ("bounds", _bounds()), ("speed", _speed())):
        marked = re.compile(f"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = marked.sub(lambda found, table=table: f"{found[1]}{table}{found[2]}", text)
    return text


def _likelihoods() -> str:
    lines = [
        "| images (test split) | model | weights | training | nats per image | bits/dim | paper |",
        "|---|---|---|---|---|---|---|",
    ]
    runs = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    for run in (run for run in runs if "nats" in run):
        given = f", given the {run['given']}" if run["given"] else ""
        given += f", colours {run['colours']}" if run.get("colours") else ""
        most = "≤ " if "bounds" in run else ""
        lines.append(
            f"| {run['data']} ({run['images']:,}) | `{run['model']}`{given} | {run['weights']:,} "
            f"| {run['minutes']:.1f} min, {run['epochs']:.2f} epochs, seed {run['seed']}: `{run['command']}` "
            f"| {most}{_figure(run['nats'], run['nats_error'], 2)} "
            f"| {most}{_figure(run['bits_per_dim'], run['bits_per_dim_error'], 4)} "
            f"| {'' if given else PAPER.get((run['model'], run['data']), '')} |"
        )
    return "\n".join(lines) + "\n"


def _bounds() -> str:
    lines = [
        "| run of `pixelvae` | unit | negative ELBO | = reconstruction | + KL | share of KL | importance-weighted |",
        "|---|---|---|---|---|---|---|",
    ]
    runs = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    for run in (run for run in runs if "bounds" in run):
        bounds = run["bounds"]
        share = 100 * bounds["kl"]["nats"] / bounds["elbo"]["nats"]
        for unit, key, digits in (("nats", "nats", 2), ("bits/dim", "bits_per_dim", 4)):
            figures = [
                "" if bounds[part] is None else _figure(bounds[part][key], bounds[part][f"{key}_error"], digits)
                for part in ("elbo", "reconstruction", "kl", "importance")
            ]
            *parts, tighter = figures
            cells = [f"{run['name']} ({run['images']:,})", unit, *parts, f"{share:.1f} %"]
            lines.append(f"| {' | '.join(cells)} | {tighter} (k = {bounds['samples']}) |")
    return "\n".join(lines) + "\n"


def _figure(value: float, error: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isnan(error) else f"{value:.{digits}f} ± {error:.{digits}f}"


def _speed() -> str:
    lines = ["| model | what | ratio | must |", "|---|---|---|---|"]
    for path in sorted(RESULTS.glob("*-benchmark.json")):
        for row in json.loads(path.read_text()):
            model = row.get("model", "gated_pixelcnn")
            lines.append(f"| `{model}` | {row['what']} | {row['ratio']:.2f} | {row['must']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
