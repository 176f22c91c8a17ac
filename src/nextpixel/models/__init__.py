"""The models, by name: one file a paper."""

import inspect
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, overload

from nextpixel.autoregressive import Autoregressive, Backbone
from nextpixel.errors import BadInput, closest
from nextpixel.likelihoods import LIKELIHOODS, Likelihood
from nextpixel.model import Model
from nextpixel.models.gated_pixelcnn import GatedPixelCNN
from nextpixel.models.pixelcnn import PixelCNN
from nextpixel.models.pixelcnnpp import PixelCNNpp
from nextpixel.models.pixelrnn import DiagonalBiLSTM, RowLSTM
from nextpixel.models.pixelsnail import PixelSNAIL
from nextpixel.models.pixelvae import PixelVAE
from nextpixel.models.residual_pixelcnn import ResidualPixelCNN
from nextpixel.nn.context import Context, describe
from nextpixel.spec import ImageSpec

MODELS: dict[str, type[Backbone | PixelVAE]] = {
    "pixelcnn": PixelCNN,
    "residual_pixelcnn": ResidualPixelCNN,
    "gated_pixelcnn": GatedPixelCNN,
    "row_lstm": RowLSTM,
    "diagonal_bilstm": DiagonalBiLSTM,
    "pixelcnnpp": PixelCNNpp,
    "pixelsnail": PixelSNAIL,
    "pixelvae": PixelVAE,
}


@overload
def build(  # pyright: ignore[reportOverlappingOverload]
    name: Literal["pixelvae"],
    spec: ImageSpec,
    likelihood: str = "categorical",
    context: Context | None = None,
    **arguments: Any,
) -> PixelVAE: ...
@overload
def build(
    name: str,
    spec: ImageSpec,
    likelihood: str = "categorical",
    context: Context | None = None,
    **arguments: Any,
) -> Autoregressive: ...


def build(
    name: str,
    spec: ImageSpec,
    likelihood: str = "categorical",
    context: Context | None = None,
    **arguments: Any,
) -> Model:
    """Make a model with fresh weights: an `Autoregressive`, or a `PixelVAE`.

    Args:
        name: of the model, a key of `MODELS`.
        spec: the images that it is about.
        likelihood: "bernoulli", "categorical" or "logistic_mixture".
        context: what images are conditioned on: `ClassLabel`, `Vector`, `Latent`, `Map`, or `Both` of two.
        arguments: of the model's constructor, whose defaults are the paper's, and of the likelihood's.

    Raises:
        BadInput: an unknown name or argument, or a value that the model cannot have.

    Example:
        >>> import nextpixel as npx
        >>> spec = npx.ImageSpec(channels=3, height=8, width=8, levels=4)
        >>> model = npx.build("gated_pixelcnn", spec, context=npx.ClassLabel(10), filters=12, blocks=1)
        >>> model.sample(2, context=7).shape
        torch.Size([2, 3, 8, 8])
    """
    kind = named(name, MODELS, "model")
    meaning = named(likelihood, LIKELIHOODS, "likelihood")
    if context is not None and not isinstance(context, Context):
        raise BadInput(f"The context must be a Context such as ClassLabel(10), not {context!r}.")
    own, its = settings_of(kind), settings_of(meaning)
    for key in arguments:
        if key not in own + its:
            raise BadInput(f"{name} has no setting {key!r}; it has {', '.join(own + its)}.")
    outputs = meaning(spec, **{key: value for key, value in arguments.items() if key in its})
    made = kind(
        spec,
        outputs,
        0 if context is None else context.features,
        **{key: value for key, value in arguments.items() if key in own},
    )
    recipe = {
        "name": name,
        "spec": asdict(spec),
        "likelihood": likelihood,
        "context": describe(context),
        "arguments": arguments,
    }
    if isinstance(made, Backbone):
        return Autoregressive(spec, made, outputs, context, recipe=recipe)
    made.recipe = recipe
    return made


def settings_of(part: type[Backbone | PixelVAE | Likelihood]) -> list[str]:
    """The settings of a model or a likelihood: the keyword-only arguments of its constructor."""
    parameters = inspect.signature(part.__init__).parameters.items()
    return [key for key, parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]


def named(name: str, table: Mapping[str, Any], what: str) -> Any:
    """What a table holds under a name; `what` is said of one that it does not hold."""
    if name not in table:
        close = closest(name, table)
        choice = f"the choice is {', '.join(table)}." if len(table) < 20 else f"nextpixel {what}s lists what there is."
        hint = f"did you mean {close}?" if close else choice
        raise BadInput(f"There is no {what} {name!r}; {hint}")
    return table[name]
