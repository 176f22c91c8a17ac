"""`nextpixel models`: what can be trained."""

import inspect

import nextpixel as npx
from nextpixel.cli.common import Parser


def main(arguments: list[str]) -> None:
    """Print each model with a line about it and its settings."""
    parser = Parser("models", "List the models and the settings of each.", examples=["nextpixel models"])
    parser.parse_args(arguments)
    for name, backbone in npx.MODELS.items():
        print(name)
        print(f"  {inspect.cleandoc(backbone.__doc__ or '').splitlines()[0]}")
        for setting, parameter in inspect.signature(backbone).parameters.items():
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                print(f"    {setting} = {parameter.default}")
