"""Gated PixelCNN: two stacks of gated convolutions, without a blind spot."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from nextpixel.errors import BadInput, odd, one_of, share, whole
from nextpixel.likelihoods import Likelihood
from nextpixel.nn import ops
from nextpixel.nn.causal import Lane, LeftState, PixelsLeft, Place, listed, one_by_one, row_of
from nextpixel.nn.gated import ACTIVATIONS, BlockState, GatedBlock, OneStackBlock, Plan, Skips, TwoStackBlock
from nextpixel.spec import ImageSpec
from nextpixel.typing import Colours
from nextpixel.unroll import Backbone


class GatedPixelCNN(Backbone):
    """Two stacks see everything earlier: the vertical one all rows above, the horizontal one this row's left.

    The paper replaces ReLUs by gates and removes the blind spot of masked convolutions [1, section 2]. Here a row of
    the vertical stack ends with the row above from the first layer on, so that nothing needs to be shifted between
    the stacks, and skip connections from every block are summed for the head.

    Args:
        filters: features in each stack (D).
        blocks: gated blocks after the first.
        kernel: odd width k of the blocks' convolutions, which see k // 2 rows above and k // 2 pixels to the left.
        first_kernel: the same for the first block, which sees the image.
        head: features of the skip connections and of the 1x1 layers before the parameters.
        norm: "layer" or "positional" (one operation) normalises both stacks before each block, the features of each
            colour on their own.
        dropout: share of gated features that training drops.
        colours: "dependent": a pixel's channels in order, each given those before; "independent": all at once.
        coordinates: whether the vertical stack sees, beside the image, each place's row and column from −1 to 1 [2], so
            that it need not find out from the padding where it is.
        residual: whether a block's input is added to its output (from the second block on; the first sees the image).
        activation: "gate" [1, equation 2], or "relu" to see what the gates do.
        stacks: 2, or 1 for masked convolutions in one stack, with their blind spot, to see what the second one does.

    References:
        [1] van den Oord et al., Conditional Image Generation with PixelCNN Decoders, 2016.
        [2] Chen et al., PixelSNAIL: An Improved Autoregressive Generative Model, 2017 (there for all layers).

    Example:
        >>> model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 28, 28, levels=2), "bernoulli", filters=8, blocks=2)
        >>> model.sample(4, seed=0).shape
        torch.Size([4, 1, 28, 28])
    """

    grid: ops.Grid | None = None  # of an exact twin, what the sum of the skip connections is brought to

    def __init__(
        self,
        spec: ImageSpec,
        likelihood: Likelihood,
        context: int = 0,
        *,
        filters: int = 128,
        blocks: int = 10,
        kernel: int = 3,
        first_kernel: int = 7,
        head: int = 64,
        norm: Literal["none", "layer", "positional"] = "none",
        dropout: float = 0.0,
        colours: Colours = "dependent",
        coordinates: bool = False,
        residual: bool = True,
        activation: Literal["gate", "relu"] = "gate",
        stacks: Literal[1, 2] = 2,
    ) -> None:
        super().__init__(spec, likelihood, colours=colours, carries=stacks == 1)
        whole(blocks, "blocks", least=0)
        odd(kernel, "kernel")
        odd(first_kernel, "first_kernel", least=3)
        share(dropout, "dropout")
        one_of(norm, "norm", ("none", "layer", "positional"))
        one_of(activation, "activation", tuple(ACTIVATIONS))
        one_of(stacks, "stacks", (1, 2))
        if coordinates and stacks == 1:
            raise BadInput("coordinates are for the vertical stack, so coordinates=True needs stacks=2, not stacks=1.")
        features, skips = self.share(filters=filters, head=head)
        block = TwoStackBlock if stacks == 2 else OneStackBlock
        plans = (
            Plan(
                inputs=features if index else self.image_colours,
                features=features,
                skips=skips,
                kernel=kernel if index else first_kernel,
                context=context,
                norm=norm != "none" and index > 0,
                dropout=dropout,
                activation=ACTIVATIONS[activation],
                extra=2 if coordinates and index == 0 else 0,
                first=index == 0,
                last=index == blocks,
                residual=residual and index > 0,
            )
            for index in range(blocks + 1)
        )
        self.blocks: list[GatedBlock] = listed(map(block, plans))
        self.coordinates: Tensor | None
        self.register_buffer("coordinates", self.places() if coordinates else None, persistent=False)
        self.head = PixelsLeft(skips, skips, reach=0)
        self.parameters_of = PixelsLeft(skips, self.parameter_colours, reach=0)
        self.head_context = one_by_one(context, head, bias=False) if context else None

    def forward(self, levels: Tensor, context: Tensor | None) -> Tensor:
        h = self.embed(levels)
        v = self._place(h)
        skips: Tensor | None = None
        for block in self.blocks:
            v, h, skips = block(v, h, skips, context)
        assert skips is not None, "there is always a first block"
        return self.parameters_of(ops.rectify(self.head(self._entering(skips), self._bias(context))))

    def init_state(self, batch: int, context: Tensor | None) -> "GatedState":
        width, pixel = self.spec.width, len(self.image_colours)
        blocks = [block.init_state(batch, width, context) for block in self.blocks]
        following = [*(its.near.left.lane if its.norm is None else None for its in blocks[1:]), None]
        skips = Skips([block.skip for block in self.blocks], batch)
        return GatedState(
            blocks=blocks,
            steps=[list(zip(self.blocks, blocks, slots, following, strict=True)) for slots in skips.slots],
            skips=skips,
            head=self.head.init_state(batch, width),
            parameters_of=self.parameters_of.init_state(batch, width),
            bias=self._bias(context),
            no_row=self.head.weight.new_zeros(batch, pixel + 2 * (self.coordinates is not None), 1, width),
        )

    def begin_row(self, row: int, above: Tensor | None, state: "GatedState") -> None:
        v = state.no_row if above is None else self._place(self.embed(above)[:, :, None], row - 1)
        for block, block_state in zip(self.blocks, state.blocks, strict=True):
            v = block.begin_row(row, v, block_state)
        if state.bias is not None:
            self.head.begin_row(row_of(state.bias, row), state.head)

    def step(self, column: int, substep: int, state: "GatedState") -> Tensor:
        place = Place(column, substep)
        h: Tensor | None = None
        for block, its, slot, following in state.steps[substep]:
            out = None if following is None else following.cells[substep][column]
            h = block.step(h, place, its, slot=slot, out=out)
        x = self.head.step(self._entering(state.skips.sum(substep)), place, state.head)
        return self.parameters_of.step(ops.rectify(x), place, state.parameters_of)

    def observe(self, column: int, substep: int, levels: Tensor, state: "GatedState") -> None:
        state.blocks[0].near.left.observe(self.embed(levels, substep), Place(column, substep))

    def _entering(self, skips: Tensor) -> Tensor:
        """What the head gets of the sum of the skip connections."""
        return ops.rectify(ops.settle(skips, self.grid)).to(self.head.weight)

    def _bias(self, context: Tensor | None) -> Tensor | None:
        """Of the context in the head, (B, O, 1 or H, 1 or W)."""
        return self.head_context(context.to(self.head.weight)) if self.head_context and context is not None else None

    def _place(self, image: Tensor, row: int | None = None) -> Tensor:
        """What the vertical stack sees, of all rows or of one: the image, and where each of its places is."""
        if self.coordinates is None:
            return image
        places = self.coordinates if row is None else row_of(self.coordinates, row)
        return torch.cat((image, places.to(image).expand(len(image), -1, -1, -1)), 1)


class GatedState(NamedTuple):
    """The state of an unroll: a part for each block, and the head's."""

    blocks: list[BlockState]
    # For each colour, each block with its state, the slot for the head, and the lane of the next block where its result
    # can be put at once.
    steps: list[list[tuple[GatedBlock, BlockState, Tensor, Lane | None]]]
    skips: Skips  # what all blocks leave for the head
    head: LeftState
    parameters_of: LeftState
    bias: Tensor | None  # of the context in the head, (B, O, 1 or H, 1 or W)
    no_row: Tensor  # what stands above the first row: padding, (B, features of a pixel and its coordinates, 1, W)
