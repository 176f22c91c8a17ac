"""`nextpixel import`: models that other programs trained."""

from argparse import Namespace

import nextpixel as npx
from nextpixel.port import IMPORTERS


def main(options: Namespace) -> None:
    """Write a model of ours with the weights of another program's."""
    model = IMPORTERS[options.name](options.file, height=options.height, width=options.width)
    npx.save(model, options.out)
    count = sum(weight.numel() for weight in model.parameters())
    print(f"{options.out} holds a {options.name} of {count:,} weights, for images {model.spec}.")
