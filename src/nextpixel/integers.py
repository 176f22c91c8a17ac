"""Exact twins: a trained network in integers, whose every sum is proven, so that all machines get the same bits.

Weights and activations are multiples of powers of two, activations within limits. A sum of products is then a multiple
of a power of two as well, and below 2^24 of them whatever the image: float32 holds it, and all on the way, exactly.
"""

import copy
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from nextpixel.autoregressive import Autoregressive
from nextpixel.errors import BadInput
from nextpixel.frequencies import Whole
from nextpixel.model import Model, a_model, are_finite
from nextpixel.models.gated_pixelcnn import GatedPixelCNN
from nextpixel.models.pixelcnnpp import Pair, PixelCNNpp
from nextpixel.models.pixelrnn import PixelCNN, ResidualPixelCNN
from nextpixel.models.pixelsnail import AttentionLayer, PixelSNAIL
from nextpixel.nn import ops
from nextpixel.nn.blocks import Block, Brought
from nextpixel.nn.causal import PixelsLeft, RowsAbove
from nextpixel.nn.context import ClassLabel
from nextpixel.nn.embedding import Named, Scaled, next_power
from nextpixel.nn.gated import GatedBlock, OneStackBlock, TwoStackBlock
from nextpixel.nn.layers import Chain, Masked, Normalise, Residual
from nextpixel.nn.norm import ColourNorm, WeightNorm
from nextpixel.nn.shifted import Entrance
from nextpixel.nn.tables import GATED, TableGrids, Tables

FORMAT = 3  # of the arithmetic
BITS = 12  # of an activation, beside its sign
# Of what the sums of a gated block take: less there is more for its weights, and was less lost on drawings.
TAKEN, TAKEN_BITS = ("above", "norm_above", "norm_left"), 11
ROOM = 2.0**24  # of a sum, in its own unit: what float32 holds
# The head of a gated_pixelcnn is computed in float64, as sharp logistics need it; a sum has room for 2^53 there.
HEAD, HEAD_BITS, HEAD_ROOM = ("", "head"), 16, 2.0**40
_MARGIN = 1.25  # how much larger than those of the calibration an activation may be
STEPS = 4096  # of a name's vector, from 0 to 1
PLACES = 256  # steps for rows and columns, from 0 to 1


def exact(model: Model, images: Tensor, context: object = None) -> Autoregressive:
    """Make the integer twin of a trained model: the same network, rounded, with the same bits on every machine.

    It is a model like any other (`log_prob`, `sample`, `save`, …), and its likelihood is what `compress` spends.

    Args:
        model: a `gated_pixelcnn`, `pixelcnn`, `residual_pixelcnn`, `pixelcnnpp` or `pixelsnail` without batch norm,
            given nothing or a class.
        images: some hundred that are like those to come, (B, C, H, W): theirs are the ranges of activations. Others
            are coded as well, at a higher cost if they leave these ranges.
        context: of the images.

    Raises:
        BadInput: the model has a part that cannot be exact, or the images are not what it is about.
    """
    model = a_model(model)
    why = refusal(model) or (None if are_finite(model) else "some of its weights are not finite numbers")
    if why or not isinstance(model, Autoregressive):
        raise BadInput(f"There is no exact twin of this model: {why}.")
    images = model.spec.check(images).cpu()
    if not len(images):
        raise BadInput("An exact twin needs some images to measure the ranges of activations; there are none.")
    twin = copy.deepcopy(model).to("cpu", torch.float32).eval()
    grids = {name: _grid(most, bits) for name, (most, bits) in _measured(twin, images, context).items()}
    _install(twin)
    if isinstance(twin.backbone.entry, Scaled):  # which gives whole numbers, over another one
        ratio = next_power(model.spec.levels) / (model.spec.levels - 1)
        for layer in _first(twin.backbone):
            _kernels(layer)[:, : len(twin.backbone.image_colours)] *= ratio
        if isinstance(twin.backbone, PixelSNAIL):
            twin.backbone.brightness = ratio
    kept = _Proof(grids, rounding=True).of(twin)
    twin.recipe = {**twin.recipe, "exact": {"format": FORMAT, "grids": {name: _whole(kept[name]) for name in kept}}}
    return twin


