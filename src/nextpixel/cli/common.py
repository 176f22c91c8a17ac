"""What the commands share: how they find models, images and places to write; what is wrong is said before the work."""

import argparse
import csv
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

import nextpixel as npx
from nextpixel import pictures, processes, shipped
from nextpixel.cli.parsers import keep
from nextpixel.cli.recipe import check_data, read
from nextpixel.data import CATALOGUE, DataSet, Split, open_data
from nextpixel.data.dataset import joined
from nextpixel.data.opening import own_path
from nextpixel.data.readers import Options, read_path
from nextpixel.data.readers.encoded import left_out
from nextpixel.data.readers.folder import IMAGE_SUFFIXES
from nextpixel.data.readers.hub import is_hub, place_of, read_hub
from nextpixel.errors import BadInput, require
from nextpixel.files import here, whole_file
from nextpixel.pairing import difference, fit, part_of
from nextpixel.training.display import BAR_STYLES

MOST_DOTS = 2**29  # of a picture
BATCH = 64  # images at once, where it makes no difference to the result


def afford(count: int, spec: npx.ImageSpec, out: Sequence[Path], *, lower: str) -> None:
    """Refuse so many images before the work if memory or the picture in `out` cannot hold them."""
    require(2 * 8 * count * spec.subpixels, f"{count:,} images {spec}", lower)  # int64, twice when put together
    enlarged = max(1, pictures.READABLE // max(spec.height, spec.width)) ** 2 * spec.height * spec.width
    if count * enlarged > MOST_DOTS and any(path.suffix.lower() != ".npz" for path in out):
        raise BadInput(f"A picture of {count:,} images {spec} is too large to look at; lower {lower}, or write an npz.")


def load(options: argparse.Namespace) -> npx.Model:
    """The model MODEL on --device; what stands beside it is looked at before the work."""
    config_of(options.model)
    return npx.load(options.model, device=processes.device(options.device))


def images_of(
    model: npx.Model, options: argparse.Namespace, *, whole: bool = False
) -> tuple[str, Split, list[str], Split]:
    """The name of --data, its images of --split as the model knows them, what to `tell`, and the train split."""
    data = data_of(model, options)
    split, notes = fit(model, data, data.split(options.split), what=data.name, whole=whole)
    splits = [*data.splits] if options.split == "all" else [options.split]
    inside = options.data is None or options.data != vars(options).get("outside")  # else they are to differ
    if inside and (differs := difference(model.learnt, data, splits=splits)):
        notes.insert(0, differs)
    if options.data is not None and options.data not in CATALOGUE and options.split != "all":
        every = sum(map(len, data.splits.values()))
        notes.append(f"{len(split)} of its {every} images are for {options.split}; --split all takes all of them")
    return data.name, split, notes, fit(model, data, data.train, what=data.name)[0]


def asked_images(model: npx.Model, options: argparse.Namespace) -> tuple[str, Tensor, Split, list[str]]:
    """The name of IMAGES or --data, its first -n images, int64, what is beside them (or --label), what to `tell`."""
    if one_source(options) is None:
        name, split, notes, _ = images_of(model, options)
        name = f"{name}, {options.split}"
    else:
        name, (split, notes) = str(options.source), source_of(model, options.source, options)
    split = split.take(slice(options.images))
    require(32 * len(split) * model.spec.subpixels, f"{len(split):,} images {model.spec}", "-n")
    context, label = classes_of(model, options.label), options.label
    if context is not None and label is not None:
        labels = labels_of(context, label)
        if len(labels) > 1:
            raise BadInput(f"An image has one class; --label {label} is for sample.")
        split = replace(split, labels=np.full(len(split), labels[0]))
    elif context is not None and split.labels is None:
        raise BadInput(f"The model needs the class of the images, one of {context.listed}: give --label.")
    return name, first(split, options.seed), split, notes


def one_source(options: argparse.Namespace) -> Path | None:
    """IMAGES, or None for --data; both are refused, and what is for the latter alone."""
    for name in ("data", "data_root"):
        if options.source is not None and (value := vars(options)[name]) is not None:
            raise BadInput(f"Give either IMAGES ({options.source}) or --{name.replace('_', '-')} {value}, not both.")
    return options.source


def source_of(
    model: npx.Model, source: Path, options: argparse.Namespace, *, whole: bool = False
) -> tuple[Split, list[str]]:
    """The images of a file or folder, all or of --split, read as those that the model learnt from; what to `tell`."""
    hub = is_hub(str(source))
    if not hub and not source.is_file() and not source.is_dir():
        raise BadInput(f"There is no file or folder {source}.")
    spec, brought = model.spec, list[str]()
    said = _alike(model, _learnt(model, options))
    able = (source.is_dir() or source.suffix.lower() in IMAGE_SUFFIXES) and spec.ordinal and spec.channels in (1, 3)
    try:
        parts = read_hub(str(source), Options(**said)) if hub else read_path(source, Options(**said))
    except BadInput:  # which comes again below, if not of pictures of several sizes
        if not able:
            raise
        parts = None
    if source.is_file() and able:
        brought += [f"of {source}, {what}" for what in left_out(source)]
    if said.get("size") and able:
        brought.append(
            f"pictures of {source} are brought to {said['size']} by {said.get('fit', 'crop')}, as the run's were"
        )
    if parts is None or (able and parts.spec.shape != spec.shape):
        said |= {"size": f"{spec.height}x{spec.width}", "channels": spec.channels}
        parts = read_path(source, Options(**said))
        grey = "grey " if spec.channels == 1 else ""
        brought.append(f"pictures of {source} are made {grey}{spec.width}x{spec.height}, as the model's are")
    there, wanted = parts.splits, options.split if "--split" in vars(options).get("typed", ()) else "all"
    if wanted not in (*there, "all"):
        raise BadInput(f"{source} has no {wanted} split, but {', '.join(there)}; leave out --split for all its images.")
    own = joined(there.values()) if wanted == "all" else there[wanted]
    if wanted == "all" and len(there) > 1:
        brought.append(f"these are all {len(own)} images of {source}: {', '.join(there)}; --split takes one of them")
    split, notes = fit(model, parts, own, what=str(source), whole=whole)
    return split, [*brought, *notes, *parts.notes]


def first(split: Split, seed: int, count: int | None = None) -> Tensor:
    """The first images of a split, all or at most so many, int64; the seed is of images that are drawn."""
    which = range(len(split))[:count]
    return split.batch(which, np.random.default_rng(seed))[0].long()


def data_of(model: npx.Model, options: argparse.Namespace) -> DataSet:
    """The data set of --data, or else the one that MODEL learnt from, by config.yaml beside it or its own file."""
    recipe = _learnt(model, options)
    learnt, other = recipe.get("name"), options.data
    named = learnt in CATALOGUE or other in CATALOGUE
    root: dict[str, Any] = {"root": options.data_root or (None if named and other else recipe.get("root"))}
    if learnt is None and other is None:
        raise BadInput(f"Nothing says which data set {options.model} learnt from; name one with --data.")
    path = own_path(str(other or learnt), root["root"])
    if (other or learnt) not in CATALOGUE and not is_hub(str(other or learnt)):
        keep(options, path)
    if is_hub(learnt):
        there = (local := place_of(learnt)) is None or local.exists()
    else:
        there = learnt is None or learnt in CATALOGUE or own_path(learnt, root["root"]).exists()
    if other is None or other == learnt:
        if not there:
            how = "say where it is now with --data"
            raise BadInput(f"{options.model} learnt from {learnt}, which is not there; {how}.")
        return open_data(**{**recipe, **root})
    if named:
        return open_data(other, **root, like=model.spec.levels)
    if not there:  # that may be where it is now
        with suppress(BadInput):
            data = open_data(**{**recipe, **root, "name": other})
            if difference(model.learnt, data, splits=data.splits) is None:
                return data
    return open_data(other, **root, **_alike(model, recipe))


def _learnt(model: npx.Model, options: argparse.Namespace) -> dict[str, Any]:
    """How the data that MODEL learnt from were opened, by config.yaml beside it or its own file; empty if none says."""
    told = model.learnt or {}
    if not (recipe := config_of(options.model)["data"]) and told:
        recipe = {**told.get("options", {}), "name": told["data"]}
        check_data(recipe, options.model)
    like = recipe.get("like") or told.get("options", {}).get("like")
    return {**recipe, "like": like or (256 if recipe.get("bits") else model.spec.levels)} if recipe else {}


def _alike(model: npx.Model, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Options by which other files of one's own are read like those that a model learnt from, if it did."""
    levels, like = model.spec.levels, recipe.get("like")
    said = {name: recipe[name] for name in ("size", "fit", "channels", "damaged") if name in recipe}
    if not model.spec.ordinal:
        said |= {"levels": levels, "ordinal": False}
    like = like if isinstance(like, dict) else {"levels": like or levels}
    named = {name: recipe[name] for name in ("layout", "first_label", "columns") if recipe.get(name) is not None}
    return {**said, "like": {**like, **named}}


def tell(notes: Iterable[str], *, wrong: bool = False) -> None:
    """Say what the user should know beside the results: with them, as a refusal is one sentence alone.

    What went `wrong` is said to those too who want it quiet.
    """
    for note in notes:
        print(f"Note: {note}.", file=(wrong and processes.loud) or sys.stderr)


def print_json(figures: dict[str, Any]) -> None:
    """Print figures as JSON, which has no NaN and no infinity: null."""
    print(json.dumps(json.loads(json.dumps(figures), parse_constant=lambda name: None), indent=2))


def exact(model: npx.Model, what: str) -> npx.Autoregressive:
    """The model, if its likelihood is exact; `what` needs that."""
    if not isinstance(model, npx.Autoregressive):
        raise BadInput(f"{what} needs an exact likelihood, but a {model.recipe['name']} has only bounds.")
    return model


def classes_of(model: npx.Model, label: str | None) -> npx.ClassLabel | None:
    """The classes that a model knows, or None; `label` is what --label says."""
    context = part_of(model.context, npx.ClassLabel)
    if context is None and label is not None:
        raise BadInput(f"This model knows no classes, so --label {label} means nothing to it.")
    return context


def labels_of(context: npx.ClassLabel, text: str) -> list[int]:
    """The labels that --label names: all, or classes by name or number and ranges of numbers, with commas between."""
    if text in (context.names or ()):  # a name may have a comma in it, or be `all`
        return [context.number(text)]
    if text == "all":
        return list(range(context.classes))
    labels, names = list[int](), context.names or ()
    numbered = {int(name): place for place, name in enumerate(names) if re.fullmatch("[0-9]{1,9}", name)}
    for part in text.split(","):
        ends = part.split("-") if part not in names and re.fullmatch("[0-9]+-[0-9]+", part) else [part]
        more: Sequence[int] = range(context.number(ends[0]), context.number(ends[-1]) + 1)
        if len(ends) > 1 and {*ends} <= {*names}:  # names that are numbers, which may be in another order
            more = [numbered[number] for number in sorted(numbered) if int(ends[0]) <= number <= int(ends[1])]
        if not more or {*labels} & {*more}:
            raise BadInput(f"--label {text} names a class twice or none at {part}; the model knows {context.listed}.")
        labels += more
    return labels


def place(text: str, *suffixes: str) -> Path:
    """The file to be written, with any suffix where none are given; refused before the work, not after it."""
    path = Path(text)
    if text.startswith("hf:") or path.suffix == ".safetensors":
        here(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise BadInput(f"The output must end in {' or '.join(suffixes)}, not {text}.")
    if path.exists() and not path.is_file():
        raise BadInput(f"The output {text} is {'a folder' if path.is_dir() else 'no file'}; give another name.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise BadInput(f"There is no folder {path.parent} to write {path.name} in, or it cannot be written.")
    return path


def write_arrays(path: Path, **arrays: Tensor | np.ndarray | Sequence[str] | int | None) -> None:
    """Write an npz (or csv) file, at once or not at all; None is left out, whole numbers are in the smallest dtype."""
    kept: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items() if array is not None}
    small = {name: its.astype(np.min_scalar_type(its.max())) for name, its in kept.items() if its.dtype.kind in "bui"}
    with whole_file(path) as beside:
        if path.suffix.lower() == ".csv":
            with beside.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
                rows = zip(*(column.tolist() for column in kept.values()), strict=True)
                csv.writer(file, lineterminator="\n").writerows([[*kept], *rows])
        else:
            with beside.open("wb") as file:
                np.savez_compressed(file, **{**kept, **small})


def write_images(path: Path, model: npx.Model, images: Tensor, beside: Split, **more: Tensor) -> None:
    """Write images and what they were given as an npz file that `open_data` reads."""
    classes, kind = part_of(model.context, npx.ClassLabel), part_of(model.context, npx.Map)
    write_arrays(
        path,
        images=images,
        labels=None if classes is None else beside.labels,
        maps=None if kind is None or beside.maps is None else np.asarray(beside.maps[np.arange(len(beside))]),
        levels=model.spec.levels,
        map_levels=None if kind is None else kind.levels,
        ordinal=None if model.spec.ordinal else False,
        class_names=None if classes is None else classes.names,
        first_label=None if classes is None else 0,
        **more,
    )


def with_bar(doing: str) -> Callable[[Sequence[Any]], Iterable[Any]]:
    """What goes through the parts of some work, with a bar if someone watches."""
    console, hidden = Console(stderr=True), not sys.stderr.isatty()
    return partial(track, description=doing, console=console, transient=True, disable=hidden, **BAR_STYLES)


def several(count: int, noun: str) -> str:
    """A count with its noun: "1 image", "2 images"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def pieces(count: int, batch: int = BATCH) -> list[slice]:
    """Cut `count` images into batches."""
    return [slice(start, min(count, start + batch)) for start in range(0, count, batch)]


def at_once(count: int, spec: npx.ImageSpec) -> int:
    """How many of so many images to draw at once.

    Of more, each costs less, down to a half; but several processes shall have pieces, and memory room for all states.
    """
    return next((many for many in (256, 128) if 2 * many <= count and many * spec.subpixels <= 2**19), BATCH)


def drawn(
    options: argparse.Namespace, count: int, doing: str, draw: Callable[..., Tensor], batch: int = BATCH
) -> Tensor:
    """So many images, drawn in pieces, each with noise of its own."""
    asked = {"seed": options.seed, "temperature": options.temperature}

    def make(piece: slice) -> Tensor:
        return draw(piece, **asked, first=piece.start).cpu()

    return torch.cat(processes.everywhere(pieces(count, batch), make, with_bar(doing)))


def config_of(model: Path) -> dict[str, Any]:
    """What config.yaml beside a model says, in its three sections."""
    model = shipped.located(model)
    path = (model if model.is_dir() else model.parent) / "config.yaml"
    if not path.is_file():
        return {"data": {}}
    try:
        recipe = read(path)
    except BadInput:
        if model.is_dir():
            raise
        return {"data": {}}  # a file may stand beside another program's
    if recipe["data"]:
        check_data(recipe["data"], path)
    return recipe
