"""`nextpixel sample`, `complete` and `plot`: new images, images of which a part is known, and figures."""

import math
import re
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import nextpixel as npx
from nextpixel import pictures, plots, processes
from nextpixel.cli import common
from nextpixel.cli.parsers import PICTURES
from nextpixel.data import Split, codes
from nextpixel.data.readers.arrays import has_images_of, read_maps
from nextpixel.data.readers.encoded import opened
from nextpixel.data.readers.folder import IMAGE_SUFFIXES
from nextpixel.data.readers.mapped import load_arrays
from nextpixel.data.readers.options import Options
from nextpixel.errors import require, told
from nextpixel.pairing import given, part_of

PARTS = ("top-half", "bottom-half", "left-half", "right-half", "centre", "border")  # of images, known
LATENT_ROWS, LATENT_COLUMNS = 12, 6  # of the figures of a pixelvae
ACROSS, DRAWN, COMPLETED = 12, 6, 6  # columns of the figure, rows from scratch, rows of completions

Sheet = Callable[[], Image.Image]
Plot = tuple[Image.Image, str]  # the picture, and what is said of it


def sample(options: Namespace) -> None:
    """Draw images and write them as a grid or as arrays."""
    out = [common.place(text, *PICTURES, ".npz") for text in options.out]
    model = common.load(options)
    beside = _beside(model, options, out)

    def draw(piece: slice, **asked: Any) -> Tensor:
        which = range(piece.start, piece.stop)
        return model.sample(len(which), given(model.context, beside, which), **asked)

    images = common.drawn(options, len(beside), "sampling", draw, common.at_once(len(beside), model.spec))
    said = common.several(len(images), "image")
    _write(out, said, lambda: _sheet(model, options, images, beside), model, images, beside)


