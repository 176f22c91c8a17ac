"""Training that begins with the weights of a trained model."""

from dataclasses import asdict
from typing import Any

import torch.nn.functional as F

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

    A model of several reading orders may start from one of one: it then reads in each as that does in its own.

    Raises:
        BadInput: there is no such file, or it holds another network.
    """
    its = load(home(path))
    if not model.recipe:
        raise BadInput("training.start needs a model that npx.build made, whose settings can be compared.")
    for key, found, wanted in differences(its, model):
        if (key, found) != ("orders", 1):
            told = f"training.start {path} is a model whose {key} is {found}, but that to train has {wanted}"
            raise BadInput(f"{told}; take the recipe that it was trained with, or another model.")
    weights = its.state_dict()
    for key, fresh in model.state_dict().items():  # orders are the context's last features, and say nothing yet
        old = weights[key] if key in weights else fresh[:, :0]
        if old.shape != fresh.shape:
            weights[key] = F.pad(old, (0, 0, 0, 0, 0, fresh.shape[1] - old.shape[1]))
    model.load_state_dict(weights)


def differences(one: Model, other: Model) -> list[tuple[str, Any, Any]]:
    """Settings with which the weights of one model mean something else in the other, and what both have; of `build`."""
    there, wanted = _settings(one), _settings(other)
    return [(key, there.get(key), value) for key, value in wanted.items() if there.get(key) != value]


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
