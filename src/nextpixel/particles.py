"""Sequential Monte Carlo: images in the making whose later pixels are known, as weighted particles."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nextpixel.distributions import Finite
from nextpixel.typing import PerImage, Whole
from nextpixel.unroll import Choose, Site, generators

_STREAM = 2**32 + 1  # of the noise that resamples


class Completion(NamedTuple):
    """Images, and how likely their known parts were, in the order in which each was read."""

    images: Tensor  # levels, int64, (B, C, H, W)
    evidence: PerImage  # estimate of log p(known | order), nats, (B,), whose exp is unbiased at temperature 1


class Particles:
    """What an unroll chooses for N particles an image, and which of them go on.

    Particles follow the model; a known sub-pixel that is met weighs each by how likely it was there. Where the
    effective number of an image's particles falls below half, they are drawn anew by their weights, systematically
    (Doucet & Johansen, A Tutorial on Particle Filtering and Smoothing, 2009, section 3).

    `drawn` chooses the unknown sub-pixels of B·N images, those of an image side by side; `given` has the levels of the
    known ones, (B·N, C, H, W); `count` is N.
    """

    def __init__(self, drawn: Choose, given: Tensor, known: Tensor, *, count: int, seed: Whole, first: Whole) -> None:
        self.drawn, self.given, self.known, self.count = drawn, given, known, count
        images = len(given) // count
        each = generators(images, seed=seed, first=first, stream=_STREAM)
        sites = given.shape[1:].numel() + 1  # each has its own number, whatever other images do; so has the last choice
        numbers = np.array([generator.random(sites) for generator in each]).reshape(-1, sites).T.copy()
        where = torch.device("cpu") if given.device.type == "mps" else given.device  # mps has no float64
        self._numbers = torch.from_numpy(numbers).to(where).unsqueeze(2)
        self.weights = torch.zeros(images, count, dtype=torch.float64, device=where)  # logarithms
        self.evidence = self.weights.new_zeros(images)
        self._met = known.flatten(1).any(0).view(known.shape[1:]).tolist()  # no look at the device for each sub-pixel
        self._weighed: int | None = None  # the sub-pixel at which particles were weighed last, until they are drawn

    def __call__(self, site: Site, distribution: Finite) -> Tensor:
        """Levels of a site, (B·N, S); those that are known weigh their particles."""
        here = (slice(None), site.channels, site.row, site.column)
        levels = self.drawn(site, distribution)
        if not any(self._met[channel][site.row][site.column] for channel in range(self.known.shape[1])[site.channels]):
            return levels
        known = self.known[here]
        levels = torch.where(known, self.given[here], levels)
        likely = distribution.log_prob(levels).masked_fill(~known, 0.0)
        self.weights += likely.to(self.weights.device).double().sum(1).view_as(self.weights)
        _, channels, _, width = self.known.shape
        self._weighed = (site.row * width + site.column) * channels + range(channels)[site.channels][0]
        return levels

    def ancestors(self) -> Tensor | None:
        """Which of the B·N images go on, in the places of all, if any are drawn anew."""
        at, self._weighed = self._weighed, None
        if at is None:
            return None
        share = self.weights.log_softmax(1)
        few = (-(2 * share).logsumexp(1)).exp() < self.count / 2  # the effective number; none where all are impossible
        if not bool(few.any()):
            return None
        places = torch.arange(self.count, device=few.device)
        points = (places + self._numbers[at]) / self.count
        chosen = torch.searchsorted(share.exp().cumsum(1), points).clamp(max=self.count - 1)
        self._settle(few)
        firsts = self.count * torch.arange(len(few), device=few.device)
        return (torch.where(few[:, None], chosen, places) + firsts[:, None]).flatten()

    def last(self) -> Tensor:
        """One of each image's particles, by their weights: its place among the B·N, (B,)."""
        reached = self.weights.softmax(1).cumsum(1)
        chosen = torch.searchsorted(reached, self._numbers[-1]).clamp(max=self.count - 1).squeeze(1)
        self._settle(torch.ones(len(chosen), dtype=torch.bool, device=chosen.device))
        return chosen + self.count * torch.arange(len(chosen), device=chosen.device)

    def _settle(self, which: Tensor) -> None:
        """Count the mean weight of some images' particles as evidence; they weigh alike again."""
        mean = self.weights.logsumexp(1) - math.log(self.count)
        self.evidence += mean.masked_fill(~which, 0.0)
        self.weights.masked_fill_(which[:, None], 0.0)
