"""What a network is, and the one sequential loop: who chooses the levels makes it a sampler, a completer or a coder."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn

from nextpixel.distributions import Finite
from nextpixel.errors import BadInput, one_of, plain, require, whole
from nextpixel.likelihoods import Likelihood
from nextpixel.nn.causal import split
from nextpixel.nn.embedding import entry
from nextpixel.spec import ImageSpec, kind
from nextpixel.threads import Threads
from nextpixel.typing import Colours, Number, Whole

MARGIN = 1.2  # how many times as quick one thread must be


class Site(NamedTuple):
    """What is drawn at once: some channels of one pixel."""

    row: int
    column: int
    channels: slice


Choose = Callable[[Site, Finite], Tensor]  # from a site and the distribution of its sub-pixels, (B, S), to their levels
Ancestors = Callable[[], Tensor | None]  # after a sub-step: which images go on in the places of all, (B,), if any move
Progress = Callable[[Tensor], None]  # gets a copy of the images when a row is made; what it raises ends the work


class Backbone(nn.Module, ABC):
    """A network from images to the parameters of every sub-pixel's distribution, each from what comes before it.

    `forward` gives all of them at once, for a known image; `init_state`, `begin_row`, `step` and `observe`, which
    `unroll` calls, give them one sub-step at a time, for an image in the making. Both must use the same lines and
    weights. A `state` is the network's own typed object, which the caller owns.

    Args:
        spec: the images.
        likelihood: what the numbers that the network gives mean, and so how many they are.
        colours: "dependent": a pixel's channels in order, each given those before; "independent": all at once.
        carries: whether a row's steps leave what later rows need, so that even a known row must be stepped through.
    """

    outputs: int  # numbers that it gives for a pixel (P)
    substeps: int  # steps a pixel: one a colour, or one where colours are independent, or dependent by the likelihood
    together: int  # channels that are drawn at once

    def __init__(self, spec: ImageSpec, likelihood: Likelihood, *, colours: Colours, carries: bool = True) -> None:
        super().__init__()
        one_of(colours, "colours", get_args(Colours))
        self.spec = spec
        if likelihood.couples and colours == "independent":
            raise BadInput("This likelihood couples the colours by itself: it needs colours='dependent'.")
        self.outputs = likelihood.parameters
        self.substeps = spec.channels if colours == "dependent" and not likelihood.couples else 1
        self.together = 1 if likelihood.couples else spec.channels // self.substeps
        self.carries = carries
        self.entry = entry(spec)

    @property
    def image_colours(self) -> tuple[int, ...]:
        """The colour, by the order of drawing, of each feature that `embed` makes of the image."""
        features = self.entry.features
        return tuple(colour for colour in split(self.spec.channels, self.substeps) for _ in range(features))

    @property
    def parameter_colours(self) -> tuple[int, ...]:
        """The same of each number that the network gives for a pixel (P)."""
        return split(self.outputs, self.substeps)

    def share(self, **sizes: int) -> tuple[tuple[int, ...], ...]:
        """The colour of each feature of layers of such sizes: shared out in order, as evenly as can be.

        BadInput for a size that is not a whole number, or below one feature a colour.
        """
        for name, size in sizes.items():
            whole(size, name, least=self.substeps, why="one feature a colour" if self.substeps > 1 else "")
        return tuple(split(size, self.substeps) for size in sizes.values())

    @abstractmethod
    def forward(self, levels: Tensor, context: Tensor | None) -> Tensor:
        """Levels (B, C, H, W) and an encoded context (B, d, h, w) to parameters (B, P, H, W)."""

    def numbers(self, levels: Tensor, context: Tensor | None) -> Tensor:
        """What `forward` gives for a copy of the levels; BadInput where a network of one's own gives anything else."""
        made: Any = self(levels.clone(), context)
        wanted = (len(levels), self.outputs, *levels.shape[2:])
        if not isinstance(made, Tensor) or made.shape != wanted:
            given = f"the shape {tuple(made.shape)}" if isinstance(made, Tensor) else f"a {kind(made)}"
            raise BadInput(f"{type(self).__name__}.forward must give numbers of shape {wanted}, but gave {given}.")
        return made

    @abstractmethod
    def init_state(self, batch: int, context: Tensor | None) -> Any:
        """Buffers for `batch` images and the constants of weights and context."""

    @abstractmethod
    def begin_row(self, row: int, above: Tensor | None, state: Any) -> None:
        """Do what depends only on rows above: `above` holds the levels of the last one, (B, C, W), if there is one."""

    @abstractmethod
    def step(self, column: int, substep: int, state: Any) -> Tensor:
        """The parameters of this sub-step's S channels, (B, P_g): all of them, or one colour's."""

    @abstractmethod
    def observe(self, column: int, substep: int, levels: Tensor, state: Any) -> None:
        """Take note of the levels that were chosen, (B, S)."""

    def one_step(self, name: str) -> None:
        """Refuse several steps a pixel, for a model that has no order of colours in its features."""
        if self.substeps > 1:
            way = "take likelihood logistic_mixture, or colours='independent'"
            raise BadInput(f"{name} makes one step a pixel, in which colours do not depend on each other: {way}.")

    def embed(self, levels: Tensor, substep: int = 0) -> Tensor:
        """Levels of all channels, or of those of a sub-step, (B, S, …), to features: where images enter the network."""
        return self.entry(levels, substep * self.spec.channels // self.substeps)

    def places(self) -> Tensor:
        """Row and column of each place, from −1 to 1: (1, 2, H, W)."""
        row, column = (torch.linspace(-1, 1, size, device="cpu") for size in self.spec.shape[1:])
        places = torch.stack(torch.meshgrid(row, column, indexing="ij"))[None]
        return places.to(torch.get_default_device())  # made there, an outline would import torch's compiler


def unroll(
    network: Backbone,
    likelihood: Likelihood,
    choose: Choose,
    *,
    images: Tensor,
    context: Tensor | None,
    rows: Sequence[int],
    ancestors: Ancestors | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """Visit sub-pixels of some rows in raster order and let `choose` say what each is: the images, int64, (B, C, H, W).

    The network is in evaluation mode, images have the levels of the other rows, the context is encoded, (B, d, h, w);
    ancestors are asked for after each sub-step, and progress is told after each row.
    """
    images = images.clone()
    batch, channels, _, width = images.shape
    state = network.init_state(batch, context)
    copies = None
    if ancestors is not None and batch > 1:
        other = 3 if batch == 2 else 2
        twin = network.init_state(other, None if context is None else context[:1].expand(other, -1, -1, -1))
        copies = Copies(state, twin, batch)
    each = channels // network.substeps
    draws = [slice(first, first + network.together) for first in range(0, each, network.together)]
    visited = set(rows)
    with Threads("a row of pixels", images.device, laps=width * network.substeps, margin=MARGIN) as threads:
        for row in range(max(visited, default=-1) + 1):
            network.begin_row(row, images[:, :, row - 1] if row else None, state)
            if row not in visited and not network.carries:
                continue
            for column in range(width):
                for substep in range(network.substeps):
                    before = substep * each
                    levels = images[:, before : before + each, row, column]
                    parameters = network.step(column, substep, state)
                    distribution = likelihood.given(parameters)
                    for draw in draws if row in visited else ():
                        site = Site(row, column, slice(before + draw.start, before + draw.stop))
                        levels[:, draw].copy_(choose(site, distribution(levels, draw)))
                    network.observe(column, substep, levels, state)
                    if copies is not None and ancestors is not None and (taken := ancestors()) is not None:
                        images.copy_(images[taken])
                        copies.take(taken)
                    threads.lap()
            if progress is not None:
                progress(images.clone())
    return images


def noise(spec: ImageSpec, count: int, *, seed: Whole, first: Whole = 0, each: int = 1) -> Tensor:
    """A number in [0, 1) for every sub-pixel of every image, float32, shape (B · each, C, H, W).

    24 bits a number keep it below 1 in every dtype. Other arguments are those of `generators`, which see; `each` asks
    for several images side by side, of which the first is what it is alone.
    """
    channels, height, width = spec.shape
    require(count * (each * 16 * spec.subpixels + 2048), f"{count * each:,} images {spec}", "their number")
    sources = generators(count, seed=seed, first=first)
    images = np.zeros((len(sources), each, height, width, channels), dtype=np.float32)  # of which there may be none
    for image, generator in zip(images, sources, strict=True):
        generator.random(out=image, dtype=np.float32)
    return torch.from_numpy(images).flatten(0, 1).permute(0, 3, 1, 2)


def generators(count: int, *, seed: Whole, first: Whole = 0, stream: int = 0) -> list[np.random.Generator]:
    """A source of noise for every image: counter-based and keyed by seed and image, so each is its own in any batch.

    `first` is the number of the first image; another stream is independent: 0 is for pixels.
    """
    seed = whole(seed, "The seed", least=0, bits=63)
    first = whole(first, "The number of the first image", least=0, bits=63)
    keys = [np.array([seed, image], dtype=np.uint64) for image in range(first, first + count)]
    counter = np.array([0, 0, 0, stream], dtype=np.uint64)  # a stream has room for 2^192 blocks
    return [np.random.Generator(np.random.Philox(key=key, counter=counter)) for key in keys]


def draw(numbers: Tensor, temperature: Number = 1.0) -> Choose:
    """Choose by the inverse cumulative distribution at the given numbers, (B, C, H, W)."""
    power = plain(temperature)
    if isinstance(power, bool) or not isinstance(power, int | float) or not 1e-30 <= power <= 1e30:
        raise BadInput(f"The temperature must be above 0 and finite, from 1e-30 to 1e30, not {temperature!r}.")

    def choose(site: Site, distribution: Finite) -> Tensor:
        tempered = distribution if power == 1 else distribution.temper(power)
        levels = tempered.icdf(numbers[:, site.channels, site.row, site.column])
        if site.column == numbers.shape[-1] - 1 and bool(tempered.log_prob(levels).isnan().any()):  # would be all 0
            raise BadInput(f"The network's numbers for row {site.row} are not all finite, so that none can be drawn.")
        return levels

    return choose


class Copies:
    """Finds in a state, whatever a network makes, what belongs to images, and moves it from image to image.

    Tensors are looked for in tuples, lists, dictionaries, partial functions and objects, not in closures. They are
    views of buffers, of which each is moved once and in place, so that all views stay what they are; one view of each
    must have the images as its first axis. `twin` is the state of another number of images, at least two as well: what
    is as large in both are constants.
    """

    def __init__(self, state: Any, twin: Any, batch: int) -> None:
        self.state, self.batch = state, batch
        pairs = [*zip(_tensors(state), _tensors(twin), strict=True)]
        self._constants = {_buffer(tensor) for tensor, other in pairs if tensor.shape == other.shape}
        movable = {_buffer(tensor) for tensor, _ in pairs if tensor.shape[:1] == (batch,)}
        if not movable or {_buffer(tensor) for tensor, _ in pairs} - self._constants - movable:
            why = "this network's has tensors, or nothing else, whose first axis is not that of the images"
            raise BadInput(f"Particles move a state from image to image, but {why}; take particles=1.")

    def take(self, indices: Tensor) -> None:
        """Put image `indices[i]` into place i, (B,)."""
        moved: dict[int, int] = {}  # buffers, and the numbers between two of their images
        for tensor in _tensors(self.state):
            buffer = _buffer(tensor)
            if buffer in self._constants or tensor.shape[:1] != (self.batch,) or not tensor.stride(0):
                continue  # the last have one for all images
            apart = moved.setdefault(buffer, 0)
            assert apart in (0, tensor.stride(0)), "all views of a buffer have its images equally far apart"
            if not apart:
                moved[buffer] = tensor.stride(0)
                count = tensor.untyped_storage().nbytes() // tensor.element_size()
                images = tensor.as_strided((count,), (1,), 0).view(-1, self.batch, tensor.stride(0))
                images.copy_(images[:, indices])


def _buffer(tensor: Tensor) -> int:
    """What tells buffers apart; 0 of one without numbers."""
    return tensor.untyped_storage().data_ptr()


def _tensors(state: Any) -> list[Tensor]:
    """All tensors in a state, those of a buffer as often as it has views."""
    found, parts = [], [state]
    while parts:
        part = parts.pop()
        if isinstance(part, Tensor):
            found.append(part)
        elif isinstance(part, list | tuple):
            parts.extend(part)
        elif isinstance(part, dict):
            parts.extend(part.values())
        elif isinstance(part, partial):
            parts += [part.args, part.keywords]
        elif part is not None and not isinstance(part, type | nn.Module):
            parts.append(object.__getstate__(part))  # its dictionary, its slots
    return found