def install(model: Model, about: Any) -> None:
    """Give a fresh model the arithmetic that a file of an exact twin speaks of; `prove` it when it has its weights."""
    why = refusal(model)
    if why or not isinstance(model, Autoregressive):
        raise BadInput(f"it would be the exact twin of something that has none: {why}.")
    if not isinstance(about, dict) or about.keys() != {"format", "grids"} or about["format"] != FORMAT:
        raise BadInput(f"its exact arithmetic is {about!r:.80}; this nextpixel has format {FORMAT}.")
    _install(model)
    model.recipe = {**model.recipe, "exact": about}


def prove(model: Model) -> None:
    """Prove that no sum of an exact twin leaves what float32 holds, whatever the image; BadInput says which might."""
    grids = {}
    for name, (powers, limits) in twin(model).recipe["exact"]["grids"].items():
        several = [its if isinstance(its, list) else [its] for its in (powers, limits)]
        for power, limit in zip(*several, strict=True):
            if not (type(power) is type(limit) is int and -40 <= power <= 20 and 1 <= limit <= 2**HEAD_BITS):
                raise BadInput(f"its grid {name!r:.80} is {[power, limit]!r:.80}, which no activation has.")
        unit = torch.exp2(_numbers(*several[0]))
        grids[name] = _Range(unit, unit * _numbers(*several[1]))
    kept = _Proof(grids, rounding=False).of(twin(model))
    for name in grids.keys() - kept.keys():
        raise BadInput(f"its grid {name!r:.80} is of no layer.")


def twin(model: Model) -> Autoregressive:
    """The model, if it is an exact twin; else BadInput."""
    if not isinstance(model, Autoregressive) or model.tables is None:
        raise BadInput("This needs an exact model: nextpixel exact MODEL -o FILE makes the exact twin of MODEL.")
    return model


def refusal(model: Model) -> str | None:
    """What of a model cannot be exact."""
    if not isinstance(model, Autoregressive):
        return f"a {model.recipe.get('name')} has no exact likelihood"
    if model.tables is not None:
        return "it is one"
    network, name = model.backbone, model.recipe["name"]
    if not isinstance(network, GatedPixelCNN | PixelCNN | ResidualPixelCNN | PixelCNNpp | PixelSNAIL):
        exact = "gated_pixelcnn, pixelcnn, residual_pixelcnn, pixelcnnpp and pixelsnail"
        return f"the layers of a {name} are not exact; those of {exact} are"
    if not isinstance(model.context, ClassLabel | None):
        return f"it is given {model.context}, numbers of any size; classes are exact"
    if model.recipe["arguments"].get("norm") == "batch":
        return "batch norm is not exact; norm='layer' is"
    if model.recipe["arguments"].get("activation") == "relu":
        return "activation='relu' is not exact; gates are"
    return None


def _first(network: Any) -> tuple[Any, ...]:
    """The layers that see the image."""
    if isinstance(network, PixelCNNpp):
        return network.first_above, network.first_left.above, network.first_left.left
    if isinstance(network, PixelSNAIL):
        return network.first.above, network.first.left
    first = network.blocks[0] if isinstance(network, GatedPixelCNN) else network.layers.layers[0]
    part: Any = first.masked if isinstance(first, OneStackBlock) else first
    return part.above, part.left


def _bits(name: str, network: Any) -> int:
    """Of the activations that come from a layer."""
    last, ends = name.rpartition(".")[2], _end(network)
    fine = last == "leave" or (network.get_submodule(name) is ends if ends is not None else name in HEAD)
    return HEAD_BITS if fine else TAKEN_BITS if last in TAKEN else BITS


def _end(network: Any) -> Block | None:
    """The block whose result only the last layer sees."""
    match network:
        case PixelCNNpp():
            return network.down[0][-1].left
        case PixelSNAIL():
            return network.layers[-1].mix
        case _:
            return None


def _grid(largest: Tensor, bits: int) -> "_Range":
    """The grid for numbers that were so large, (1,), or those of features, (D,)."""
    least = 2**-8 if len(largest) == 1 else max(2**-3, float(largest.max()) / 2**8)
    limit = largest.double().clamp(min=least) * _MARGIN
    unit = torch.exp2(limit.log2().ceil() - bits)
    return _Range(unit, (limit / unit).ceil() * unit)


