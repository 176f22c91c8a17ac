"""`nextpixel models`: what can be trained."""

import inspect
from collections.abc import Mapping

import nextpixel as npx
from nextpixel.autoregressive import Backbone
from nextpixel.cli.common import Parser
from nextpixel.likelihoods import LIKELIHOODS, Likelihood
from nextpixel.models import settings_of


def main(arguments: list[str]) -> None:
    """Print each model and each likelihood with a line about it and its settings."""
    parser = Parser(
        "models", "List the models, the likelihoods, and the settings of each.", examples=["nextpixel models"]
    )
    parser.parse_args(arguments)
    print("models")
    _list(npx.MODELS)
    print("likelihoods")
    _list(LIKELIHOODS)


def _list(parts: Mapping[str, type[Backbone | npx.PixelVAE | Likelihood]]) -> None:
    for name, part in parts.items():
        print(f"  {name}")
        print(f"    {inspect.cleandoc(part.__doc__ or '').splitlines()[0]}")
        parameters = inspect.signature(part).parameters
        for setting in settings_of(part):
            print(f"      {setting} = {parameters[setting].default}")
