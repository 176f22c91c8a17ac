"""`nextpixel data`: the data sets that have names."""

from nextpixel.cli.common import Parser
from nextpixel.data import CATALOGUE


def main(arguments: list[str]) -> None:
    """Print each named data set with its images, its sizes and where it comes from."""
    parser = Parser(
        "data",
        "List the data sets that have names; any folder of images, npz or npy file is one too.",
        examples=["nextpixel data"],
    )
    parser.parse_args(arguments)
    for name, row in CATALOGUE.items():
        train, validation, test = (f"{size:,}" for size in row.sizes)
        classes = f"{row.classes} classes" if row.classes else "no classes"
        print(name)
        print(f"  {row.description}")
        print(f"  {row.spec}, {classes}; {train} train, {validation} validation, {test} test images; {row.source}")
