"""The proof that no sum of an exact twin is ever rounded; weights are rounded so that it holds.

It goes through a network with what is known of the numbers that come into each layer, of any image.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from nextpixel.autoregressive import Autoregressive
from nextpixel.errors import BadInput
from nextpixel.frequencies import Whole
from nextpixel.models.gated_pixelcnn import GatedPixelCNN
from nextpixel.models.pixelcnnpp import Pair, PixelCNNpp
from nextpixel.models.pixelrnn import PixelCNN, ResidualPixelCNN
from nextpixel.models.pixelsnail import AttentionLayer, PixelSNAIL
from nextpixel.nn import ops
from nextpixel.nn.blocks import Block, Brought
from nextpixel.nn.causal import PixelsLeft, RowsAbove
from nextpixel.nn.embedding import Named, Scaled, next_power
from nextpixel.nn.gated import OneStackBlock, TwoStackBlock
from nextpixel.nn.layers import Chain, Masked, Normalise, Residual
from nextpixel.nn.norm import ColourNorm, WeightNorm
from nextpixel.nn.shifted import Entrance
from nextpixel.nn.tables import GATED, TableGrids

BITS = 12  # of an activation, beside its sign
ROOM = 2.0**24  # of a sum, in its own unit: what float32 holds
# The last layers are computed in float64, as sharp logistics need it; a sum has room for 2^53 there.
HEAD_ROOM = 2.0**40
DAMPED = 0.01  # of the mean square of an input, beside what they share (Frantar et al. 2022)
STEPS = 4096  # of a name's vector, from 0 to 1
PLACES = 256  # steps for rows and columns, from 0 to 1


class Range(NamedTuple):
    """What is known of the features that come into a layer: each is a multiple of its unit, up to its limit, (D,)."""

    unit: Tensor
    limit: Tensor
    below: Tensor | None = None  # how far below 0 they go, if not as far

    @property
    def depth(self) -> Tensor:
        """How far below 0 they go."""
        return self.limit if self.below is None else self.below


def joined(*several: Range) -> Range:
    """Of features side by side."""
    units, limits, depths = zip(*((its.unit, its.limit, its.depth) for its in several), strict=True)
    return Range(torch.cat(units), torch.cat(limits), torch.cat(depths))


def elu(*several: Range, signs: str = "+-") -> Range:
    """Of `concat_elu` of each of them, side by side."""
    return joined(*(Range(its.unit, its.limit, its.limit.clamp(max=1)) for its in several for _ in signs))


# A layer, what comes in, and which of its outputs are meant.
Part = tuple[RowsAbove | PixelsLeft | WeightNorm, Range, slice]
ALL = slice(None)


class Proof:
    """Goes through a network with the ranges of its activations, and rounds the weights; else refuses any that are not.

    Grids of activations are by the name of the layer that they come from, and so is what layers were given where the
    weights are to be rounded: the Gram matrices of windows of the input with a 1 behind them, (D · h · w + 1) squared.
    """

    def __init__(self, grids: dict[str, Range], given: Mapping[str, Tensor] | None = None) -> None:
        self.grids, self.rounding, self.given = grids, given is not None, given or {}
        self.kept: dict[str, Range] = {}

    @torch.no_grad()
    def of(self, model: Autoregressive) -> dict[str, Range]:
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
        self.classes = Range(_numbers(1), _numbers(1))
        colours = len(network.image_colours)
        image = Range(_numbers(*[1 / next_power(model.spec.levels)] * colours), _numbers(*[1] * colours))
        if isinstance(entry := network.entry, Named):
            self._round(entry.weight, entry.weight.double().mul(STEPS).round().div(STEPS))
            image = Range(image.unit * 0 + 1 / STEPS, entry.weight.abs().amax().double().repeat(colours))
        if isinstance(network, GatedPixelCNN):
            self._gated(network, image)
            network.parameters_of.grid = parameters
        elif isinstance(network, PixelCNNpp | PixelSNAIL):
            self._sum((network.parameters_of, elu(self._streams(network, image), signs="+"), ALL), room=HEAD_ROOM)
            network.parameters_of.grid = parameters
        else:
            assert isinstance(network, PixelCNN | ResidualPixelCNN), "others are refused"
            self._chain(network.layers, image).left.grid = parameters
        return self.kept

    def _gated(self, network: GatedPixelCNN, h: Range) -> None:
        v, whole = h, Range(_numbers(GATED.unit), _numbers(GATED.limit))
        if network.coordinates is not None:
            v = joined(h, Range(_numbers(1 / PLACES, 1 / PLACES), _numbers(1, 1)))
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

    def _streams(self, network: PixelCNNpp | PixelSNAIL, image: Range) -> Range:
        """The result of the last block."""
        ended = joined(image, Range(_numbers(1), _numbers(1)))
        first = network.first if isinstance(network, PixelSNAIL) else network.first_left
        self._sum((first.above, ended, ALL), (first.left, ended, ALL))
        left = self._on(first)
        if isinstance(network, PixelSNAIL):
            if isinstance(network.entry, Scaled):
                image = Range(image.unit * 0 + 2.0**-BITS, image.limit)
            for layer in network.layers:
                left = self._attention(layer, left, image, places=network.spec.height * network.spec.width)
            return left
        above, last = self._through(network.first_above, ended), len(network.up) - 1
        seen: list[list[tuple[Range, Range]]] = []
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

    def _attention(self, layer: AttentionLayer, x: Range, image: Range, *, places: int) -> Range:
        for block in layer.blocks:
            x = self._block(block, x)
        asking = joined(x, Range(_numbers(1 / PLACES, 1 / PLACES), _numbers(1, 1)))
        known = joined(image, asking)
        content = self._through(layer.to_content, self._block(layer.content, known))
        query = self._through(layer.to_query, self._block(layer.query, asking))
        keys, values = (
            Range(content.unit[part], content.limit[part]) for part in (slice(layer.keys), slice(layer.keys, None))
        )
        scores = (query.limit * keys.limit).sum() / (query.unit * keys.unit).min()
        if float(scores) >= 2**53 or float((values.limit / values.unit).max()) * places >= 2**29:
            raise BadInput(f"the sums of {self.names[layer]} are not proven: its features are too unlike.")
        layer.known, layer.asking, layer.grid = (TableGrids(*its[:2], self.tables) for its in (known, asking, values))
        return self._block(layer.mix, x, values)

    def _through(self, layer: WeightNorm, its: Range) -> Range:
        self._sum((layer, its, ALL))
        return self._on(layer)

    def _pair(self, pair: Pair, above: Range, left: Range, *seen: Range) -> tuple[Range, Range]:
        above = self._block(pair.above, above, *seen[:1])
        return above, self._block(pair.left, left, above, *seen[1:])

    def _block(self, block: Block[Any], x: Range, *beside: Range) -> Range:
        """What a gate lets through is brought to the result's unit, and has then room for x (`TableGrids.glu`)."""
        given = [] if block.context is None else [(block.context, self.classes, ALL)]
        self._sum((block.enter, elu(x), ALL), *([(block.beside, elu(*beside), ALL)] if block.beside else []))
        middle, sums, result = (self._range(layer) for layer in (block.enter, block.leave, block))
        self._sum((block.leave, elu(middle), ALL), *given)
        block.given, before, made = (TableGrids(*its[:2], self.tables) for its in (x, middle, result))
        block.grids = Brought(before, TableGrids(*sums[:2], self.tables, made), made)
        added = sums.limit[: len(result.limit)]
        if bool((torch.maximum(4 * added, x.limit + added) > 2**23 * torch.minimum(x.unit, result.unit)).any()):
            raise BadInput(f"the sums of {self.names[block]} are not proven: its features are too unlike.")
        return result

    def _chain(self, layers: Chain, its: Range) -> Masked:
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

    def _masked(self, layer: Masked, its: Range) -> None:
        given = [] if layer.context is None else [(layer.context, self.classes, ALL)]
        self._sum((layer.left, its, ALL), *([] if layer.above is None else [(layer.above, its, ALL)]), *given)

    def _normed(self, norm: ColourNorm | None, its: Range) -> Range:
        if norm is None:
            return its
        if float((its.limit / its.unit).max()) > 2**12 or len(norm.weight) > 2**11:
            raise BadInput(f"the sums of {self.names[norm]} are not proven: {len(norm.weight)} features are too many.")
        return self._on(norm)

    def _range(self, layer: Any) -> Range:
        """What comes from a layer."""
        name = self.names[layer]
        if name not in self.grids:
            raise BadInput(f"it has no grid for {name or 'the sum of the skip connections'}.")
        its = self.kept[name] = self.grids[name]
        part = layer.enter if isinstance(layer, Block) else layer.left if isinstance(layer, Entrance) else layer
        if len(its.unit) != (features := len(part.bias) if isinstance(part, WeightNorm) else 1):
            raise BadInput(f"its grid {name!r:.80} is of {len(its.unit)} features, not of {features}.")
        return its

    def _on(self, layer: Any) -> Range:
        """Give a layer the grid of its output."""
        its = self._range(layer)
        wide = isinstance(layer, Entrance | WeightNorm)
        layer.grid = TableGrids(*its[:2], self.tables) if wide else ops.Grid(float(its.unit), float(its.limit))
        return its

    def _sum(self, *parts: Part, also: Range | None = None, room: float = ROOM) -> None:
        """Round the weights of layers whose outputs are added up, (O,), and to `also`: that sum is then exact.

        A weight is a multiple of the sum's unit divided by the input's. The finest unit is taken that leaves room for
        the sum of the absolute values of all weights times the limits of what they are for: of those that add to it,
        and of those that take from it.
        """
        own = [(seen_by(layer)[rows].double(), layer.bias, its, rows, layer) for layer, its, rows in parts]
        given = [self.given.get(self.names[layer]) if room == ROOM else None for layer, *_ in parts]
        unit, first = _numbers(0), True
        while True:
            rounded = [_rounded(*part[:4], unit, gram) for part, gram in zip(own, given, strict=True)]
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
            self._round(kernels(layer), weight, rows)
            if bias is not None and layer.bias is not None:
                self._round(layer.bias, bias, rows)

    def _round(self, weight: Tensor, rounded: Tensor, rows: slice = ALL) -> None:
        if self.rounding:
            weight[rows] = rounded.to(weight)
        elif not torch.equal(weight[rows].double(), rounded):
            raise BadInput("a sum of its is not proven to be exact: some weights are not on the grid that it asks for.")


