"""The models, by name: one file a paper."""

import difflib
import inspect
from dataclasses import asdict
from typing import Any

from nextpixel.autoregressive import Autoregressive, Backbone
from nextpixel.errors import BadInput
from nextpixel.likelihoods import LIKELIHOODS
from nextpixel.models.gated_pixelcnn import GatedPixelCNN
from nextpixel.models.pixelcnn import PixelCNN
from nextpixel.models.pixelrnn import DiagonalBiLSTM, RowLSTM
from nextpixel.models.residual_pixelcnn import ResidualPixelCNN
from nextpixel.nn.context import Context, describe
from nextpixel.spec import ImageSpec

MODELS: dict[str, type[Backbone]] = {
    "pixelcnn": PixelCNN,
    "residual_pixelcnn": ResidualPixelCNN,
    "gated_pixelcnn": GatedPixelCNN,
    "row_lstm": RowLSTM,
    "diagonal_bilstm": DiagonalBiLSTM,
}


def build(
    name: str,
    spec: ImageSpec,
    likelihood: str = "categorical",
    context: Context | None = None,
    **arguments: Any,
) -> Autoregressive:
    """Make a model with fresh weights.

    Args:
        name: of the model, a key of `MODELS`.
        spec: the images that it is about.
        likelihood: "bernoulli" or "categorical".
        context: what images are conditioned on: `ClassLabel`, `Vector`, `Map`, or `Both` of two.
        arguments: of the model's constructor; its defaults are the paper's.

    Raises:
        BadInput: an unknown name or argument, or a value that the model cannot have.

    Example:
        >>> import nextpixel as npx
        >>> spec = npx.ImageSpec(channels=3, height=8, width=8, levels=4)
        >>> model = npx.build("gated_pixelcnn", spec, context=npx.ClassLabel(10), filters=12, blocks=1)
        >>> model.sample(2, context=7).shape
        torch.Size([2, 3, 8, 8])
    """
    backbone = _named(name, MODELS, "model")
    meaning = _named(likelihood, LIKELIHOODS, "likelihood")()
    if context is not None and not isinstance(context, Context):
        raise BadInput(f"The context must be a Context such as ClassLabel(10), not {context!r}.")
    settings = inspect.signature(backbone.__init__).parameters
    known = [key for key, setting in settings.items() if setting.kind is inspect.Parameter.KEYWORD_ONLY]
    for key in arguments:
        if key not in known:
            raise BadInput(f"{name} has no setting {key!r}; it has {', '.join(known)}.")
    network = backbone(spec, meaning.parameters(spec), 0 if context is None else context.features, **arguments)
    recipe = {
        "name": name,
        "spec": asdict(spec),
        "likelihood": likelihood,
        "context": describe(context),
        "arguments": arguments,
    }
    return Autoregressive(spec, network, meaning, context, recipe=recipe)


def _named(name: str, table: dict[str, Any], what: str) -> Any:
    if name not in table:
        close = difflib.get_close_matches(str(name), table, 1)
        hint = f"did you mean {close[0]}?" if close else f"the choice is {', '.join(table)}."
        raise BadInput(f"There is no {what} {name!r}; {hint}")
    return table[name]
