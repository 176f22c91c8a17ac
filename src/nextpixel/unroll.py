"""The one sequential loop: who chooses the levels makes it a sampler, a completer, a coder or a check."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from nextpixel.distributions import Finite
from nextpixel.likelihoods import Likelihood


class Site(NamedTuple):
    """What one sub-step draws: some channels of one pixel."""

    row: int
    column: int
    channels: slice


Choose = Callable[[Site, Finite], Tensor]
"""Gets a site and the distribution of its sub-pixels, batch shape (B, S); gives their levels, (B, S)."""


class Streaming(Protocol):
    """What the loop needs of a network; `state` is the network's own typed object, owned by the caller."""

    substeps: int

    def init_state(self, batch: int, context: Tensor | None) -> Any:
        """Buffers for `batch` images and the constants of weights and context."""
        ...

    def begin_row(self, row: int, above: Tensor | None, state: Any) -> None:
        """Do what depends only on rows above: `above` holds the levels of the last one, (B, C, W), if there is one."""
        ...

    def step(self, column: int, substep: int, state: Any) -> Tensor:
        """The parameters of this sub-step's sub-pixels, (B, S, P)."""
        ...

    def observe(self, column: int, substep: int, levels: Tensor, state: Any) -> None:
        """Take note of the levels that were chosen, (B, S)."""
        ...


def unroll(
    network: Streaming,
    likelihood: Likelihood,
    choose: Choose,
    *,
    images: Tensor,
    context: Tensor | None,
    rows: Sequence[int],
) -> Tensor:
    """Visit sub-pixels in raster order and let `choose` say what each is.

    Args:
        network: in evaluation mode.
        likelihood: what the network's parameters mean.
        choose: names the levels of a site, given their distribution.
        images: levels of the rows that are not visited, int64, (B, C, H, W).
        context: encoded, (B, d, h, w).
        rows: the rows to visit, ascending.

    Returns:
        The images with the chosen levels, int64, shape (B, C, H, W).
    """
    images = images.clone()
    batch, channels, _, width = images.shape
    state = network.init_state(batch, context)
    together = channels // network.substeps
    visited = set(rows)
    for row in range(max(visited, default=-1) + 1):
        network.begin_row(row, images[:, :, row - 1] if row else None, state)
        if row not in visited:  # Only the vertical part depends on rows; the horizontal part starts afresh.
            continue
        for column in range(width):
            for substep in range(network.substeps):
                site = Site(row, column, slice(substep * together, (substep + 1) * together))
                levels = choose(site, likelihood.distribution(network.step(column, substep, state)))
                images[:, site.channels, row, column] = levels
                network.observe(column, substep, levels, state)
    return images
