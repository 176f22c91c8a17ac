"""`nextpixel score`: how unusual images are to a model, and how well scores tell images from elsewhere."""

import math
import time
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import nextpixel as npx
from nextpixel import pictures, processes
from nextpixel.cli import common
from nextpixel.cli.parsers import PICTURES
from nextpixel.data import CATALOGUE, Split
from nextpixel.data.dataset import evenly
from nextpixel.data.readers.hub import is_hub
from nextpixel.evaluation import evaluate, formats
from nextpixel.pairing import fit, given
from nextpixel.scores import auroc, score

COSTLIEST = 12  # images that are shown of each set


def main(options: Namespace) -> None:
    """Print the mean of each score, with two sets its AUROC, and write tables, maps and pictures."""
    began, out = time.monotonic(), [common.place(text, *PICTURES, ".npz", ".csv") for text in options.out]
    model = common.exact(common.load(options), "A score")
    against = options.against and common.exact(npx.load(options.against, device=model.device), "--against")
    sets = [common.asked_images(model, options), *([_outside(model, options)] if options.outside else [])]
    names, notes = [name for name, *_ in sets], [note for *_, notes in sets for note in notes]
    images, counts = torch.cat([images for _, images, *_ in sets]), [len(images) for _, images, *_ in sets]
    typical = _typical(model, options, notes) if options.typical else None
    asked = ["bits_per_dim", "complexity", *["typicality"] * (typical is not None), *["ratio"] * bool(against)]

    def measure(piece: slice, images: Tensor, split: Split) -> Tensor:
        beside = given(model.context, split, np.arange(len(images))[piece])
        found = vars(score(model, images[piece], beside, typical=typical, against=against))
        return torch.cat([torch.stack([found[name] for name in asked], 1), found["bits"].flatten(1)], 1)

    made: list[Tensor] = []
    for name, some, split, _ in sets:
        watch, work = partial(common.with_bar, doing=f"scoring {name}"), partial(measure, images=some, split=split)
        made += processes.everywhere(common.pieces(len(some)), work, watch)
    found = torch.cat(made)
    scores, bits = dict(zip(asked, found.T, strict=False)), found[:, len(asked) :].reshape(images.shape)
    rows = {name: _summary(its.split(counts)) for name, its in scores.items()}
    common.tell(notes)
    for path in out if processes.rank() == 0 else ():
        if path.suffix.lower() in PICTURES:
            pictures.write(_picture(model, names, images.split(counts), bits.split(counts)), path)
        else:
            more = {"images": images, "bits": bits.float()} if path.suffix.lower() == ".npz" else {}
            common.write_arrays(path, **_beside(counts, [split for _, _, split, _ in sets]), **scores, **more)
    if options.json:
        about = {"model": str(options.model), "against": options.against, "data": names, "images": counts}
        about |= {"typical": typical, "files": formats(model.spec), "scores": rows}
        common.print_json({**about, "seconds": round(time.monotonic() - began, 2)})
        return
    for name, count, which in zip(names, counts, ("inside", "outside"), strict=False):
        print(f"{f'{which}: ' * (len(sets) == 2)}{name}, {common.several(count, 'image')}")
    heads = ("score", "mean inside", "mean outside", "AUROC") if len(sets) == 2 else ("score", "mean")
    for cells in [heads, *([name, *_cells(row)] for name, row in rows.items())]:
        print("".join(f"{cell:<22}" for cell in cells).rstrip())
    print(f"Bits a sub-pixel, larger for the unusual; complexity is beside {' or '.join(formats(model.spec))}.")
    print(f"Written: {', '.join(map(str, out))}")


def _outside(model: npx.Model, options: Namespace) -> tuple[str, Tensor, Split, list[str]]:
    """As `asked_images`, of --outside."""
    name = options.outside
    if not (name in CATALOGUE or is_hub(name)):
        split, notes = common.source_of(model, Path(name), options)
        return name, *common.first_images(model, split, options), notes
    data = common.data_of(options.model, Namespace(**{**vars(options), "data": name}), like=model.spec.levels)
    split, notes = fit(model, data, data.split(options.split), what=name)
    return f"{name}, {options.split}", *common.first_images(model, split, options), notes


def _typical(model: npx.Model, options: Namespace, notes: list[str]) -> float | None:
    """The mean bits per dimension of validation images; None, and a note, where there are none."""
    try:
        _, split, *_ = common.images_of(model, Namespace(**{**vars(options), "data": None, "split": "validation"}))
    except npx.BadInput as error:
        notes.append(f"typicality needs validation images: {str(error).rstrip('.')}")
        return None
    some = split.take(evenly(len(split), options.typical))
    watch = partial(common.with_bar, doing="measuring what is typical")
    return evaluate(model, some, batch=common.BATCH, watch=watch).bits_per_dim


def _summary(sets: tuple[Tensor, ...]) -> dict[str, Any]:
    """Of a score, the mean in each set and its standard error, and of two sets the AUROC."""
    errors = [float(its.std() / math.sqrt(len(its))) if len(its) > 1 else math.nan for its in sets]
    area = dict(zip(("auroc", "auroc_error"), auroc(*sets), strict=True)) if len(sets) == 2 else {}
    return {"means": [float(its.mean()) for its in sets], "errors": errors, **area}


def _cells(row: dict[str, Any]) -> list[str]:
    areas = [(row["auroc"], row["auroc_error"])] if "auroc" in row else []
    pairs = [*zip(row["means"], row["errors"], strict=True), *areas]
    return [f"{figure:.4f}{common.plus_minus(error)}" for figure, error in pairs]


def _beside(counts: list[int], splits: list[Split]) -> dict[str, np.ndarray | None]:
    """What is known of each image: its set, where there are two, its number there, the path of its file, its label."""
    files = [np.full(count, "") if its.files is None else its.files for its, count in zip(splits, counts, strict=True)]
    labels = [its.labels for its in splits if its.labels is not None]
    return {
        "outside": np.arange(2).repeat(counts) if len(splits) == 2 else None,
        "index": np.concatenate([np.arange(count) for count in counts]),
        "source": np.concatenate(files) if any(map(any, files)) else None,
        "label": np.concatenate(labels) if len(labels) == len(splits) else None,
    }


def _picture(model: npx.Model, names: list[str], images: tuple[Tensor, ...], bits: tuple[Tensor, ...]) -> Image.Image:
    """The costliest images of each set beside their maps, which share a scale."""
    chosen = [its.flatten(1).sum(1).argsort(descending=True)[:COSTLIEST] for its in bits]
    pixels = torch.cat([its[some].sum(1).flatten() for its, some in zip(bits, chosen, strict=True)]).numpy()
    most, sheets = max(float(np.quantile(pixels[np.isfinite(pixels)], 0.99)), 0.01), list[Image.Image]()
    for name, levels, costs, some in zip(names, images, bits, chosen, strict=True):
        sheet = pictures.costs(levels[some], costs[some], model.spec.levels, most=most, ordinal=model.spec.ordinal)
        sheets.append(pictures.titled(sheet, f"{Path(name).name}, costliest: 0 (black) to {most:.2g} bits a pixel"))
    return pictures.stacked(sheets)
