"""`nextpixel recipes`: those that come with the package, to train by name, or to copy and edit."""

import re
from argparse import Namespace
from pathlib import Path

from nextpixel.cli.common import place
from nextpixel.data import CATALOGUE
from nextpixel.errors import BadInput
from nextpixel.models import named

FOLDER = Path(__file__).resolve().parents[1] / "recipes"


def main(options: Namespace) -> None:
    """List the recipes, print one, or copy one."""
    if (options.action == "list") != (options.name is None):
        wanted = f"{options.action} takes {'a' if options.name is None else 'no'} NAME"
        raise BadInput(f"{wanted[:1].upper()}{wanted[1:]}; see nextpixel recipes --help.")
    if options.action == "list":
        for name, path in recipes().items():
            told = re.findall(r"\A# .*|^# (?:Cost|Measured): .*", path.read_text("utf-8"), re.MULTILINE)
            print(name, *(line.removeprefix("# ") for line in told), sep="\n  ")
        return
    text = named(options.name, recipes(), "recipe").read_text("utf-8")
    if options.action == "show":
        print(text, end="")
    elif (out := place(options.out or f"{options.name}.yaml", ".yaml", ".yml")).exists():
        raise BadInput(f"{out} is there already; name another file with -o.")
    else:
        out.write_text(text, "utf-8")
        print(f"{out} is a recipe to edit; nextpixel train {out} trains by it.")


def find(text: str) -> Path:
    """What `nextpixel train` is given: a file or folder that is there, else a recipe by name, or as a clone has it."""
    path = Path(text)
    known = path.exists() or text in recipes()
    if (text in CATALOGUE and not known) or (path.is_dir() and not (path / "config.yaml").exists()):
        raise BadInput(
            f"There is no recipe {path}; to train on these data say how long: nextpixel train {text} --minutes 20."
        )
    return path if path.exists() else named(re.sub(r"^recipes/(.+)\.yaml$", r"\1", text), recipes(), "recipe")


def recipes() -> dict[str, Path]:
    """The recipes of the package by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"), key=lambda path: path.stem)}
