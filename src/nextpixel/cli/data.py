"""`nextpixel data`: the data sets that have names, pictures of them, and arrays out of pickles."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nextpixel import pictures
from nextpixel.cli.common import Parser, place, several, whole
from nextpixel.data import CATALOGUE, Split, describe, open_data
from nextpixel.data.readers.pickled import convert_pickle
from nextpixel.errors import BadInput

MOST_CLASSES = 20  # rows of a picture
_PAPER, _INK = "white", "black"


def main(arguments: list[str]) -> None:
    """List the data sets; `show` and `convert` are commands of their own."""
    match arguments:
        case ["show" | "convert" as action, *rest]:
            (_show if action == "show" else _convert)(rest)
        case _:
            _list(arguments)


def _list(arguments: list[str]) -> None:
    """Print each named data set with its images, its sizes, where it comes from and whether it is on this machine."""
    parser = Parser(
        "data",
        "List the data sets that have names, and whether they are on this machine; any folder of images, npz or npy\n"
        "file is one too. `nextpixel data show` draws one, `nextpixel data convert` takes arrays out of a pickle.",
        examples=[
            "nextpixel data",
            "nextpixel data --data-root datasets/",
            "nextpixel data show shapes",
            "nextpixel data convert shapes.pkl -o shapes.npz",
        ],
    )
    parser.add_data_root()
    options = parser.parse_args(arguments)
    found = {name: row.find(options.data_root) for name, row in CATALOGUE.items()}
    for name, row in CATALOGUE.items():
        train, validation, test = (f"{size:,}" for size in row.sizes)
        classes = f"{row.classes} classes" if row.classes else "no classes"
        print(name)
        print(f"  {row.description}")
        print(f"  {row.spec}, {classes}; {train} train, {validation} validation, {test} test images; {row.source}")
        print(f"  {found[name]}")


def _show(arguments: list[str]) -> None:
    """Write a grid of a data set's images, a row a class."""
    parser = Parser(
        "data show",
        "Draw the first images of a data set: a row for each class, with its number, where there are classes\n"
        f"(at the most {MOST_CLASSES}), equal numbers of each.",
        examples=[
            "nextpixel data show mnist-coloured --out mnist.png",
            "nextpixel data show shapes --split test -n 40",
            "nextpixel data show folder-of-images/ --out images.png",
        ],
    )
    parser.add_argument("name", metavar="NAME", help="a name, a folder of images, an npz or npy file")
    parser.add_data_root()
    parser.add_argument("--split", choices=("train", "validation", "test"), default="train", help="(default: train)")
    parser.add_argument("-n", "--images", type=whole(1), default=80, metavar="N", help="about how many (default: 80)")
    parser.add_argument("--levels", type=whole(2), metavar="L", help="of one's own images, where they do not say it")
    parser.add_argument("--size", metavar="HxW", help="rows and columns that one's own pictures are brought to")
    parser.add_argument("--fit", default="crop", help="how: crop, pad, stretch or tiles (default: crop)")
    parser.add_argument("--channels", type=whole(1), metavar="C", help="1 or 3, to make them grey or coloured")
    parser.add_argument("--out", default="data.png", metavar="FILE", help="a .png file (default: data.png)")
    options = parser.parse_args(arguments)

    out = place(options.out, ".png")
    reading = {name: getattr(options, name) for name in ("levels", "size", "fit", "channels")}
    data = open_data(options.name, options.data_root, **reading)
    split: Split = getattr(data, options.split)
    rows = _rows(split, options.images)
    chosen = np.arange(min(options.images, len(split))) if rows is None else np.concatenate(list(rows.values()))
    images, _ = split.batch(chosen, np.random.default_rng(0))
    columns = None if rows is None else len(chosen) // len(rows)
    picture = pictures.grid(images, data.spec.levels, ordinal=data.spec.ordinal, columns=columns)
    if rows is not None:
        picture = _with_labels(picture, [data.class_names[label] if data.class_names else str(label) for label in rows])
    pictures.write(picture, out)
    print("\n".join(describe(data)))
    shown = several(len(chosen), f"{options.split} image")
    print(f"{shown} of {data.name}{'' if rows is None else ', a row a class'}: {out}")


def _convert(arguments: list[str]) -> None:
    """Take the arrays out of a pickle."""
    parser = Parser(
        "data convert",
        "Write the arrays of a pickle into an npz file, which every command takes as --data. The pickle is not run:\n"
        "those of its instructions that make numpy arrays of numbers are understood, and one that asks for anything\n"
        "else is refused. A dictionary with train, test and, if there are any, train_labels and test_labels becomes a\n"
        "data set with these splits; lists of numbers or words become arrays, and what else is left out is named.",
        examples=["nextpixel data convert shapes.pkl -o shapes.npz", "nextpixel data show shapes.npz"],
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a pickle of arrays")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="the npz file")
    options = parser.parse_args(arguments)

    out = place(options.out, ".npz")
    if options.file.exists() and not options.file.is_file():  # a pipe would be waited for
        raise BadInput(f"{options.file} is not a file.")
    arrays, left = convert_pickle(options.file, out)
    for name, array in arrays.items():
        print(f"{name}: {array.dtype} values of shape {array.shape}")
    for name in left:
        print(f"{name}: left out, neither an array nor a list of numbers or words")
    print(out)


def _rows(split: Split, count: int) -> dict[int, np.ndarray] | None:
    """The first images of each class, equally many, about `count` in all; None without labels."""
    if split.labels is None:
        return None
    classes = np.unique(split.labels)[: min(MOST_CLASSES, count)]
    every = {int(label): np.flatnonzero(split.labels == label) for label in classes}
    each = min(max(1, count // len(classes)), *(len(found) for found in every.values()))
    return {label: found[:each] for label, found in every.items()}


def _with_labels(picture: Image.Image, labels: list[str]) -> Image.Image:
    """A picture with a column on its left that names its rows, which are equally high."""
    font = ImageFont.load_default(16)
    margin = 12 + max(int(font.getlength(label)) for label in labels)
    sheet = Image.new("RGB", (margin + picture.width, picture.height), _PAPER)
    sheet.paste(picture, (margin, 0))
    draw = ImageDraw.Draw(sheet)
    for row, label in enumerate(labels):
        draw.text((margin / 2, (row + 0.5) * picture.height / len(labels)), label, _INK, font, anchor="mm")
    return sheet
