"""`nextpixel completion`: what a shell must know to complete the command line."""

from argparse import Namespace

from nextpixel.cli.parsers import PARSERS, Parser
from nextpixel.errors import needs


def completion(options: Namespace) -> None:
    """Print the script of a shell."""
    with needs("shtab", "completion", "completion"):
        import shtab
    every = Parser(prog="nextpixel", description="")
    parts = {"": every.add_subparsers()}
    for words in sorted(PARSERS, key=str.split):  # each verb before its kinds
        verb, _, kind = words.rpartition(" ")
        about, more = str(PARSERS[words].description).splitlines()[0], [PARSERS[words]] if words != "plot" else []
        made = parts[verb].add_parser(kind, parents=more, add_help=not more, help=about)
        if any(other.startswith(f"{words} ") for other in PARSERS):
            parts[words] = made.add_subparsers()
    print(shtab.complete(every, shell=options.shell))
