"""The models, by name: one file a paper."""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, overload

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nextpixel.autoregressive import Autoregressive
from nextpixel.errors import BadInput, plain, unknown, whole
from nextpixel.likelihoods import LIKELIHOODS, Likelihood
from nextpixel.model import Model
from nextpixel.models.gated_pixelcnn import GatedPixelCNN
from nextpixel.models.pixelcnnpp import PixelCNNpp
from nextpixel.models.pixelrnn import DiagonalBiLSTM, PixelCNN, ResidualPixelCNN, RowLSTM
from nextpixel.models.pixelsnail import PixelSNAIL
from nextpixel.models.pixelvae import PixelVAE
from nextpixel.nn.context import Context, describe
from nextpixel.spec import ImageSpec
from nextpixel.typing import Whole
from nextpixel.unroll import Backbone

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

LARGEST = 2**20  # of any setting: what has more features, layers or numbers for a pixel fits into no memory


@overload
def build(  # pyright: ignore[reportOverlappingOverload]
    name: Literal["pixelvae"], spec: ImageSpec, likelihood: str = ..., context: Context | None = ..., **arguments: Any
) -> PixelVAE: ...
@overload
def build(
    name: str | type[Backbone], spec: ImageSpec, likelihood: str = ..., context: Context | None = ..., **arguments: Any
) -> Autoregressive: ...


def build(
    name: str | type[Backbone],
    spec: ImageSpec,
    likelihood: str = "categorical",
    context: Context | None = None,
    *,
    orders: Whole = 1,
    **arguments: Any,
) -> Model:
    """Make a model with fresh weights: an `Autoregressive`, or a `PixelVAE`.

    Args:
        name: of the model, a key of `MODELS`; or a class of one's own (see `Network`), or its `package.module:Class`.
        spec: the images that it is about.
        likelihood: "bernoulli", "categorical" or "logistic_mixture".
        context: what images are conditioned on: `ClassLabel`, `Vector`, `Latent`, `Map`, or `Both` of two.
        orders: 1; or 4 or, of squares, 8: reading orders, the symmetries of the grid, of whose exact likelihoods the
            model's is the mixture. One network, which is told the order, has them all (see `Orders`).
        arguments: of the model's constructor, whose defaults are the paper's, and of the likelihood's.

    Raises:
        BadInput: an unknown name or argument, or a value that the model cannot have.

    Example:
        >>> spec = npx.ImageSpec(channels=3, height=8, width=8, levels=4)
        >>> model = npx.build("gated_pixelcnn", spec, context=npx.ClassLabel(10), filters=12, blocks=1)
        >>> model.sample(2, context=7).shape
        torch.Size([2, 3, 8, 8])
    """
    kind: Any = kind_of(name)
    if not isinstance(spec, ImageSpec):
        raise BadInput(f"The spec must be an ImageSpec such as ImageSpec(1, 28, 28, levels=256), not {spec!r}.")
    meaning = named(likelihood, LIKELIHOODS, "likelihood")
    if context is not None and not isinstance(context, Context):
        raise BadInput(f"The context must be a Context such as ClassLabel(10), not {context!r}.")
    called = name if isinstance(name, str) else kind.__qualname__
    own, its = settings_of(kind), settings_of(meaning)
    if taken := sorted(own.keys() & {"name", "spec", "likelihood", "context", "orders"}):
        raise BadInput(f"{called} has a setting called {taken[0]}, which build needs itself; call it otherwise.")
    arguments = {key: plain(value) for key, value in arguments.items()}
    for key, value in arguments.items():
        if key not in own | its:
            raise BadInput(f"{called} has no setting {key!r}; it has {', '.join(own | its) or 'none'}.")
        _check_kind(key, value, (own | its)[key].annotation)
    outputs = meaning(spec, **{key: value for key, value in arguments.items() if key in its})
    orders = whole(orders, "orders", least=1)
    features = (0 if context is None else context.features) + (orders if orders > 1 else 0)
    for size, what in ((outputs.parameters, "numbers for each pixel"), (features, "features of its context")):
        if size > LARGEST:
            raise BadInput(f"{called} would have {size} {what}; {LARGEST} is the limit.")
    if kind is PixelVAE and orders > 1:
        raise BadInput(f"{name} has no exact likelihood to mix, so it reads in one order, not in {orders}.")
    chosen = {key: value for key, value in arguments.items() if key in own}
    try:
        inspect.signature(kind).bind(spec, outputs, features, **chosen)
    except TypeError as error:
        raise BadInput(f"{called} must be made from (spec, likelihood, context, *, settings …): {error}.") from error
    if missing := sorted(getattr(kind, "__abstractmethods__", ())):
        raise BadInput(f"{called} has no {' and no '.join(missing)}, which a model needs.")
    made = kind(spec, outputs, features, **chosen)
    module = _script() if kind.__module__ == "__main__" else kind.__module__
    recipe = {
        "name": name if isinstance(name, str) else f"{module}:{kind.__qualname__}",
        "spec": asdict(spec),
        "likelihood": likelihood,
        "context": describe(context),
        "arguments": arguments | ({"orders": orders} if orders > 1 else {}),
    }
    if isinstance(made, Backbone):
        return Autoregressive(spec, made, outputs, context, recipe=recipe, orders=orders)
    made.recipe = recipe
    return made


