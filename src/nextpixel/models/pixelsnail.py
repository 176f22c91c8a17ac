"""PixelSNAIL: residual blocks of causal convolutions, and between them attention to all earlier places."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nextpixel.errors import BadInput, share, whole
from nextpixel.likelihoods import Likelihood
from nextpixel.nn import ops
from nextpixel.nn.attention import Memory, attend
from nextpixel.nn.blocks import BlockLeft, BlockLeftState, BlockPlace, Features, Steps, features
from nextpixel.nn.causal import listed
from nextpixel.nn.shifted import AtPlace, Dense, Entrance, EntranceState, with_ones
from nextpixel.spec import ImageSpec
from nextpixel.typing import Colours
from nextpixel.unroll import Backbone


class PixelSNAIL(Backbone):
    """Convolutions find what is near, attention finds what is far: all that is earlier, in each layer [1, figure 3].

    A layer is some gated residual blocks of 2x2 convolutions that end with their own place, and one causal attention:
    keys and values are made of the image, the blocks' features and the place's coordinates; queries of the features and
    coordinates. Keys know the pixel of their own place, so a place attends to earlier ones only, and the first to
    nothing at all. Blocks and weight normalisation are those of PixelCNN++, as in the authors' code.

    Args:
        filters: features of the convolutions (D).
        blocks: residual blocks before each attention.
        layers: attentions.
        keys: features of all heads' keys and queries.
        values: features of all heads' values.
        heads: of each attention.
        dropout: share of features within blocks that training drops.
        colours: "dependent" by the likelihood, or "independent".

    References:
        [1] Chen et al., PixelSNAIL: An Improved Autoregressive Generative Model, 2017.

    Example:
        >>> spec = npx.ImageSpec(3, 8, 8, levels=256)
        >>> sizes = {"filters": 4, "blocks": 1, "layers": 1, "keys": 2, "values": 2, "mixtures": 2}
        >>> npx.build("pixelsnail", spec, "logistic_mixture", **sizes).sample(2, seed=0).shape
        torch.Size([2, 3, 8, 8])
    """

    coordinates: Tensor
    brightness = 1.0  # of an exact twin, by what its levels are too small

    def __init__(
        self,
        spec: ImageSpec,
        likelihood: Likelihood,
        context: int = 0,
        *,
        filters: int = 256,
        blocks: int = 5,
        layers: int = 12,
        keys: int = 16,
        values: int = 128,
        heads: int = 1,
        dropout: float = 0.5,
        colours: Colours = "dependent",
    ) -> None:
        super().__init__(spec, likelihood, colours=colours)
        self.one_step("pixelsnail")
        for name, value in (("filters", filters), ("blocks", blocks), ("layers", layers), ("heads", heads)):
            whole(value, name, least=1)
        for name, value in (("keys", keys), ("values", values)):
            whole(value, name, least=heads, why="one feature a head")
            if value % heads:
                raise BadInput(f"{name} must be a multiple of heads, {heads}, not {value}.")
        share(dropout, "dropout")
        self.register_buffer("coordinates", self.places(), persistent=False)
        image = len(self.image_colours)
        self.first = Entrance(image + 1, filters)
        sizes = {"blocks": blocks, "keys": keys, "values": values, "heads": heads, "context": context}
        made = (AttentionLayer(image, filters, **sizes, dropout=dropout) for _ in range(layers))
        self.layers: list[AttentionLayer] = listed(made)
        self.parameters_of = Dense(filters, self.outputs)

    def forward(self, levels: Tensor, context: Tensor | None) -> Tensor:
        image = self.embed(levels)
        places = self.coordinates.to(image).expand(len(image), -1, -1, -1)
        x, image = features(self.first(with_ones(image)), self.first.grid), image * self.brightness
        for layer in self.layers:
            x = layer(x, image, places, context)
        return self.parameters_of(ops.elu(x.plain, self.layers[-1].mix.grids.result))

    def init_state(self, batch: int, context: Tensor | None) -> "PixelSNAILState":
        places = self.coordinates.to(self.first.left.bias).flatten(2).permute(2, 0, 1)  # (H·W, 1, 2)
        return PixelSNAILState(
            begin=0,
            first=self.first.init_state(batch, self.spec.width),
            layers=[layer.init_state(batch, self.spec.width, len(places), context) for layer in self.layers],
            places=list(places.expand(-1, batch, -1).unbind(0)),
            parameters_of=self.parameters_of.at_place(batch),
        )

    def begin_row(self, row: int, above: Tensor | None, state: "PixelSNAILState") -> None:
        state.begin = row * self.spec.width
        self.first.begin_row(None if above is None else with_ones(self.embed(above)[:, :, None]), state.first)
        for layer, its in zip(self.layers, state.layers, strict=True):
            layer.begin_row(row, its)

    def step(self, column: int, substep: int, state: "PixelSNAILState") -> Tensor:
        place = state.begin + column
        x = ops.settle(self.first.step(column, state.first), self.first.grid)
        for layer, its in zip(self.layers, state.layers, strict=True):
            x = layer.step(x, column, place, state.places[place], its)
        return state.parameters_of(ops.elu(x, self.layers[-1].mix.grids.result))

    def observe(self, column: int, substep: int, levels: Tensor, state: "PixelSNAILState") -> None:
        place, pixel = state.begin + column, self.embed(levels)
        self.first.observe(column, with_ones(pixel), state.first)
        pixel = pixel * self.brightness
        for layer, its in zip(self.layers, state.layers, strict=True):
            layer.observe(pixel, place, state.places[place], its)


class AttentionLayer(nn.Module):
    """Residual blocks, and what their features ask of all earlier places; `image` is how many features a pixel has."""

    known: ops.Grids | None = None  # of an exact twin, the grids of what is made keys and values, of what asks, and of
    asking: ops.Grids | None = None  # the values
    grid: ops.Grids | None = None

    def __init__(
        self, image: int, filters: int, *, blocks: int, keys: int, values: int, heads: int, context: int, dropout: float
    ) -> None:
        super().__init__()
        self.keys, self.heads = keys, heads
        near = (BlockLeft(filters, context=context, dropout=dropout) for _ in range(blocks))
        self.blocks: list[BlockLeft] = listed(near)
        known, asking = image + filters + 2, filters + 2
        self.content = BlockPlace(known, dropout=dropout)
        self.to_content = Dense(known, keys + values)
        self.query = BlockPlace(asking, dropout=dropout)
        self.to_query = Dense(asking, keys)
        self.mix = BlockPlace(filters, beside=2 * values, dropout=dropout)

    def forward(self, x: Features, image: Tensor, places: Tensor, context: Tensor | None) -> Features:
        """Features (B, D, H, W), the image's features (B, F, H, W) and coordinates (B, 2, H, W) to features."""
        for block in self.blocks:
            x = block(x, None, context)
        known = ops.join(image, x.plain, places)
        content = self.to_content(self.content(features(known, self.known), None, None).plain)
        query = self.to_query(self.query(features(known[:, image.shape[1] :], self.asking), None, None).plain)
        seen = attend(query, content[:, : self.keys], content[:, self.keys :], self.grid, heads=self.heads)
        return self.mix(x, ops.concat_elu(seen, self.grid), None)

    def init_state(self, batch: int, width: int, places: int, context: Tensor | None) -> "AttentionState":
        values = len(self.to_content.bias) - self.keys
        like = self.to_content.bias if self.grid is None else self.to_content.bias.double()  # see `Grids.attention`
        room = [like.new_zeros(batch, self.heads, places, n // self.heads) for n in (self.keys, values)]
        return AttentionState(
            x=self.to_content.bias.new_zeros(0),
            blocks=[block.init_state(batch, width, context) for block in self.blocks],
            content=self.content.init_state(batch),
            to_content=self.to_content.at_place(batch),
            query=self.query.init_state(batch),
            to_query=self.to_query.at_place(batch),
            memory=Memory(*room),  # apart, as reading every second part of a line takes as long as reading it all
            mix=self.mix.init_state(batch),
        )

    def begin_row(self, row: int, state: "AttentionState") -> None:
        """Do what the blocks do once a row."""
        for block, its in zip(self.blocks, state.blocks, strict=True):
            block.begin_row(row, None, its)

    def step(self, x: Tensor, column: int, place: int, where: Tensor, state: "AttentionState") -> Tensor:
        """Features at one place, (B, D), by its column, its number in raster order and its coordinates, (B, 2)."""
        for block, its in zip(self.blocks, state.blocks, strict=True):
            x = block.step(x, column, None, its)
        state.x = x
        query = state.query.block(features(torch.cat((x, where), 1), self.asking), None, None)
        seen = ops.concat_elu(state.memory.recall(place, state.to_query(query), self.grid), self.grid)
        return state.mix.block(Features(x, ops.concat_elu(x, self.blocks[-1].grids.result)), seen, None)

    def observe(self, pixel: Tensor, place: int, where: Tensor, state: "AttentionState") -> None:
        """Remember the place that was stepped to last, now that its pixel is known, (B, F)."""
        known = features(torch.cat((pixel, state.x, where), 1), self.known)
        made = state.to_content(state.content.block(known, None, None))
        state.memory.observe(place, made[:, : self.keys], made[:, self.keys :])


@dataclass
class AttentionState:
    """What `AttentionLayer` keeps during an unroll."""

    x: Tensor  # the blocks' features at the present place, (B, D)
    blocks: list[BlockLeftState]
    content: Steps
    to_content: AtPlace
    query: Steps
    to_query: AtPlace
    memory: Memory  # keys and values of all places so far
    mix: Steps


@dataclass
class PixelSNAILState:
    """What the network keeps during an unroll."""

    begin: int  # the number of the row's first place
    first: EntranceState
    layers: list[AttentionState]
    places: list[Tensor]  # coordinates of each place, (B, 2)
    parameters_of: AtPlace