def _numbers(*values: int | float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def kernels(layer: RowsAbove | PixelsLeft | WeightNorm) -> Tensor:
    """The kernels of a layer, with what a mask hides."""
    return layer.direction if isinstance(layer, WeightNorm) else layer.weight


def seen_by(layer: RowsAbove | PixelsLeft | WeightNorm) -> Tensor:
    """The kernels without what a mask hides."""
    return layer.masked() if isinstance(layer, PixelsLeft) else kernels(layer)


def _rounded(
    weight: Tensor, bias: Tensor | None, its: Range, rows: slice, unit: Tensor, gram: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Weights, (O, D, h, w), and biases for sums of a unit, 0 to leave them, and how far from 0 their sums, (2, O)."""
    bias = None if bias is None else bias[rows].double()
    if bool((unit > 0).all()):
        step = (unit.view(-1, 1, 1, 1) / its.unit.view(1, -1, 1, 1)).expand_as(weight)
        if gram is None or not gram[-1, -1] > 0:  # of a layer that was given nothing
            weight = (weight / step).round() * step
        else:
            gram = gram.double() / gram[-1, -1]
            mean = gram[-1, :-1] * (bias is not None)  # which a bias takes up
            rounded = compensated(weight.flatten(1), step.flatten(1), gram[:-1, :-1] - mean.outer(mean))
            bias = None if bias is None else bias + (weight.flatten(1) - rounded) @ mean
            weight = rounded.view_as(weight)
        bias = None if bias is None else (bias / unit).round() * unit
    limit, depth = (numbers.view(1, -1, 1, 1) for numbers in (its.limit, its.depth))
    more, less = ((w.clamp(min=0) * limit - w.clamp(max=0) * depth).flatten(1).sum(1) for w in (weight, -weight))
    most = torch.stack((more, less))
    return weight, bias, most if bias is None else most + bias.abs()


def compensated(weight: Tensor, step: Tensor, gram: Tensor) -> Tensor:
    """Weights as multiples of their steps, (O, n), whose sums change little with inputs of that Gram matrix, (n, n).

    They are rounded input by input, and what that changes is made good by the weights of inputs still to come, as far
    as these are like it (Frantar et al. 2022, GPTQ). Zeros stay: a mask has put them there.
    """
    order = gram.diagonal().argsort(descending=True)
    weight, step, rounded, shown = weight[:, order], step[:, order], torch.zeros_like(weight), weight[:, order] != 0
    damped = gram[order][:, order] + DAMPED * gram.diagonal().mean().clamp(min=1e-9) * torch.eye(len(gram)).to(gram)
    shares, wrong = torch.linalg.cholesky_ex(torch.linalg.inv(damped), upper=True)
    if int(wrong):  # of inputs that are as good as the same: none is like another in part
        shares = torch.eye(len(gram)).to(gram)
    for start in range(0, len(gram), 64):  # products of many at once are faster
        end = min(start + 64, len(gram))
        off = torch.zeros_like(weight[:, start:end])
        for i in range(start, end):
            rounded[:, i] = (weight[:, i] / step[:, i]).round() * step[:, i] * shown[:, i]
            off[:, i - start] = (weight[:, i] - rounded[:, i]) / shares[i, i]
            weight[:, i:end] -= off[:, i - start].outer(shares[i, i:end])
        weight[:, end:] -= off @ shares[start:end, end:]
    return rounded[:, order.argsort()]
