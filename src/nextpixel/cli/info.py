"""`nextpixel info`: what a container says of itself, without a model."""

from argparse import Namespace

from nextpixel.codec import LIST, PNG, parsed
from nextpixel.errors import BadInput


def main(options: Namespace) -> None:
    """Print it, damage included."""
    if not options.file.is_file():
        raise BadInput(f"There is no file {options.file}.")
    data = options.file.read_bytes()
    model, count, blocks = parsed(data)
    print(f"{options.file}: {count:,} images, {len(data):,} bytes, by the exact model {model.hex()}")
    for block in blocks:
        if isinstance(block, str):
            print(f"  damaged: {block}")
        else:
            what = "the list of pictures" if block.kind == LIST else f"images from {block.first:,} on"
            print(f"  {what}: {len(block.content):,} bytes{', as PNG' if block.kind == PNG else ''}")
