"""`nextpixel data`: the data sets that have names, pictures of them, and packing them."""

import re
from argparse import Namespace

import numpy as np

from nextpixel import pictures
from nextpixel.cli.common import place, several
from nextpixel.cli.parsers import PICTURES
from nextpixel.data import CATALOGUE, DataSet, Split, describe, open_data
from nextpixel.data.packing import pack
from nextpixel.errors import BadInput
from nextpixel.files import home

MOST_CLASSES = 20  # rows of a data set's picture


def main(options: Namespace) -> None:
    """List the data sets; `show` and `pack` are commands of their own."""
    {"": _list, "show": _show, "pack": _pack}[options.kind](options)


def _list(options: Namespace) -> None:
    """Print each named data set with its images, its sizes, where it comes from and whether it is on this machine."""
    found = {name: row.find(options.data_root) for name, row in CATALOGUE.items()}
    for name, row in CATALOGUE.items():
        train, validation, test = (f"{size:,}" for size in row.sizes)
        classes = f"{row.classes} classes" if row.classes else "no classes"
        print(name)
        print(f"  {row.description}")
        print(f"  {row.spec}, {classes}; {train} train, {validation} validation, {test} test images; {row.source}")
        print(f"  {found[name]}")


def _show(options: Namespace) -> None:
    """Write a grid of a data set's images, a row a class."""
    out = place(options.out, *PICTURES)
    data = _opened(options)
    split: Split = getattr(data, options.split)
    rows = _rows(split, options.images)
    chosen = np.arange(min(options.images, len(split))) if rows is None else np.concatenate(list(rows.values()))
    images, _ = split.batch(chosen, np.random.default_rng(0))
    if rows is None:
        picture = pictures.grid(images, data.spec.levels, ordinal=data.spec.ordinal)
    else:
        names = [data.class_names[label] if data.class_names else str(label) for label in rows]
        picture = pictures.by_class(images, names, data.spec.levels, ordinal=data.spec.ordinal)
    pictures.write(picture, out)
    print("\n".join(describe(data)))
    shown = several(len(chosen), f"{options.split} image")
    print(f"{shown} of {data.name}{'' if rows is None else ', a row a class'}: {out}")


def _opened(options: Namespace) -> DataSet:
    reading = {name: getattr(options, name) for name in ("levels", "size", "fit", "channels", "damaged")}
    try:
        return open_data(options.name, options.data_root, **reading)
    except BadInput as error:
        raise BadInput(re.sub(rf"\bdata\.(?={'|'.join(reading)})", "--", str(error))) from error


def _pack(options: Namespace) -> None:
    """Write a data set as parquet files."""
    data = _opened(options)
    for file in pack(data, home(options.out)):
        print(f"{file}: {file.stat().st_size / 2**20:.1f} MiB")
    print("\n".join(describe(data)))


def _rows(split: Split, count: int) -> dict[int, np.ndarray] | None:
    """The first images of each class, equally many, about `count` in all; None without labels."""
    if split.labels is None:
        return None
    classes = np.unique(split.labels)[: min(MOST_CLASSES, count)]
    every = {int(label): np.flatnonzero(split.labels == label) for label in classes}
    each = min(max(1, count // len(classes)), *(len(found) for found in every.values()))
    return {label: found[:each] for label, found in every.items()}
