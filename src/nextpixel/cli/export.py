"""`nextpixel export`: a trained model with its card, in the layout of the Hugging Face Hub."""

import csv
import json
import math
import platform
import re
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import nextpixel as npx
from nextpixel import pictures, plots
from nextpixel.cards import Card, export, safe
from nextpixel.cli.common import config_of, images_of, load
from nextpixel.cli.evaluate import as_json, measured
from nextpixel.data import CATALOGUE, Split
from nextpixel.evaluation import Evaluation, baselines
from nextpixel.shipped import CONFIG, SAMPLES, located

FIGURES = ("images", "nats", "nats_error", "bits_per_dim", "bits_per_dim_error")
COUNT = 64  # samples of the picture


def main(options: Namespace) -> None:
    """Evaluate the model, draw samples, and write all with the card."""
    folder = Path(options.folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise npx.BadInput(f"{folder} is there and not an empty folder; give another.")
    name = safe(options.name or folder.resolve().name)
    model, source = load(options), located(options.model)
    data, split, _, train = images_of(model, options)
    figures = _figures(model, data, split, train, options)
    sheet = plots.samples(model, split, COUNT, seed=0)
    known = CATALOGUE[data].licence if data in CATALOGUE else None
    card = Card(
        name, Path(data).name, options.licence or known, options.command, _training(source, options.machine), figures
    )
    export(model, folder, card)
    pictures.write(sheet, folder / SAMPLES)
    config = (source if source.is_dir() else source.parent) / CONFIG
    if config_of(options.model)["data"]:
        shutil.copyfile(config, folder / CONFIG)
    print(f"{folder}: {name}, {figures['bits_per_dim']:.4f} bits per dimension ({figures['images']:,} images).")


def _figures(model: npx.Model, name: str, split: Split, train: Split, options: Namespace) -> dict[str, Any]:
    """What the model's likelihood is, measured now or before."""
    if options.figures is not None:
        try:
            said = json.loads(Path(options.figures).read_text("utf-8"))
            said = {**said, **(said.get("importance") or said.get("elbo") or {})}
            for figure in (said["nats"], said["bits_per_dim"], int(said["images"]), *said["baselines"].values()):
                if not math.isfinite(figure):
                    raise ValueError(figure)
            found = {key: said[key] for key in (*FIGURES, "split", "baselines")}
            about = said["data"]
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise npx.BadInput(f"{options.figures} is not what nextpixel evaluate --json prints.") from error
        if about != name:
            raise npx.BadInput(f"{options.figures} has figures of {about}, but the model's data is {name}.")
        return found
    result = measured(model, split, images=options.images)
    found = as_json(result if isinstance(result, Evaluation) else result.importance or result.elbo)
    beside = baselines(model.spec, train, split, images=options.images)
    return {**{key: found[key] for key in FIGURES}, "split": options.split, "baselines": beside}


def _training(source: Path, machine: str | None) -> str:
    """How it was trained, in words, as far as the run tells."""
    path = (source if source.is_dir() else source.parent) / "metrics.csv"
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines())) if path.is_file() else []
    if not rows:
        return "Nothing beside the weights says how they were trained."
    last, about = rows[-1], Path("/proc/cpuinfo")
    processor = re.search(r"model name\s*: (.*)", about.read_text("utf-8")) if about.is_file() else None
    machine = machine or (processor[1] if processor else platform.processor() or platform.machine())
    return (
        f"{int(last['step']):,} steps, {float(last['epoch']):.2f} epochs, {float(last['minutes']):.0f} minutes on "
        f"{machine}; validation "
        f"{min(float(row['validation_bits_per_dim']) for row in rows):.4f} bits per dimension."
    )
