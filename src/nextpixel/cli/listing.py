"""`nextpixel models`, `data`, `recipes` and `doctor`: what there is, and what this machine can do with it."""

import importlib.metadata
import inspect
import os
import platform
import re
import shutil
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import nextpixel as npx
from nextpixel import pictures, shipped
from nextpixel.cli.common import first, place, print_json, several
from nextpixel.cli.parsers import PICTURES
from nextpixel.data import CATALOGUE, Split, describe, open_data
from nextpixel.data.download import ROOT_VARIABLE, cache_folder
from nextpixel.data.packing import pack
from nextpixel.data.readers import is_readable
from nextpixel.data.readers.hub import is_hub
from nextpixel.files import home
from nextpixel.likelihoods import LIKELIHOODS, Likelihood
from nextpixel.models import named, settings_of
from nextpixel.processes import device
from nextpixel.training.dial import seconds_of_a_step
from nextpixel.training.engine import has_fast_bf16
from nextpixel.unroll import Backbone

Part = type[Backbone | npx.PixelVAE | Likelihood]

FOLDER = Path(__file__).resolve().parents[1] / "recipes"
RECIPES = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"), key=lambda path: path.stem)}
MOST_CLASSES = 20  # rows of a data set's picture
LIBRARIES = ("torch", "numpy", "lightning-fabric", "safetensors", "datasets", "matplotlib", "scipy", "shtab")
SIZES: dict[str, Any] = {"filters": 32, "blocks": 4}  # of the network whose speed is told
BATCH, SECONDS = 16, 1.5  # seconds of sampling


def models(options: Namespace) -> None:
    """Print each model and each likelihood with a line about it and its settings, or all that there is about one."""
    name = options.name
    if name in shipped.names():
        print((shipped.FOLDER / name / shipped.CARD).read_text("utf-8").partition("---\n# ")[2])
    elif name is not None:
        part = named(name, {**dict.fromkeys(shipped.names()), **npx.MODELS, **LIKELIHOODS}, "model")
        text = inspect.cleandoc(part.__doc__ or "").partition("\n\nExample")[0].replace("\nArgs:\n", "\nSettings:\n")
        for setting in settings_of(part):  # some stand together: `    filters, blocks: …`
            with_default = rf"\1{_with_default(part, setting)}"
            text = re.sub(rf"^(    (?! )(?:[^:\n]+, )?){setting}(?=[,:] )", with_default, text, flags=re.MULTILINE)
        print(name, text, sep="\n\n")
    else:
        print("trained models that come with the package")
        for name, found in ((name, shipped.about(name)) for name in shipped.names()):
            size = (shipped.FOLDER / name / shipped.FILE).stat().st_size / 1e6
            figures = f"{found['figures']['bits_per_dim']:.3f} bits per dimension"
            print(f"  {name}\n    {found['recipe']['name']} of {found['data']}, {size:.1f} MB, {figures}")
        more = "; nextpixel models NAME says more of each, and what its settings mean"
        for kind, parts in {f"models{more}": npx.MODELS, "likelihoods": LIKELIHOODS}.items():
            print(kind)
            for name, part in parts.items():
                about = inspect.cleandoc(part.__doc__ or "").splitlines()[0]
                print(f"  {name}", "    " + re.sub(r" \[1.*?\]", "", about), sep="\n")  # without its sources
                for setting in settings_of(part):
                    print(f"      {_with_default(part, setting)}")


def data(options: Namespace) -> None:
    """List the data sets; `show` draws the images of one, a row a class, and `pack` writes one as parquet files."""
    if not options.kind:
        found = {name: row.find(options.data_root) for name, row in CATALOGUE.items()}
        for name, row in CATALOGUE.items():
            train, validation, test = (f"{size:,}" for size in row.sizes)
            classes = f"{row.classes} classes" if row.classes else "no classes"
            print(name)
            print(f"  {row.description}")
            print(f"  {row.spec}, {classes}; {train} train, {validation} validation, {test} test images; {row.source}")
            print(f"  {found[name]}")
        return
    out = place(options.out, *PICTURES) if options.kind == "show" else home(options.out)
    asked = ("levels", "bits", "layout", "first_label", "size", "fit", "channels", "damaged", "columns", "splits")
    reading = {name: getattr(options, name) for name in asked}
    own = open_data(options.name, options.data_root, **reading)
    if options.kind == "pack":
        for file in pack(own, out):
            print(f"{file}: {file.stat().st_size / 2**20:.1f} MiB")
        print("\n".join(describe(own)))
        return
    split: Split = getattr(own, options.split)
    rows = _rows(split, options.images)
    images = first(split.take(np.concatenate([*rows.values()])) if rows else split, 0, None if rows else options.images)
    names = [own.class_names[label] if own.class_names else str(label) for label in rows]
    pictures.write(pictures.by_class(images, names, own.spec.levels, ordinal=own.spec.ordinal), out)
    shown = several(len(images), f"{options.split} image")
    print(*describe(own), f"{shown} of {own.name}{', a row a class' * bool(rows)}: {out}", sep="\n")


