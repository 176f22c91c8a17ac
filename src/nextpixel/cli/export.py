"""`nextpixel export`: a trained model with its card, in the layout of the Hugging Face Hub."""

import csv
import json
import math
import platform
import re
import shutil
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import nextpixel as npx
from nextpixel import pictures
from nextpixel.cards import Card, export, safe
from nextpixel.cli.common import BATCH, config_of, images_of, load, with_bar
from nextpixel.data import CATALOGUE, Split
from nextpixel.evaluation import baselines, evaluate, evaluate_bounds
from nextpixel.pairing import given, part_of
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
    sheet = _samples(model, split)
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
    settings: dict[str, Any] = {
        "images": options.images,
        "batch": BATCH,
        "watch": partial(with_bar, doing="evaluating"),
    }
    if isinstance(model, npx.PixelVAE):
        bounds = evaluate_bounds(model, split, **settings)
        found = bounds.importance or bounds.elbo
    else:
        found = evaluate(model, split, **settings)
    beside = baselines(model.spec, train, split, images=options.images)
    figures = {key: getattr(found, key) for key in FIGURES}
    figures = {key: None if math.isnan(figure) else figure for key, figure in figures.items()}  # JSON has no NaN
    return {**figures, "split": options.split, "baselines": beside}


def _samples(model: npx.Model, split: Split) -> Image.Image:
    """Uncurated, seed 0: a row a class, or what images of the split are given."""
    spec, classes = model.spec, model.context
    if isinstance(classes, npx.ClassLabel):
        each = max(1, COUNT // classes.classes)
        images = model.sample(classes.classes * each, torch.arange(classes.classes).repeat_interleave(each), seed=0)
        names = [classes.name(label) for label in range(classes.classes)]
        return pictures.by_class(images, names, spec.levels, ordinal=spec.ordinal)
    count = COUNT if part_of(classes, npx.Map) is None else min(COUNT, len(split))
    images = model.sample(count, given(classes, split, np.arange(count)), seed=0)
    return pictures.grid(images, spec.levels, ordinal=spec.ordinal)


def _processor() -> str:
    """What this machine's is called."""
    path = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", path.read_text("utf-8")) if path.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()


def _training(source: Path, machine: str | None) -> str:
    """How it was trained, in words, as far as the run tells."""
    path = (source if source.is_dir() else source.parent) / "metrics.csv"
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines())) if path.is_file() else []
    if not rows:
        return "Nothing beside the weights says how they were trained."
    last = rows[-1]
    return (
        f"{int(last['step']):,} steps, {float(last['epoch']):.2f} epochs, {float(last['minutes']):.0f} minutes on "
        f"{machine or _processor()}; validation "
        f"{min(float(row['validation_bits_per_dim']) for row in rows):.4f} bits per dimension."
    )
