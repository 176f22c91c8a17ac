"""`nextpixel train`: a recipe becomes a run folder.

Constructors are the schema: a recipe's `model` has the arguments of the model's constructor, `data` those of
`open_data`, and `training` the fields of `Training`. What a signature says is what is accepted.
"""

import difflib
import re
from argparse import ArgumentError, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

import nextpixel as npx
from nextpixel.cli.common import device
from nextpixel.cli.recipes import find
from nextpixel.data import CATALOGUE, open_data
from nextpixel.errors import BadInput
from nextpixel.likelihoods import LIKELIHOODS, Categorical
from nextpixel.models import named, settings_of
from nextpixel.pairing import context_of
from nextpixel.training.loop import train
from nextpixel.training.settings import Training

SECTIONS = ("model", "data", "training")
EXAMPLES = """examples:
  nextpixel train digits
  nextpixel train mnist-binary --out runs/small --model.filters 32 --training.max_minutes 10
  nextpixel train runs/digits --resume --training.epochs 40
  nextpixel train digits --help    (with the settings of that recipe's model)
"""
RECIPE = "a recipe's name (see nextpixel recipes), also where a data set has it, or a file; to resume, a run folder"
KINDS = {
    "<class 'int'>": "a whole number",
    "<class 'float'>": "a number",
    "<class 'bool'>": "true or false",
    "<class 'str'>": "a text",
    "<class 'NoneType'>": "null",
}


def main(arguments: list[str]) -> None:
    """Train, or go on training, and say where the run is."""
    if not arguments or arguments[0] in ("-h", "--help"):
        parser = _parser("gated_pixelcnn", "categorical")
        parser.print_help()
        raise SystemExit(0 if arguments else 2)
    if arguments[0].startswith("-"):
        raise BadInput(f"The recipe comes first, before {arguments[0]}: nextpixel train RECIPE {arguments[0]} ….")
    source = find(arguments[0])
    settings = _settings(source, arguments)
    if settings.resume and (settings.out is not None or not source.is_dir()):
        raise BadInput(
            f"To resume, give the run folder alone: nextpixel train RUN_FOLDER --resume, not {arguments[0]}."
        )
    if source.is_dir() and not settings.resume:
        raise BadInput(f"{source} is a run folder; give a recipe, or add --resume to go on with the run.")
    if (own := Path(settings.data.name).expanduser()).suffix and not own.exists():
        raise BadInput(f"There is no file or folder {own}; say where your own data is with --data.name PATH.")
    out = source if settings.resume else Path(settings.out or Path("runs") / source.stem)

    chosen, training = settings.model.as_dict(), Training(**settings.training.as_dict())
    where = device(settings.device)
    data = open_data(**settings.data.as_dict())
    torch.manual_seed(training.seed)  # the first weights
    model = npx.build(
        chosen.pop("name"), data.spec, chosen.pop("likelihood"), context_of(chosen.pop("context"), data), **chosen
    )
    config = {name: settings[name].as_dict() for name in SECTIONS}
    config["training"]["betas"] = list(training.betas)  # YAML has no tuples
    for key in ("name", "root"):  # a run works from any folder
        if (path := config["data"][key]) is not None and path not in CATALOGUE:
            config["data"][key] = str(Path(path).expanduser().absolute())
    train(model, data, out=out, settings=training, resume=settings.resume, config=config, device=where.type)
    print(f"The run is in {out}; its best model is {out / 'model.safetensors'}.")


class _Parser(ArgumentParser):
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise ArgumentError(None, message)