def _whole(its: "_Range") -> list[int] | list[list[int]]:
    """Powers of two that units are, and limits in units: one of each, or one for each feature."""
    both = [[round(number) for number in numbers.tolist()] for numbers in (its.unit.log2(), its.limit / its.unit)]
    return both if len(its.unit) > 1 else [number for (number,) in both]


@torch.no_grad()
def _measured(model: Autoregressive, images: Tensor, context: object) -> dict[str, tuple[Tensor, int]]:
    """How large the numbers get that are to be on grids, (1,) or (D,), and bits: by the layer that they come from."""
    most: dict[str, Tensor] = {}

    def keep(name: str, layer: nn.Module, given: tuple[Any, ...], made: Any) -> None:
        size = (made.plain if isinstance(layer, Block) else given[0] if isinstance(layer, nn.Dropout) else made).abs()
        if isinstance(layer, nn.Dropout):  # between a block's convolutions: both signs of what the first one gives
            name, size = name.replace("dropout", "enter"), torch.maximum(*size.chunk(2, 1))
        size = (
            size.amax((0, 2, 3)) if isinstance(layer, Block | Entrance | WeightNorm | nn.Dropout) else size.max()[None]
        )
        most[name] = torch.maximum(most[name], size) if name in most else size

    with ExitStack() as hooks:
        for name, layer in model.backbone.named_modules():
            wide = isinstance(layer, Entrance | WeightNorm | nn.Dropout) and not name.endswith("enter")
            if wide or isinstance(layer, RowsAbove | PixelsLeft | Residual | ColourNorm | Block):
                hooks.enter_context(layer.register_forward_hook(partial(keep, name)))
        if isinstance(network := model.backbone, GatedPixelCNN):
            hook = network.head.register_forward_pre_hook(lambda layer, given: keep("", layer, given, given[0]))
            hooks.enter_context(hook)
        for some in torch.arange(len(images)).split(64):
            beside = context[some] if isinstance(context, Tensor) and context.ndim else context
            model.log_prob(images[some], beside)
    for name in [name for name in most if name.endswith(".leave")]:  # to which what the context adds comes
        most[name] = most[name] + most.get(name.replace("leave", "context"), 0)
    return {name: (its, _bits(name, model.backbone)) for name, its in most.items()}


def _install(model: Autoregressive) -> None:
    """Put the arithmetic in the place of floating point."""
    network, spec, model.tables = model.backbone, model.spec, Tables()
    model.requires_grad_(False)
    model.likelihood = Whole(model.likelihood, model.tables, spec.levels)
    if isinstance(network.entry, Scaled):
        network.entry.whole = True
    for block in network.modules():
        if isinstance(block, GatedBlock):
            vars(block)["activate"] = model.tables.gate  # not as a part of its own, which a file would have again
        elif isinstance(block, WeightNorm):
            block.direction.copy_(block.weight())
            block.length = None
    if isinstance(network, GatedPixelCNN):
        for layer in (network.head, network.parameters_of, network.head_context or nn.Identity()):
            layer.double()
    elif isinstance(network, PixelCNNpp | PixelSNAIL):
        network.parameters_of.double()
    if isinstance(network, GatedPixelCNN | PixelSNAIL) and network.coordinates is not None:
        ends = [ops.spaced(torch.arange(size), size, PLACES) for size in (spec.height, spec.width)]
        network.coordinates = torch.stack(torch.meshgrid(*ends, indexing="ij"))[None].to(network.coordinates)


class _Range(NamedTuple):
    """What is known of the features that come into a layer: each is a multiple of its unit, up to its limit, (D,)."""

    unit: Tensor
    limit: Tensor
    least: Tensor | None = None  # how far below 0 they go, if not as far


def _joined(*several: _Range) -> _Range:
    """Of features side by side."""
    units, limits, least = zip(*((its.unit, its.limit, _least(its)) for its in several), strict=True)
    return _Range(torch.cat(units), torch.cat(limits), torch.cat(least))


def _elu(*several: _Range, signs: str = "+-") -> _Range:
    """Of `concat_elu` of each of them, side by side."""
    return _joined(*(_Range(its.unit, its.limit, its.limit.clamp(max=1)) for its in several for _ in signs))


