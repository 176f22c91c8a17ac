"""Recipes: YAML files of three sections, in which a value has the type that it is written in and nothing is guessed.

Types follow YAML 1.2: `yes`, `1_000` and `010` are texts, `1e-3` is a number. What a recipe has no need of is refused:
keys that stand twice, aliases, tags of Python.
"""

import difflib
import math
import re
from argparse import ArgumentError
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from nextpixel.data import open_data
from nextpixel.data.readers import Options
from nextpixel.errors import BadInput

SECTIONS = ("model", "data", "training")
MOST_BYTES = 2**18  # of a file; the reader of YAML takes a second for so many
MOST_OF_A_MODEL = 2**16  # filters, blocks and the like: a layer of more has more weights than memory
NUMBERS = ("minutes", "seed")  # of the options of `train` that are no settings
KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "NoneType": "null",
    "tuple": "a list",
    "dict": "names with values",
}


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The three sections of a recipe."""
    if not path.is_file():
        raise BadInput(f"There is no recipe {path}.")
    if path.stat().st_size > MOST_BYTES:
        raise BadInput(f"{path} is not a recipe: it has more than {MOST_BYTES:,} bytes.")
    try:
        recipe = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        why = f": {error.problem}" if isinstance(error, _Refused | yaml.constructor.ConstructorError) else ""
        why = ": it is not in UTF-8" if isinstance(error, UnicodeDecodeError) else why
        raise BadInput(f"{path} is not YAML{'' if line is None else f', see line {line + 1}'}{why}.") from error
    if not isinstance(recipe, dict):
        raise BadInput(f"{path} is not a recipe: it has no sections {', '.join(SECTIONS)}.")
    for name, section in recipe.items():
        if name not in SECTIONS:
            raise BadInput(f"{path} has a section {name!r}; a recipe has {', '.join(SECTIONS)}.")
        if not isinstance(section, dict | None):
            raise BadInput(f"The section {name} of {path} must have settings, not {section!r}.")
        if other := next((key for key in section or {} if not isinstance(key, str)), None):
            raise BadInput(f"The section {name} of {path} has a setting {other!r}, which is no name.")
    return {name: recipe.get(name) or {} for name in SECTIONS}


def parse(parser: ArgumentParser, recipe: Mapping[str, Any], arguments: Sequence[str] = ()) -> Namespace:
    """The settings of a recipe with the overrides of a command line, if each is of the type that is asked for."""
    for word in (argument.partition("=")[0] for argument in arguments if argument.startswith("--")):
        if word.removeprefix("--") in SECTIONS:
            raise BadInput(f"{word} is no setting but a section of them; give them one by one, as {word}.NAME VALUE.")
        if word.endswith("+"):
            raise BadInput(f"{word} would add to a setting; give all of it: {word.removesuffix('+')} VALUE.")
    try:
        settings = parser.parse_object(dict(recipe))
        if arguments:
            settings = parser.parse_args(arguments, namespace=settings)
    except ArgumentError as error:
        raise BadInput(_sentence(error.message, parser)) from error
    for name, value in settings.items():
        text = override(arguments, f"--{name}") if "." in name or name in NUMBERS else None  # others are no values
        given = recipe.get(name.partition(".")[0])
        given = given.get(name.partition(".")[2], value) if isinstance(given, dict) else value
        if text is not None:
            given = value if isinstance(value, str) else yaml.load(text, _Loader)
        if not _same(given, value):
            raise BadInput(f"{name} must be {_called(str(type(value)))}, not {given if text is None else text!r}.")
        parts = [*value.values()] if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
        for part in parts:
            most = MOST_OF_A_MODEL if name.startswith("model.") else 2**63 - 1
            if part == "" or (isinstance(part, float) and not math.isfinite(part)):
                wanted = "a finite number" if part else "left out or not empty"
                raise BadInput(f"{name} must be {wanted}, not {part!r}.")
            if isinstance(part, int | float) and not -most <= part <= most:
                raise BadInput(f"{name} must be at most {most}, not {part}.")
    return settings


def check_data(settings: Mapping[str, Any], path: Path) -> None:
    """Refuse what the section `data` of a file says if `open_data` does not know it."""
    parser = ArgumentParser(exit_on_error=False, default_env=False)
    parser.add_function_arguments(open_data, "data")
    try:
        found = parse(parser, {"data": dict(settings)}).data
        Options(**{its.name: found[its.name] for its in fields(Options) if its.name != "like"})
    except BadInput as error:
        raise BadInput(f"{path} cannot be used: {error}") from error


def override(arguments: Sequence[str], option: str) -> str | None:
    """What the command line says last after an option."""
    words = [argument.partition("=") for argument in arguments]
    pairs = zip(words, [*arguments[1:], ""], strict=False)
    found = [value if equals else following for (word, equals, value), following in pairs if word == option]
    return found[-1] if found else None


class _Refused(yaml.MarkedYAMLError):
    """What YAML allows and a recipe has no need of."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012 (those of YAML 1.1; ours follow)

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):  # a few lines of them can stand for any amount of memory
            raise _Refused(problem="it has an alias", problem_mark=self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for place, key in enumerate(keys):
            if isinstance(key, str) and key in keys[:place]:
                raise _Refused(problem=f"{key} stands there twice", problem_mark=node.value[place][0].start_mark)
        return super().construct_mapping(node, deep)


for _tag, _pattern in {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(?:0|[1-9][0-9]{0,999})",
    "float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
}.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), None)


def _same(given: object, value: object) -> bool:
    """Whether a value is what was written, not made of it; a whole number is a number, and YAML has no tuples."""
    if isinstance(given, list | tuple) and isinstance(value, list | tuple):
        return len(given) == len(value) and all(map(_same, given, value))
    return type(given) is type(value) or (type(given) is int and type(value) is float)


def _sentence(message: str, parser: ArgumentParser) -> str:
    """Say in one sentence what jsonargparse says in several lines."""
    text = " ".join(message.split())
    if wrong := re.match(r'Parser key "([\w.]+)".*(?:Got value|Given value): (.*)', text):
        kinds = (str(kind) for kind in re.findall(r"Expected (?:an? )?(.+?)(?: -|\. Got| Given|$)", text))
        wanted = dict.fromkeys(_called(kind) for kind in kinds)
        return f"{wrong[1]} must be {' or '.join(wanted)}, not {wrong[2]}."
    text = re.sub(r"^Group '(\w+)' does not accept option '([\w.-]+)'", r"unrecognized arguments: --\1.\2 ", text)
    if unknown := re.match(r"unrecognized arguments: --([\w.-]+)", text):
        known = [key for key in parser.get_defaults().keys() if "." in key]  # noqa: SIM118 (not a dict)
        same = [key for key in known if key.endswith(f".{unknown[1]}")]
        close = same or difflib.get_close_matches(unknown[1], known, cutoff=0.8)
        return f"There is no setting {unknown[1]}{f'; did you mean {close[0]}?' if close else '.'}"
    if missing := re.match(r"the following arguments are required: (.*)", text):
        return f"The recipe does not say {missing[1]}."
    return f"{text[:1].upper()}{text[1:].rstrip('.')}; see nextpixel train --help."


def _called(kind: str) -> str:
    """How jsonargparse's name of a type is called in a sentence."""
    if choices := re.fullmatch(r"typing\.Literal\[(.*)\]", kind):
        return "one of " + choices[1].replace("'", "")
    kind = kind.removeprefix("<class '").removesuffix("'>")
    return KINDS.get(kind.partition("[")[0], f"a {kind}")
