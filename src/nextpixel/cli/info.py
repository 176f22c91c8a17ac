"""`nextpixel info`: what a container says of itself, without a model."""

from argparse import Namespace

from nextpixel.codec import Block, parsed
from nextpixel.errors import BadInput


def main(options: Namespace) -> None:
    """Print it, damage included."""
    if not options.file.is_file():
        raise BadInput(f"There is no file {options.file}.")
    data = options.file.read_bytes()
    model, count, blocks = parsed(data)
    print(f"{options.file}: {count:,} images, {len(data):,} bytes, by the exact model {model.hex()}")
    for number, block in enumerate(blocks):
        whole = f"{block.images:,} images, {len(block.stream):,} bytes" if isinstance(block, Block) else block
        print(f"  block {number}: {whole}")
