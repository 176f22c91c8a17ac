"""`nextpixel push`: a model with its card, put on the Hugging Face Hub."""

from argparse import Namespace

from nextpixel.shipped import push


def main(options: Namespace) -> None:
    """Put the folder there, and say where it is."""
    print(f"{options.folder} is at {push(options.folder, options.name, private=options.private)}.")
