"""`nextpixel sample`: new images."""

import math

import torch
from torch import Tensor

import nextpixel as npx
from nextpixel import pictures
from nextpixel.cli.common import Parser, classes_of, device, pieces, place, whole, with_bar, write_arrays

EXAMPLES = (
    "nextpixel sample runs/digits -n 64",
    "nextpixel sample runs/digits -n 100 --label all --out every-class.png",
    "nextpixel sample model.safetensors -n 1000 --label 3 --temperature 0.9 --out threes.npz threes.png",
)


def main(arguments: list[str]) -> None:
    """Draw images and write them as a grid or as arrays."""
    parser = Parser("sample", "Draw new images.", examples=EXAMPLES)
    parser.add_model()
    parser.add_argument("-n", "--images", type=whole(1), default=64, metavar="N", help="how many (default: 64)")
    parser.add_argument(
        "--label", help="a class, or all: equal numbers of each, a row a class, N rounded up (default: all)"
    )
    parser.add_drawing()
    parser.add_argument(
        "--out", nargs="+", default=["samples.png"], metavar="FILE", help=".png and .npz files (default: samples.png)"
    )
    options = parser.parse_args(arguments)

    out = [place(text, ".png", ".npz") for text in options.out]
    model = npx.load(options.model, device=device(options.device))
    labels = _labels(model, options.label, options.images)
    count = options.images if labels is None else len(labels)
    images = torch.cat(
        [
            model.sample(
                piece.stop - piece.start,
                None if labels is None else labels[piece],
                seed=options.seed,
                temperature=options.temperature,
                first=piece.start,
            ).cpu()
            for piece in with_bar(pieces(count), "sampling")
        ]
    )
    columns = _row_of_a_class(labels)
    for path in out:
        if path.suffix.lower() == ".png":
            pictures.write(pictures.grid(images, model.spec.levels, columns=columns), path)
        else:
            write_arrays(path, images=images, labels=labels, levels=model.spec.levels)
        print(f"{count} images: {path}")


def _labels(model: npx.Model, label: str | None, count: int) -> Tensor | None:
    """A label for each image, or None for a model without."""
    context = classes_of(model, label)
    if context is None:
        return None
    if label is None or label == "all":
        return torch.arange(context.classes).repeat_interleave(math.ceil(count / context.classes))
    return torch.full((count,), int(label))


def _row_of_a_class(labels: Tensor | None) -> int | None:
    if labels is None or labels[0] == labels[-1]:
        return None
    return int((labels == labels[0]).sum())