def _least(its: _Range) -> Tensor:
    return its.limit if its.least is None else its.least


Part = tuple[
    RowsAbove | PixelsLeft | WeightNorm, _Range, slice
]  # a layer, what comes in, and which of its outputs are meant
ALL = slice(None)


class _Proof:
    """Goes through a network with the ranges of its activations, and rounds the weights; else refuses any that are not.

    Grids of activations are by the name of the layer that they come from.
    """

    def __init__(self, grids: dict[str, _Range], *, rounding: bool) -> None:
        self.grids, self.rounding = grids, rounding
        self.kept: dict[str, _Range] = {}

    @torch.no_grad()
    def of(self, model: Autoregressive) -> dict[str, _Range]:
        """The grids that the model needs, which its layers now have; BadInput where there is none for a layer."""
        assert model.tables is not None, "it is an exact twin"
        for name, table in model.tables.named_buffers():
            if not bool((table * 2**12 == (table * 2**12).round()).all() & (table.abs() <= 2**24).all()) or (
                table is model.tables.exp_table and float(table[-1])
            ):
                raise BadInput(f"its {name} holds numbers of no table.")
        network, parameters = model.backbone, cast(Whole, model.likelihood).grid
        self.tables = model.tables
        self.names: dict[nn.Module, str] = {layer: name for name, layer in network.named_modules()}
        self.classes = _Range(_numbers(1), _numbers(1))
        colours = len(network.image_colours)
        image = _Range(_numbers(*[1 / next_power(model.spec.levels)] * colours), _numbers(*[1] * colours))
        if isinstance(entry := network.entry, Named):
            self._round(entry.weight, entry.weight.double().mul(STEPS).round().div(STEPS))
            image = _Range(image.unit * 0 + 1 / STEPS, entry.weight.abs().amax().double().repeat(colours))
        if isinstance(network, GatedPixelCNN):
            self._gated(network, image)
            network.parameters_of.grid = parameters
        elif isinstance(network, PixelCNNpp | PixelSNAIL):
            self._sum((network.parameters_of, _elu(self._streams(network, image), signs="+"), ALL), room=HEAD_ROOM)
            network.parameters_of.grid = parameters
        else:
            assert isinstance(network, PixelCNN | ResidualPixelCNN), "others are refused"
            self._chain(network.layers, image).left.grid = parameters
        return self.kept

    def _gated(self, network: GatedPixelCNN, h: _Range) -> None:
        v, whole = h, _Range(_numbers(GATED.unit), _numbers(GATED.limit))
        if network.coordinates is not None:
            v = _joined(h, _Range(_numbers(1 / PLACES, 1 / PLACES), _numbers(1, 1)))
        for block in network.blocks:
            if isinstance(block, TwoStackBlock):
                self._sum((block.above, self._normed(block.norm_above, v), ALL))
                sums, wide = self._on(block.above), block.link.weight.shape[0]
                given = [(block.context, self.classes, slice(wide))] if block.context is not None else []
                self._sum((block.link, sums, ALL), (block.left, self._normed(block.norm_left, h), ALL), *given)
                if block.context is not None and not block.last:
                    self._sum((block.context, self.classes, slice(wide, None)), also=sums)
                v = whole
            else:
                assert isinstance(block, OneStackBlock), "there are two kinds of block"
                self._masked(block.masked, self._normed(block.norm, h))
            if block.residual is not None:
                self._sum((block.residual, whole, ALL), also=h if block.adds else None)
                h = self._on(block.residual)
        self._sum(*((block.skip, whole, ALL) for block in network.blocks))
        given = [] if network.head_context is None else [(network.head_context, self.classes, ALL)]
        self._sum((network.head, self._on(network), ALL), *given, room=HEAD_ROOM)
        self._sum((network.parameters_of, self._on(network.head), ALL), room=HEAD_ROOM)

    def _streams(self, network: PixelCNNpp | PixelSNAIL, image: _Range) -> _Range:
        """The result of the last block."""
        ended = _joined(image, _Range(_numbers(1), _numbers(1)))
        first = network.first if isinstance(network, PixelSNAIL) else network.first_left
        self._sum((first.above, ended, ALL), (first.left, ended, ALL))
        left = self._on(first)
        if isinstance(network, PixelSNAIL):
            if isinstance(network.entry, Scaled):
                image = _Range(image.unit * 0 + 2.0**-BITS, image.limit)
            for layer in network.layers:
                left = self._attention(layer, left, image, places=network.spec.height * network.spec.width)
            return left
        above, last = self._through(network.first_above, ended), len(network.up) - 1
        seen: list[list[tuple[_Range, _Range]]] = []
        for scale, pairs in enumerate(network.up):
            if scale:
                above = self._through(network.halve_above[scale - 1], above)
                left = self._through(network.halve_left[scale - 1], left)
            seen.append([(above, left)])
            for pair in pairs:
                above, left = self._pair(pair, above, left)
                seen[-1].append((above, left))
        above, left = seen[last].pop()
        for scale in range(last, -1, -1):
            if scale < last:
                above = self._through(network.double_above[scale], above)
                left = self._through(network.double_left[scale], left)
            for pair in network.down[scale]:
                above, left = self._pair(pair, above, left, *seen[scale].pop())
        return left

    def _attention(self, layer: AttentionLayer, x: _Range, image: _Range, *, places: int) -> _Range:
        for block in layer.blocks:
            x = self._block(block, x)
        asking = _joined(x, _Range(_numbers(1 / PLACES, 1 / PLACES), _numbers(1, 1)))
        known = _joined(image, asking)
        content = self._through(layer.to_content, self._block(layer.content, known))
        query = self._through(layer.to_query, self._block(layer.query, asking))
        keys, values = (
            _Range(content.unit[part], content.limit[part]) for part in (slice(layer.keys), slice(layer.keys, None))
        )
        scores = (query.limit * keys.limit).sum() / (query.unit * keys.unit).min()
        if float(scores) >= 2**53 or float((values.limit / values.unit).max()) * places >= 2**29:
            raise BadInput(
                f"the attention of {self.names[layer]} is not proven to be exact: its features are too unlike."
            )
        layer.known, layer.asking, layer.grid = (TableGrids(*its[:2], self.tables) for its in (known, asking, values))
        return self._block(layer.mix, x, values)

    def _through(self, layer: WeightNorm, its: _Range) -> _Range:
        self._sum((layer, its, ALL))
        return self._on(layer)

    def _pair(self, pair: Pair, above: _Range, left: _Range, *seen: _Range) -> tuple[_Range, _Range]:
        above = self._block(pair.above, above, *seen[:1])
        return above, self._block(pair.left, left, above, *seen[1:])

    def _block(self, block: Block, x: _Range, *beside: _Range) -> _Range:
        given = [] if block.context is None else [(block.context, self.classes, ALL)]
        self._sum((block.enter, _elu(x), ALL), *([(block.beside, _elu(*beside), ALL)] if block.beside else []))
        middle, sums, result = (self._range(layer) for layer in (block.enter, block.leave, block))
        self._sum((block.leave, _elu(middle), ALL), *given)
        block.given, before, made = (TableGrids(*its[:2], self.tables) for its in (x, middle, result))
        block.grids = Brought(before, TableGrids(*sums[:2], self.tables, made), made)
        added = sums.limit[: len(result.limit)]
        if bool(
            (added > 2**21 * result.unit).any() | (x.limit + added > 2**23 * torch.minimum(x.unit, result.unit)).any()
        ):
            raise BadInput(f"the result of {self.names[block]} is not proven to be exact: its features are too unlike.")
        return result

    def _chain(self, layers: Chain, its: _Range) -> Masked:
        """Of a stack, whose last layer it gives."""
        for layer in layers.layers:
            match layer:
                case Masked():
                    self._masked(layer, its)
                    its = self._on(layer.left) if layer is not layers.layers[-1] else its
                case Residual():
                    self._on(self._chain(layer.body, its).left)
                    its = self._on(layer)
                case Normalise(norm=ColourNorm() as norm):
                    its = self._normed(norm, its)
                case _:
                    raise AssertionError("the two models have no other layers")
        last = layers.layers[-1]
        assert isinstance(last, Masked), "stacks and residual blocks end with a convolution"
        return last

    def _masked(self, layer: Masked, its: _Range) -> None:
        given = [] if layer.context is None else [(layer.context, self.classes, ALL)]
        self._sum((layer.left, its, ALL), *([] if layer.above is None else [(layer.above, its, ALL)]), *given)

    def _normed(self, norm: ColourNorm | None, its: _Range) -> _Range:
        if norm is None:
            return its
        if float((its.limit / its.unit).max()) > 2**12 or len(norm.weight) > 2**11:
            raise BadInput(f"the sums of {self.names[norm]} are not proven: {len(norm.weight)} features are too many.")
        return self._on(norm)

    def _range(self, layer: nn.Module) -> _Range:
        """What comes from a layer."""
        name = self.names[layer]
        if name not in self.grids:
            raise BadInput(f"it has no grid for {name or 'the sum of the skip connections'}.")
        self.kept[name] = self.grids[name]
        return self.grids[name]

    def _on(self, layer: Any) -> _Range:
        """Give a layer the grid of its output."""
        its = self._range(layer)
        wide = isinstance(layer, Entrance | WeightNorm)
        layer.grid = TableGrids(*its[:2], self.tables) if wide else ops.Grid(float(its.unit), float(its.limit))
        return its

    def _sum(self, *parts: Part, also: _Range | None = None, room: float = ROOM) -> None:
        """Round the weights of layers whose outputs are added up, (O,), and to `also`: that sum is then exact.

        A weight is a multiple of the sum's unit divided by the input's. The finest unit is taken that leaves room for
        the sum of the absolute values of all weights times the limits of what they are for: of those that add to it,
        and of those that take from it.
        """
        own = [(_seen(layer)[rows].double(), layer.bias, its, rows, layer) for layer, its, rows in parts]
        unit, first = _numbers(0), True
        while True:
            rounded = [_rounded(weight, bias, its, rows, unit) for weight, bias, its, rows, _ in own]
            sums = sum((most for *_, most in rounded), start=_numbers(0) if also is None else also.limit)
            bound = sums.amax(0)
            finest = torch.exp2((bound.clamp(min=2.0**-12) / room).log2().floor() + 1)
            if also is not None:
                finest = torch.minimum(finest, also.unit)
            if first:
                unit, first = finest, False
            elif bool((bound < room * unit).all()):
                break
            else:
                unit = torch.where(bound < room * unit, unit, 2 * unit)
        for (weight, bias, _), (_, _, _, rows, layer) in zip(rounded, own, strict=True):
            self._round(_kernels(layer), weight, rows)
            if bias is not None and layer.bias is not None:
                self._round(layer.bias, bias, rows)

    def _round(self, weight: Tensor, rounded: Tensor, rows: slice = ALL) -> None:
        if self.rounding:
            weight[rows] = rounded.to(weight)
        elif not torch.equal(weight[rows].double(), rounded):
            raise BadInput("a sum of its is not proven to be exact: some weights are not on the grid that it asks for.")


def _numbers(*values: int | float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _kernels(layer: RowsAbove | PixelsLeft | WeightNorm) -> Tensor:
    return layer.direction if isinstance(layer, WeightNorm) else layer.weight


def _seen(layer: RowsAbove | PixelsLeft | WeightNorm) -> Tensor:
    """The kernels without what a mask hides."""
    return layer.masked() if isinstance(layer, PixelsLeft) else _kernels(layer)


def _rounded(
    weight: Tensor, bias: Tensor | None, its: _Range, rows: slice, unit: Tensor
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Weights, (O, D, h, w), and biases for sums of a unit, 0 to leave them, and how far from 0 their sums, (2, O)."""
    if bool((unit > 0).all()):
        step = unit.view(-1, 1, 1, 1) / its.unit.view(1, -1, 1, 1)
        weight = (weight / step).round() * step
        bias = None if bias is None else (bias[rows].double() / unit).round() * unit
    limit, least = (numbers.view(1, -1, 1, 1) for numbers in (its.limit, _least(its)))
    more, less = ((w.clamp(min=0) * limit - w.clamp(max=0) * least).flatten(1).sum(1) for w in (weight, -weight))
    most = torch.stack((more, less))
    return weight, bias, most if bias is None else most + bias[rows].double().abs()