class _Format(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the lines of the examples."""


def _parser(name: str, likelihood: str) -> ArgumentParser:
    """The parser of recipes for the model and the likelihood of those names."""
    model = named(name, npx.MODELS, "model")
    parser = _Parser(
        prog="nextpixel train",
        usage="nextpixel train RECIPE [options]",
        description="Train a model from a recipe, or go on with a run.",
        epilog=EXAMPLES,
        formatter_class=_Format,
        exit_on_error=False,
        default_env=False,
    )
    parser.add_argument("recipe", metavar="RECIPE", help=RECIPE)
    parser.add_argument("--out", metavar="DIR", help="the run folder, new or empty (default: runs/ and RECIPE's name)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in the folder RECIPE")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--data-root", metavar="DIR", help="the same as --data.root")
    parser.add_argument("--seed", type=int | None, help="the same as --training.seed")
    parser.add_argument("--model.name", default=name, help=f"one of {', '.join(npx.MODELS)}")
    parser.add_argument("--model.likelihood", default="categorical", help=f"one of {', '.join(LIKELIHOODS)}")
    parser.add_argument(
        "--model.context",
        type=Literal["none", "label", "map", "label+map"],
        default="none",
        help="label: images are given their class; map: the map beside each; label+map: both",
    )
    parser.add_class_arguments(model, "model", skip={"spec", "likelihood", "context"})
    if settings_of(LIKELIHOODS.get(likelihood, Categorical)):
        parser.add_class_arguments(LIKELIHOODS[likelihood], "model", as_group=False, skip={"spec"})
    parser.add_function_arguments(open_data, "data")
    parser.add_class_arguments(Training, "training")
    return parser


def _settings(source: Path, arguments: list[str]) -> Namespace:
    """The recipe with the overrides of the command line."""
    wants_help = "-h" in arguments or "--help" in arguments
    recipe = _read(source / "config.yaml" if source.is_dir() else source)
    name = _override(arguments, "--model.name") or recipe["model"].get("name")
    if name is None:
        raise BadInput(f"{source} does not say model.name; there is {', '.join(npx.MODELS)}.")
    likelihood = _override(arguments, "--model.likelihood") or recipe["model"].get("likelihood", "categorical")
    parser = _parser(name, likelihood)
    if wants_help:
        parser.print_help()
        raise SystemExit(0)
    try:
        settings = parser.parse_object({**recipe, "recipe": str(source)})
        settings = parser.parse_args(arguments, namespace=settings)
    except ArgumentError as error:
        raise BadInput(_sentence(error.message, parser)) from error
    if settings.data_root is not None:
        settings.data.root = settings.data_root
    if settings.seed is not None:
        settings.training.seed = settings.seed
    return settings


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The three sections of a recipe."""
    if not path.is_file():
        raise BadInput(f"There is no recipe {path}.")
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        raise BadInput(f"{path} is not YAML{'' if line is None else f', see line {line + 1}'}.") from error
    if not isinstance(recipe, dict):
        raise BadInput(f"{path} is not a recipe: it has no sections {', '.join(SECTIONS)}.")
    for name, section in recipe.items():
        if name not in SECTIONS:
            raise BadInput(f"{path} has a section {name!r}; a recipe has {', '.join(SECTIONS)}.")
        if not isinstance(section, dict | None):
            raise BadInput(f"The section {name} of {path} must have settings, not {section!r}.")
    return {name: recipe.get(name) or {} for name in SECTIONS}


def _override(arguments: list[str], option: str) -> str | None:
    """What the command line says after an option that must be known before the parser is made."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument == option:
            return following
        if argument.startswith(f"{option}="):
            return argument.partition("=")[2]
    return None


def _sentence(message: str, parser: ArgumentParser) -> str:
    """Say in one sentence what jsonargparse says in several lines."""
    text = " ".join(message.split())
    if wrong := re.match(r'Parser key "([\w.]+)".*(?:Got value|Given value): (.*)', text):
        kinds = (str(kind) for kind in re.findall(r"Expected (?:an? )?(.+?)(?: -|\. Got| Given|$)", text))
        wanted = dict.fromkeys(_called(kind) for kind in kinds)
        return f"{wrong[1]} must be {' or '.join(wanted)}, not {wrong[2]}."
    if unknown := re.match(r"Group '(\w+)' does not accept option '([\w.-]+)'", text):
        return f"There is no setting {unknown[1]}.{unknown[2]}{_hint(f'{unknown[1]}.{unknown[2]}', parser)}"
    if unknown := re.match(r"unrecognized arguments: --([\w.-]+)", text):
        return f"There is no setting {unknown[1]}{_hint(unknown[1], parser)}"
    if missing := re.match(r"the following arguments are required: (.*)", text):
        return f"The recipe does not say {missing[1]}."
    return f"{text[:1].upper()}{text[1:].rstrip('.')}; see nextpixel train --help."


def _called(kind: str) -> str:
    """How jsonargparse's name of a type is called in a sentence."""
    if choices := re.fullmatch(r"typing\.Literal\[(.*)\]", kind):
        return "one of " + choices[1].replace("'", "")
    return KINDS.get(kind, f"a {kind}")


def _hint(unknown: str, parser: ArgumentParser) -> str:
    known = [key for key in parser.get_defaults().keys() if "." in key]  # noqa: SIM118 (not a dict)
    close = [key for key in known if key.endswith(f".{unknown}")] or difflib.get_close_matches(
        unknown, known, cutoff=0.8
    )
    return f"; did you mean {close[0]}?" if close else "."
