"""`nextpixel completion`: what a shell must know to complete the command line."""

from argparse import Namespace

from nextpixel.cli.parsers import PARSERS, Parser
from nextpixel.errors import needs


def main(options: Namespace) -> None:
    """Print the script of a shell."""
    with needs("shtab", "completion", "completion"):
        import shtab
    every = Parser(prog="nextpixel", description="")
    parts = {"": every.add_subparsers()}
    parts["plot"] = parts[""].add_parser("plot", help="figures").add_subparsers()
    for words in (words for words in PARSERS if words != "plot"):
        verb, _, kind = words.rpartition(" ")
        about = str(PARSERS[words].description).splitlines()[0]
        parent = parts[verb] if verb in parts else parts[""]
        made = parent.add_parser(kind, parents=[PARSERS[words]], add_help=False, help=about)
        if verb == "" and any(other.startswith(f"{words} ") for other in PARSERS):
            parts[words] = made.add_subparsers()
    print(shtab.complete(every, shell=options.shell))
