"""What commands are given: a parser each, before anything heavy is imported; what is wrong with it is one sentence.

What they take stands in commands.yaml. Only `train` has settings that are signatures of the library; its module makes
the parser of those (see `cli.train`).
"""

import argparse
import contextlib
import difflib
import importlib
import math
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from nextpixel.errors import BadInput, unknown
from nextpixel.shipped import FILE

PICTURES = (".png", ".jpg", ".jpeg", ".webp")

Option = tuple[list[str], dict[str, Any]]  # its names, and what `add_argument` is told of it


class Parser(argparse.ArgumentParser):
    """A command's options; what is wrong with them is one sentence."""

    def takes(self, option: str) -> bool:
        return option in self._option_string_actions

    def error(self, message: str) -> NoReturn:
        unknown = re.match("unrecognized arguments: (--[a-z-]+)", message)
        close = difflib.get_close_matches(unknown[1], self._option_string_actions, 1, 0.8) if unknown else []
        hint = f"did you mean {close[0]}? See" if close else "see"
        raise BadInput(f"{message[:1].upper()}{message[1:]}; {hint} {self.prog} --help.")


def imported(name: str) -> None:
    """Import a module of the user's, from this folder or an installed package."""
    sys.path.insert(0, "")
    try:
        importlib.import_module(name)
    except Exception as error:  # whatever the user's code makes of it
        raise BadInput(f"The module {name!r} cannot be imported ({type(error).__name__}: {error}).") from error


def whole(least: int, most: int = 10**9) -> Callable[[str], int]:
    """Make a reader of whole numbers from `least` to `most`, in plain digits."""

    def read(text: str) -> int:
        value = int(text) if re.fullmatch("[0-9]{1,19}", text) else least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least} and at most {most}")
        return value

    return read


def temperature(text: str) -> float:
    """Read a number above zero; far away from 1, float32 has no room for what is multiplied by it."""
    plain = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?", text, re.ASCII | re.I)
    value = float(text) if plain else math.nan
    if not 1e-6 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, from 1e-6 to 1e6")
    return value


def pixel(text: str) -> tuple[int, int]:
    """Read a row and a column."""
    found = re.fullmatch(r"([0-9]{1,18}),([0-9]{1,18})", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a pixel r,c such as 14,7")
    return int(found[1]), int(found[2])


def _names(text: str) -> dict[str, str]:
    """Read a dictionary of names, as YAML has it."""
    with contextlib.suppress(yaml.YAMLError):
        found = yaml.safe_load(text)
        if isinstance(found, dict) and all(isinstance(word, str) for pair in found.items() for word in pair):
            return found
    raise argparse.ArgumentTypeError(f"{text!r} are no names such as '{{image: img}}'")


TYPES: dict[str, Callable[[str], object]] = {
    "float": float,
    "int": int,
    "names": _names,
    "path": Path,
    "pixel": pixel,
    "seed": whole(0, 2**63 - 1),
    "temperature": temperature,
}


def options(takes: Sequence[Any]) -> Iterator[Option]:
    """What a command takes, as commands.yaml says it: options, and lists of them."""
    for each in takes:
        if isinstance(each, list):
            yield from options(each)
            continue
        ((names, settings),) = each.items()
        *first, last = names.split()
        if first and not last.startswith("-"):
            settings = {**settings, "metavar": last}
        if (kind := settings.get("type")) is not None:
            limits = [int(limit) for limit in kind.split()[1:]]
            settings = {**settings, "type": whole(*limits) if limits else TYPES[kind]}
        yield first if "metavar" in settings else names.split(), settings


def _parser(words: str, about: str, examples: Sequence[str], takes: Sequence[Any], usage: str | None = None) -> Parser:
    """The parser of a command; the first line of what it does stands alone in the list of all verbs."""
    parser = Parser(
        prog=f"nextpixel {words}",
        usage=usage,
        description=about,
        epilog="\n  ".join(["examples:", *examples]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(kind=words.partition(" ")[2])
    for names, settings in options(takes):
        if (default := settings.get("default")) is not None:
            shown = " ".join(default) if isinstance(default, list) else default
            settings = {**settings, "help": f"{settings.get('help', '')} (default: {shown})"}
        parser.add_argument(*names, **settings)
    return parser


_TEXT = Path(__file__).with_name("commands.yaml").read_text("utf-8")
COMMANDS: dict[str, Any] = yaml.load(_TEXT, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # the former is in C
del COMMANDS["shared"]
PARSERS = {words: _parser(words, **command) for words, command in COMMANDS.items()}  # of each command, by its words


def parse(words: Sequence[str]) -> Namespace:
    """The options of a command line that begins with a verb of `PARSERS`."""
    asked = _parsed(*words)
    if module := vars(asked).get("import"):
        imported(module)
    asked.typed = {word.partition("=")[0] for word in words}
    for name, value in vars(asked).items():
        if (
            name != "out"
            and isinstance(value, str | Path)
            and (name in ("source", "data", "outside", "name") or Path(value).is_file())
        ):
            keep(asked, Path(value))
    for name in ("model.safetensors", "last.safetensors", "state.safetensors", "") if "model" in asked else ():
        keep(asked, Path(asked.model, name))
    return asked


def keep(asked: Namespace, place: Path) -> None:
    """Refuse an output that is a file to be read, or a picture in a folder of images to be read."""
    outs = vars(asked).get("out") or []
    for out in map(Path, outs if isinstance(outs, list) else [outs]):
        if not out.is_file():
            continue
        below = place.is_dir() and place.resolve() in out.resolve().parents and out.suffix.lower() in PICTURES
        if (place.is_file() and out.samefile(place)) or (below and not (place / FILE).exists()):
            raise BadInput(f"The output {out} is what the command reads, and would be lost; give another name.")


def _parsed(verb: str, *rest: str) -> Namespace:
    if rest and (command := f"{verb} {rest[0]}") in PARSERS:
        return PARSERS[command].parse_args(rest[1:])
    if verb == "plot" and rest and not rest[0].startswith("-"):
        raise unknown("plot", rest[0], [words.removeprefix("plot ") for words in PARSERS if words.startswith("plot ")])
    if verb == "data" and rest and not rest[0].startswith("-"):
        raise BadInput(f"Unrecognized arguments: {rest[0]}; did you mean nextpixel data show {rest[0]}?")
    return PARSERS[verb].parse_intermixed_args(rest)  # IMAGES may stand behind options