def recipes(options: Namespace) -> None:
    """List the recipes, or print one."""
    if options.name is not None:
        print(named(options.name, RECIPES, "recipe").read_text("utf-8"), end="")
        return
    for name, path in RECIPES.items():
        told = re.findall(r"\A# .*|^# (?:Cost|Measured): .*", path.read_text("utf-8"), re.MULTILINE)
        print(name, *(line.removeprefix("# ") for line in told), sep="\n  ")


def doctor(options: Namespace) -> None:
    """Print versions, the device, where data is, and images a second of a small network, in about five seconds."""
    where = device(options.device)
    found = {name: row.find(options.data_root) for name, row in CATALOGUE.items()}
    there = {its.name.lower(): its.version for its in importlib.metadata.distributions()}
    versions = {name: there.get(name, "not installed") for name in LIBRARIES}
    said: dict[str, Any] = {
        "versions": {"nextpixel": npx.__version__, "python": platform.python_version(), **versions},
        "machine": {
            "system": platform.platform(),
            "device": torch.cuda.get_device_name(where) if where.type == "cuda" else where.type,
            "cores": os.cpu_count() if not hasattr(os, "sched_getaffinity") else len(os.sched_getaffinity(0)),
            "threads": torch.get_num_threads(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "bf16": "fast" if has_fast_bf16(where) else "no faster, so precision auto is fp32",
            "compiler": next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), "none"),
        },
        "places": {
            "data root": options.data_root or os.environ.get(ROOT_VARIABLE) or f"none (--data-root, {ROOT_VARIABLE})",
            "cache": f"{cache_folder()}{'' if cache_folder().exists() else ', not there yet'}",
            "models": ", ".join(shipped.names()),
            **found,
        },
        "images a second": _speeds(where),
    }
    if options.json:
        print_json(said)
        return
    for part, lines in said.items():
        print(part, *(f"  {name:<18} {value}" for name, value in lines.items()), sep="\n")
    print(f"Speeds are of a gated_pixelcnn of 32 filters and 4 blocks, digits of 28x28, {BATCH} at once.")


def find(text: str) -> Path:
    """What `nextpixel train` is given: a file or folder that is there, else a recipe by name, or as a clone has it."""
    path = Path(text)
    known = path.exists() or text in RECIPES
    if text in RECIPES and path.is_dir() and not (path / "config.yaml").exists():
        own = f"recipes/{text}.yaml is the recipe, ./{text} --minutes 20 trains on what is in the folder"
        raise npx.BadInput(f"There is a recipe {text}, and a folder {path} here; {own}.")
    images = path.is_dir() and not (path / "config.yaml").exists()
    if images or (path.is_file() and is_readable(path)) or ((text in CATALOGUE or is_hub(text)) and not known):
        how = f"to train on these data say how long: nextpixel train {text} --minutes 20"
        raise npx.BadInput(f"There is no recipe {text}; {how}.")
    return path if path.exists() else named(re.sub(r"^recipes/(.+)\.yaml$", r"\1", text), RECIPES, "recipe")


def _with_default(part: Part, setting: str) -> str:
    return f"{setting} = {inspect.signature(part).parameters[setting].default}"


def _rows(split: Split, count: int) -> dict[int, np.ndarray]:
    """The first images of each class, equally many, about `count` in all; none without labels."""
    if split.labels is None:
        return {}
    classes = np.unique(split.labels)[: min(MOST_CLASSES, count)]
    every = {int(label): np.flatnonzero(split.labels == label) for label in classes}
    each = min(max(1, count // len(classes)), *(len(found) for found in every.values()))
    return {label: found[:each] for label, found in every.items()}


def _speeds(where: torch.device) -> dict[str, float]:
    model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 28, 28, levels=2), "bernoulli", **SIZES).to(where)
    step = seconds_of_a_step(model, torch.zeros(BATCH, 1, 28, 28, dtype=torch.long), None)
    laps, began = 0, time.monotonic()
    while laps == 0 or time.monotonic() - began < SECONDS:
        model.sample(BATCH).sum().item()  # until the device is ready
        laps += 1
    return {"training step": round(BATCH / step, 1), "sampling": round(BATCH * laps / (time.monotonic() - began), 1)}