def complete(options: Namespace) -> None:
    """Draw the unknown part of images; the grid shows each as it was given, then its completions."""
    out = [common.place(text, *PICTURES, ".npz") for text in options.out]
    model = common.load(options)
    _, images, split, notes = common.asked_images(model, options)
    fit = common.config_of(options.model)["data"].get("fit", "crop")
    known = known_pixels(options.known, images, seed=options.seed, beside=options.source, fit=fit)
    common.afford(len(images) * options.completions, model.spec, out, lower="-n or --completions")
    particles = {} if options.particles == 1 else {"particles": options.particles}
    if particles:
        common.exact(model, "--particles")
        require(64 * options.particles * model.spec.subpixels, f"{options.particles} particles", "--particles")
    every = torch.arange(len(images)).repeat_interleave(options.completions)

    def draw(piece: slice, **asked: Any) -> Tensor:
        which = every[piece]
        return model.complete(images[which], known[which], given(model.context, split, which), **asked, **particles)

    batch = max(1, common.at_once(len(every), model.spec) // options.particles)
    completed = common.drawn(options, len(every), "completing", draw, batch)
    here = known.to(model.device)
    if isinstance(model, npx.Autoregressive) and not particles and bool(model.reading.met(here).amin(1).any()):
        late = "some known pixels come after unknown ones in the model's reading order, and are not seen by these"
        notes.append(f"{late}; --particles 64 weighs by them, and training with model.orders 8 reads from any side")
    common.tell(notes)
    print(f"{100 * known.float().mean():.4g} % of the pixels are known.")
    original = options.source is None or not Path(options.known).is_file()  # a mask may hide what was never there
    each = common.several(options.completions, "completion")

    def sheet() -> Image.Image:
        columns = f"given, {each}{', original' * original}"
        (before, spec), (after, _) = _looks(model, options, images), _looks(model, options, completed)
        seen = known.repeat_interleave(spec.height // known.shape[2], 2).repeat_interleave(
            spec.width // known.shape[3], 3
        )
        made = pictures.completions(before, seen, after, spec.levels, ordinal=spec.ordinal, original=original)
        return pictures.titled(made, f"{options.model}: {columns}; {_how(options)}")

    said, beside = f"{common.several(len(images), 'image')}, {each} of each", split.take(every.numpy())
    _write(out, said, sheet, model, completed, beside, given=images, known=known)


def plot(options: Namespace) -> None:
    """Find the kind of plot, and write its picture."""
    out = common.place(options.out, *PICTURES)
    picture, about = KINDS[options.kind](options)
    pictures.write(picture, out)
    print(f"{about}: {out}")


def known_pixels(which: str, images: Tensor, *, seed: int, beside: Path | None = None, fit: str = "crop") -> Tensor:
    """The mask of known pixels of images (B, C, H, W): bool, shape (B, 1 or C, H, W).

    `which` is one of `PARTS`: a half of an odd number is without the middle row or column, the centre is the middle
    half of rows and columns, the border the rest. Or `random:30%`. Or a mask's file: a picture, or an array (H, W),
    (N, H, W), (N, 1 or C, H, W) or (N, H, W, 1 or C); what is above the middle of its range is known. A mask that is
    as large as the picture `beside`, of which the image was made, is made like it, by `fit`.
    """
    count, channels, height, width = images.shape
    if which.startswith("random:"):
        found = re.fullmatch(r"random:([0-9]+(?:\.[0-9]+)?)%", which)
        if found is None or float(found[1]) > 100:
            raise npx.BadInput(f"A share of known pixels is written random:30%, from 0 to 100 %, not {which!r}.")
        drawn = np.random.default_rng(seed).random((count, 1, height, width))
        return torch.from_numpy(drawn < float(found[1]) / 100)
    mask = _part(which, height, width) if which in PARTS else _of_file(Path(which))
    if mask.ndim == 2 and mask.shape != (height, width) and beside is not None and _size(beside) == mask.shape:
        mask = Options(size=f"{height}x{width}", fit=fit).fitted(mask[None])[:, 0]  # several for tiles
    shape = mask.shape
    if mask.ndim == 4 and shape[1:3] == (height, width):
        mask = np.moveaxis(mask, 3, 1)
    mask = mask.reshape(-1, 1, *shape[-2:]) if mask.ndim in (2, 3) else mask
    if mask.ndim != 4 or mask.shape[1] not in (1, channels) or mask.shape[2:] != (height, width):
        size = f"{shape[1]}x{shape[0]}" if len(shape) == 2 else f"of shape {shape}"
        raise npx.BadInput(f"The mask {which} is {size}, but the images are {width}x{height}.")
    if len(mask) != 1 and len(mask) < count:
        raise npx.BadInput(f"The mask {which} is for {len(mask)} images, but there are {count}; lower -n.")
    low, high = float(mask.min()), float(mask.max())
    if not low < high:  # also where one is not a number
        why = f"has no two values for images of {width}x{height}: all or nothing is known"
        raise npx.BadInput(f"The mask {which} {why}.")
    return torch.from_numpy(mask[:count] > low / 2 + high / 2).expand(count, -1, -1, -1).clone()


def _of_file(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise npx.BadInput(f"Known pixels are {', '.join(PARTS)}, random:30% or the file of a mask, not {str(path)!r}.")
    with told(f"The mask {path}"):
        if path.suffix.lower() in (".npz", ".npy"):
            arrays = load_arrays(path)
            if "known" not in arrays and len(arrays) != 1:
                raise npx.BadInput(f"The mask {path} has no array known, but {', '.join(arrays) or 'nothing'}.")
            mask = arrays.get("known", next(iter(arrays.values())))
        else:
            with opened(path, path) as (_, picture):
                mask = np.asarray(picture.convert("RGBA"))[:, :, 3] if picture.has_transparency_data else np.zeros(1)
                if mask.min() == mask.max():  # what is alike everywhere says nothing, and brightness counts
                    wide = picture.mode.startswith(("I", "F"))  # pillow would cut it at 255
                    mask = np.asarray(picture if wide else picture.convert("RGB").convert("L"))
    if mask.dtype.kind not in "buif" or mask.size == 0:
        kind = f"{mask.dtype} values of shape {mask.shape}"
        raise npx.BadInput(f"The mask {path} must be of booleans or numbers, not {kind}.")
    return mask


def _part(which: str, height: int, width: int) -> NDArray[np.bool_]:
    known = np.zeros((height, width), dtype=bool)
    half, side = (height // 2, width // 2), (height // 4, width // 4)
    centre = np.s_[side[0] : height - side[0], side[1] : width - side[1]]
    halves = (np.s_[: half[0]], np.s_[height - half[0] :], np.s_[:, : half[1]], np.s_[:, width - half[1] :])
    named: dict[str, Any] = dict(zip(PARTS, halves, strict=False))
    known[named.get(which, centre)] = True
    return ~known if which == "border" else known


def _size(path: Path) -> tuple[int, int] | None:
    """Rows and columns of a picture; None of what is none."""
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return None
    with opened(path, path) as (_, picture):
        return picture.height, picture.width


def _write(
    out: list[Path], said: str, sheet: Sheet, model: npx.Model, images: Tensor, beside: Split, **more: Tensor
) -> None:
    for path in out if processes.rank() == 0 else ():
        if path.suffix.lower() == ".npz":
            common.write_images(path, model, images, beside, **more)
        else:
            pictures.write(sheet(), path)
        print(f"{said}: {path}")


def _how(options: Namespace) -> str:
    return f"temperature {options.temperature:g}, seed {options.seed}"


def _beside(model: npx.Model, options: Namespace, out: list[Path]) -> Split:
    """What each image is given: a split whose images are still to be drawn."""
    classes, kind = common.classes_of(model, options.label), part_of(model.context, npx.Map)
    if (kind is None) != (options.maps is None):
        told = "needs one for each image: give --maps FILE.npz" if kind else f"is given none, not {options.maps}"
        raise npx.BadInput(f"Of maps, this model {told}.")
    if kind is None:
        chosen = [0] if classes is None else common.labels_of(classes, options.label or "all")
        each = math.ceil((options.images or 64) / len(chosen))
        common.afford(each * len(chosen), model.spec, out, lower="-n")
        return Split(np.empty(each * len(chosen)), None if classes is None else np.repeat(chosen, each))
    maps, labels = read_maps(options.maps, kind.size, model.spec)
    arrays = load_arrays(options.maps)
    if {"images", "maps"} <= arrays.keys():
        whose = f"the images of {options.maps}, not the maps that these were given"
        if has_images_of(arrays["images"], model.spec):
            whose = f"those beside the images of {options.maps}"
        common.tell([f"the maps are {whose}"])
    count = options.images or len(maps)
    if count > len(maps):
        raise npx.BadInput(f"{options.maps} has {len(maps)} maps, too few for {count} images.")
    if classes is not None and (options.label is not None or labels is None):
        labels = np.resize(common.labels_of(classes, options.label or "all"), count)
    common.afford(count, model.spec, out, lower="-n")
    return Split(np.empty(count), None if classes is None or labels is None else labels[:count], maps=maps[:count])


def _sheet(model: npx.Model, options: Namespace, images: Tensor, beside: Split) -> Image.Image:
    """A row a class, where the images have classes alone; a title says what they are."""
    classes, labels = part_of(model.context, npx.ClassLabel), beside.labels
    images, spec = _looks(model, options, images)
    title, names = f"{options.model}: {common.several(len(images), 'sample')}, {_how(options)}", list[str]()
    if classes is not None and labels is not None and beside.maps is None:
        names = [classes.name(label) for label in dict.fromkeys(labels.tolist())]
    if len(names) == 1:
        title += f", class {names.pop()}"
    return pictures.titled(pictures.by_class(images, names, spec.levels, ordinal=spec.ordinal), title)


def _looks(model: npx.Model, options: Namespace, images: Tensor) -> tuple[Tensor, npx.ImageSpec]:
    """What images look like: as they are, but codes of the set that has a book as its patches."""
    if common.config_of(options.model)["data"].get("name") != "mnist-codes":
        return images, model.spec
    images = torch.from_numpy(codes.decode(images.cpu().numpy(), codes.book()))
    return images, npx.ImageSpec(*images.shape[1:], levels=256)


def _receptive_field(options: Namespace) -> Plot:
    model = common.exact(common.load(options), "The receptive field")
    row, column = options.pixel or (model.spec.height // 2, model.spec.width // 2)
    where = row, column, options.channel
    field = plots.receptive_field(model, *where, seed=options.seed, watch=common.with_bar("looking"))
    told = [*plots.describe_receptive_field(model, field, *where), "The receptive field"]
    return plots.draw_receptive_field(model, field, *where), "\n".join(told)


def _curves(options: Namespace) -> Plot:
    # Of several, such as runs/*, some may have no metrics (yet); but one must.
    runs = [run for run in options.runs if (run / "metrics.csv").is_file()] or options.runs[:1]
    curves = [plots.read_curves(run, options.over) for run in runs]
    print("".join(f"{run} has no metrics.\n" for run in options.runs if run not in runs), end="", file=sys.stderr)
    return plots.draw_curves(curves, options.over), f"The curves of {', '.join(map(str, runs))}"


def _figure(options: Namespace) -> Plot:
    model = common.load(options)
    name, split, notes, _ = common.images_of(model, options)
    if len(split) < ACROSS:
        raise npx.BadInput(f"The figure needs {ACROSS} images; the {options.split} split of {name} has {len(split)}.")
    images = common.first(split, options.seed, ACROSS)
    shown, spec = _looks(model, options, images)
    pictures.grid(shown, spec.levels, ordinal=spec.ordinal)  # refuses what has no picture, before the work
    rows = DRAWN + COMPLETED
    every, halves = np.tile(np.arange(ACROSS), rows), images.repeat(rows, 1, 1, 1)
    # Nothing is known of the images of the first rows: to complete them is to draw them.
    known = torch.zeros(halves.shape, dtype=torch.bool)
    known[DRAWN * ACROSS :, :, : model.spec.height // 2] = True

    def draw(piece: slice, **asked: Any) -> Tensor:
        return model.complete(halves[piece], known[piece], given(model.context, split, every[piece]), **asked)

    made = common.drawn(options, len(halves), "drawing", draw)
    common.tell(notes)
    about = f"{ACROSS * DRAWN} images from scratch, {COMPLETED} completions of each of {ACROSS} top halves"
    return pictures.grid(_looks(model, options, made)[0], spec.levels, ordinal=spec.ordinal, columns=ACROSS), about


def _latents(options: Namespace) -> Plot:
    """Rows of images that share a latent vector: of the prior, of an image's posterior, or on the way between two."""
    model = common.load(options)
    if not isinstance(model, npx.PixelVAE):
        name = model.recipe["name"]
        raise npx.BadInput(f"The plot is of latent vectors, which a {name} has not; it needs a pixelvae.")
    columns, left, right, notes = LATENT_COLUMNS, list[Tensor](), list[Tensor](), list[str]()
    if options.of == "interpolations":
        images, notes = _images(model, options, 2 * LATENT_ROWS)
        pairs = images[: len(images) // 2 * 2].unflatten(0, (-1, 2))
        x, y, about = pairs[:, 0], pairs[:, 1], "pairs of images, {} steps from one to the other"
        made = model.interpolate(x, y, columns, seed=options.seed, temperature=options.temperature).cpu()
        left, right = [x[:, None]], [y[:, None]]
    else:
        if options.of == "prior":
            if typed := {"--data", "--split", "--data-root"} & options.typed:
                raise npx.BadInput(f"The prior needs no images; leave out {min(typed)}, or plot --of reconstructions.")
            each = torch.from_numpy(np.random.default_rng(options.seed).standard_normal((LATENT_ROWS, model.latent)))
            make, about = model.decode, "latent vectors, a row of {} images of each"
        else:
            each, notes = _images(model, options, LATENT_ROWS)
            make, about, left = model.reconstruct, "images, {} reconstructions of each", [each[:, None]]
        every = each.repeat_interleave(columns, 0)
        made = common.drawn(options, len(every), "drawing", lambda piece, **asked: make(every[piece], **asked))
    common.tell(notes)
    rows = torch.cat([*left, made.reshape(-1, columns, *model.spec.shape), *right], 1)
    sheet = pictures.grid(rows.flatten(0, 1), model.spec.levels, ordinal=model.spec.ordinal, columns=rows.shape[1])
    return sheet, f"{len(rows)} {about.format(columns)}"


def _images(model: npx.Model, options: Namespace, count: int) -> tuple[Tensor, list[str]]:
    """The first images of the data set's split, and what to `tell`."""
    name, split, notes, _ = common.images_of(model, options)
    if len(split) < 2:
        raise npx.BadInput(f"The plot needs 2 images or more; the {options.split} split of {name} has {len(split)}.")
    return common.first(split, options.seed, count), notes


KINDS: dict[str, Callable[[Namespace], Plot]] = {
    "receptive-field": _receptive_field,
    "curves": _curves,
    "figure": _figure,
    "latents": _latents,
}
