"""`nextpixel export`, `push` and `import`: a trained model with its card, and models that other programs trained."""

import platform
import re
import shutil
from argparse import Namespace
from pathlib import Path

import nextpixel as npx
from nextpixel import cards, pictures, plots, shipped
from nextpixel.cli.common import config_of, images_of, load, several
from nextpixel.cli.measuring import as_json, measured
from nextpixel.data import CATALOGUE
from nextpixel.errors import BadInput
from nextpixel.evaluation import Evaluation, baselines
from nextpixel.files import empty, whole_folder
from nextpixel.port import import_pixelcnnpp

FIGURES = ("images", "nats", "nats_error", "bits_per_dim", "bits_per_dim_error")
COUNT = 64  # samples of the picture


def export(options: Namespace) -> None:
    """Evaluate the model, draw samples, and write all with the card."""
    folder = empty(Path(options.folder))
    name = cards.safe(options.name or folder.resolve().name)
    model, source = load(options), shipped.located(options.model)
    run = source if source.is_dir() else source.parent
    data, split, _, train = images_of(model, options)
    result = measured(model, split, images=options.images)
    found = as_json(result if isinstance(result, Evaluation) else result.importance or result.elbo)
    others = baselines(model.spec, train, split, images=options.images)
    figures = {**{key: found[key] for key in FIGURES}, "split": options.split, "baselines": others}
    sheet = plots.samples(model, split, COUNT, seed=0)
    licence = options.licence or (CATALOGUE[data].licence if data in CATALOGUE else None)
    training = _training(run, options.machine)
    card = cards.Card(name, Path(data).name, licence, options.command, training, figures)
    with whole_folder(folder) as beside:
        cards.export(model, beside, card)
        pictures.write(sheet, beside / shipped.SAMPLES)
        if config_of(options.model)["data"]:
            shutil.copyfile(run / shipped.CONFIG, beside / shipped.CONFIG)
    print(f"{folder}: {name}, {figures['bits_per_dim']:.4f} bits per dimension ({figures['images']:,} images).")


def push(options: Namespace) -> None:
    """Put the folder there, and say where it is."""
    print(f"{options.folder} is at {shipped.push(options.folder, options.name, private=options.private)}.")


def import_(options: Namespace) -> None:
    """Write a model of ours with the weights of another program's."""
    model = import_pixelcnnpp(options.file, height=options.height, width=options.width)
    npx.save(model, options.out)
    count = sum(weight.numel() for weight in model.parameters())
    print(f"{options.out} holds a {options.name} of {count:,} weights, for images {model.spec}.")


def _training(run: Path, machine: str | None) -> str:
    """How it was trained, in words, as far as the run tells."""
    about = Path("/proc/cpuinfo")
    try:
        step, epoch, minutes = (plots.read_curves(run, over) for over in ("step", "epoch", "minutes"))
    except BadInput:
        return f"Nothing beside the weights says how they were trained{f' on {machine}' if machine else ''}."
    processor = re.search(r"model name\s*: (.*)", about.read_text("utf-8")) if about.is_file() else None
    machine = machine or (processor[1] if processor else platform.processor() or platform.machine())
    took = f"{several(int(step.over[-1]), 'step')}, {epoch.over[-1]:.2f} epochs, {minutes.over[-1]:.3g} minutes"
    return f"{took} on {machine}; validation {epoch.validation.min():.4f} bits per dimension."
