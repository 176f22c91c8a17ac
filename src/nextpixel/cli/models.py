"""`nextpixel models`: what can be trained."""

import inspect
import re
from argparse import Namespace
from collections.abc import Mapping

import nextpixel as npx
from nextpixel import shipped
from nextpixel.likelihoods import LIKELIHOODS, Likelihood
from nextpixel.models import named, settings_of
from nextpixel.unroll import Backbone

Part = type[Backbone | npx.PixelVAE | Likelihood]


def main(options: Namespace) -> None:
    """Print each model and each likelihood with a line about it and its settings, or all that there is about one."""
    name = options.name
    if name in shipped.names():
        print((shipped.FOLDER / name / shipped.CARD).read_text("utf-8").partition("---\n# ")[2])
    elif name is not None:
        _tell(name, named(name, {**npx.MODELS, **LIKELIHOODS}, "model"))
    else:
        if shipped.names():
            print("trained models that come with the package")
            for name, found in ((name, shipped.about(name)) for name in shipped.names()):
                size = (shipped.FOLDER / name / shipped.FILE).stat().st_size / 1e6
                figures = f"{found['figures']['bits_per_dim']:.3f} bits per dimension"
                print(f"  {name}\n    {found['recipe']['name']} of {found['data']}, {size:.1f} MB, {figures}")
        print("models; nextpixel models NAME says more of each, and what its settings mean")
        _list(npx.MODELS)
        print("likelihoods")
        _list(LIKELIHOODS)


def _list(parts: Mapping[str, Part]) -> None:
    for name, part in parts.items():
        print(f"  {name}")
        about = inspect.cleandoc(part.__doc__ or "").splitlines()[0]
        print("    " + re.sub(r" \[1.*?\]", "", about))  # its sources stand in what `_tell` prints
        for setting in settings_of(part):
            print(f"      {_with_default(part, setting)}")


def _tell(name: str, part: Part) -> None:
    text = inspect.cleandoc(part.__doc__ or "").partition("\n\nExample")[0].replace("\nArgs:\n", "\nSettings:\n")
    for setting in settings_of(part):  # some stand together: `    filters, blocks: …`
        with_default = rf"\1{_with_default(part, setting)}"
        text = re.sub(rf"^(    (?! )(?:[^:\n]+, )?){setting}(?=[,:] )", with_default, text, flags=re.MULTILINE)
    print(name, text, sep="\n\n")


def _with_default(part: Part, setting: str) -> str:
    return f"{setting} = {inspect.signature(part).parameters[setting].default}"