def kind_of(name: object) -> type[Backbone | PixelVAE]:
    """The class of a model: of our own by its name, or a user's `Backbone`, itself or as `package.module:Class`."""
    found = name
    if isinstance(name, str) and ":" in name:
        module, _, attribute = name.partition(":")
        try:
            found = getattr(loaded(module) or importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise BadInput(f"There is no model {name!r}: {error}.") from error
    elif isinstance(name, str):
        return named(name, MODELS, "model")
    if not isinstance(found, type) or not issubclass(found, Backbone):
        raise BadInput(f"A model is a name such as gated_pixelcnn, or a class of nextpixel.Network, not {name!r}.")
    return found


def loaded(module: str) -> ModuleType | None:
    """A module that is there already; that of the script that runs is called as its file, by which others import it."""
    return sys.modules["__main__"] if module == _script() else sys.modules.get(module)


def _script() -> str:
    return Path(getattr(sys.modules["__main__"], "__file__", None) or "__main__").stem


def outline(make: Callable[[], Model], *, numbers: int, calls: int) -> dict[str, torch.Tensor]:
    """The state of a model that is only thought of, without memory; TooLarge if making it takes more than a limit.

    Limits are how many numbers it may allocate, those that are thrown away again included, and calls of torch.
    """
    try:
        with _Limited(numbers, calls), torch.device("meta"):
            return make().state_dict()
    except (RuntimeError, OverflowError, MemoryError) as error:  # sizes that torch cannot even think of
        raise TooLarge("it asks for more than any memory holds.") from error


class TooLarge(BadInput):
    """A model that is not even thought of."""


class _Limited(TorchDispatchMode):
    """Refuses to make more than a limit."""

    def __init__(self, numbers: int, calls: int) -> None:
        super().__init__()
        self.numbers, self.calls = numbers, calls

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # for it, as for numbers drawn on no device, torch imports its compiler: longer than all of a load

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        normal = func is torch.ops.aten.normal_.default
        func = torch.ops.aten.empty.memory_format if func is torch.ops.aten.randn.default else func
        out = args[0] if normal else func(*args, **(kwargs or {}))
        self.calls, self.numbers = self.calls - 1, self.numbers - getattr(out, "numel", int)()
        if self.calls < 0 or self.numbers < 0:
            raise TooLarge("it asks for more than it may have.")
        return out


def settings_of(part: type[Backbone | PixelVAE | Likelihood]) -> dict[str, inspect.Parameter]:
    """The settings of a model or a likelihood, the keyword-only arguments of its constructor."""
    parameters = inspect.signature(part.__init__).parameters.items()
    return {key: its for key, its in parameters if its.kind is inspect.Parameter.KEYWORD_ONLY}


def _check_kind(key: str, value: object, kind: Any) -> None:
    """Refuse what no constructor asks about: another type, and numbers that are larger than any memory."""
    text = kind in (int, float, str) and isinstance(value, str) != (kind is str)
    if isinstance(value, bool) != (kind is bool) or not isinstance(value, int | float | str) or text:
        kinds = {bool: "True or False", int: "a number", float: "a number", str: "a text"}
        wanted = kinds.get(kind, "a text or a number")
        raise BadInput(f"{key} must be {wanted}, not {value!r}.")
    if type(value) is int and value > LARGEST:
        raise BadInput(f"{key} must be at most {LARGEST}, not {value}.")


def named(name: str, table: Mapping[str, Any], what: str) -> Any:
    """What a table holds under a name; `what` is said of one that it does not hold."""
    if not isinstance(name, str) or name not in table:
        raise unknown(what, name, table)
    return table[name]
