"""Training that begins with the weights of a trained model."""

from dataclasses import asdict
from typing import Any

from nextpixel.checkpoint import load
from nextpixel.errors import BadInput
from nextpixel.files import home
from nextpixel.likelihoods import LIKELIHOODS
from nextpixel.model import Model
from nextpixel.models import kind_of, named, settings_of
from nextpixel.nn.context import ClassLabel
from nextpixel.pairing import part_of


def start_from(path: str, model: Model) -> None:
    """Give a model the weights of a trained one of the same settings; dropout and the names of classes may differ.

    Raises:
        BadInput: there is no such file, or it holds another network.
    """
    its = load(home(path))
    if not model.recipe:
        raise BadInput("training.start needs a model that npx.build made, whose settings can be compared.")
    there = _settings(its)
    for key, wanted in _settings(model).items():
        if (found := there.get(key)) != wanted:
            told = f"training.start {path} is a model whose {key} is {found}, but that to train has {wanted}"
            raise BadInput(f"{told}; take the recipe that it was trained with, or another model.")
    model.load_state_dict(its.state_dict())


def _settings(model: Model) -> dict[str, Any]:
    """What two networks share where the weights of one mean the same in the other."""
    recipe, context = model.recipe, str(model.context)
    if classes := part_of(model.context, ClassLabel):
        context = context.replace(f"names={classes.names}", "names=…")
    about = {"name": recipe["name"], "context": context, "likelihood": recipe["likelihood"]}
    about |= {"arithmetic": "exact" if "exact" in recipe else "float", "orders": 1, **asdict(model.spec)}
    for part in (kind_of(recipe["name"]), named(recipe["likelihood"], LIKELIHOODS, "likelihood")):
        about |= {key: its.default for key, its in settings_of(part).items()}
    return {key: value for key, value in (about | recipe["arguments"]).items() if key != "dropout"}
