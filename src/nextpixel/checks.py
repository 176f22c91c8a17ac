"""The slow reference that the fast path must agree with; and the laws, for the user's own models."""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from nextpixel import twins
from nextpixel.autoregressive import Autoregressive
from nextpixel.distributions import Finite
from nextpixel.errors import BadInput, called, whole
from nextpixel.model import Model, a_model, are_finite, in_float64
from nextpixel.nn.context import Both, ClassLabel, Context, Map, Vector
from nextpixel.plots import earlier, ranks, receptive_field
from nextpixel.spec import ImageSpec
from nextpixel.typing import Whole
from nextpixel.unroll import Site

Verdict = Literal["fails", "note", "not applicable", "holds"]
Law = Callable[[], list["Finding"]]

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)  # the worst first
IMAGES = 3  # at once
PLACES = 16  # sub-pixels whose future is changed
PIXELS = 6  # whose gradients are taken; fewer where channels are more
SITES = 256  # about so many are stepped through, where rows can be left out
TOLERANCE = 1e-9  # nats a sub-pixel, in float64; a leak is far larger
ROUNDED, SUM, RARE = 1e-3, 1e-6, 1e-4  # of the nats of a sub-pixel, in float32; of 1; a p-value
LEAK = "a sub-pixel sees itself or what follows: its likelihood means nothing"
BLIND = "predictions do not know of them: a blind spot, or too few layers; the likelihood is exact all the same"
OTHER = "samples do not follow what is measured"


def stepwise_log_prob(
    model: Autoregressive,
    x: Tensor,
    context: object = None,
    *,
    rows: Sequence[int] | None = None,
    order: Whole | None = None,
) -> Tensor:
    """`model.predict(x).log_prob(x)`, but every sub-pixel is predicted before the next is shown to the network.

    A network that sees what it predicts scores better in one parallel pass than here. Nats, shape (B, C, H, W), as the
    `order` reads the images; of `rows` alone where they are given, 0 elsewhere.
    """
    chosen = model.reading.check(order, len(x))
    x = model.reading.turn(model.spec.check(x).to(model.device), chosen)
    own = next((weight.dtype for weight in model.parameters()), torch.float32)
    dtype = torch.promote_types(own, torch.float32)  # of the likelihoods
    nats = torch.zeros(x.shape, dtype=dtype, device=model.device)

    def choose(site: Site, distribution: Finite) -> Tensor:
        here = (slice(None), site.channels, site.row, site.column)
        nats[here] = distribution.log_prob(x[here])
        return x[here]

    model.unroll(choose, len(x), context, given=x, rows=rows, order=chosen)
    return nats


@dataclass(frozen=True)
class Finding:
    """What a law found."""

    law: str  # in words
    figure: float  # by how much it is broken, or a p-value; not a number where it was not tested
    tolerance: float  # how large the figure may be, or how small the p-value
    failure: str  # what it means where it is not so
    untested: str = ""  # why it was not tested; empty where it was
    least: bool = False  # whether the figure must be at least the tolerance
    harmless: bool = False  # whether models that are right may break it: a note, no failure

    @property
    def holds(self) -> bool:
        """Whether it was tested and holds; what is not a number does not."""
        kept = self.figure >= self.tolerance if self.least else self.figure <= self.tolerance
        return kept and not self.untested

    @property
    def fails(self) -> bool:
        """Whether something is wrong with the model."""
        return self.verdict == "fails"

    @property
    def verdict(self) -> Verdict:
        """What there is to say, in a word or two."""
        if self.untested:
            return "not applicable"
        return "holds" if self.holds else "note" if self.harmless and self.figure > self.tolerance else "fails"


def check(
    model: Model,
    context: object = None,
    *,
    images: Tensor | None = None,
    seed: int = 0,
    watch: Callable[[Sequence[Law]], Iterable[Law]] = iter,
) -> list[Finding]:
    """What the laws of this library's tests say of a model, in float64, at places that the seed draws.

    Args:
        model: any exact model, fresh or trained; it is left as it was. Weights that are all zero, as those of a last
            layer may be at first, are tried with random ones, which hide nothing.
        context: of the images; None for the first classes, or random ones.
        images: levels (B, C, H, W), at least two; None for three random ones.
        seed: of all that is drawn.
        watch: goes through the laws, for a progress bar.

    Returns:
        A finding a law: nothing later is seen, by gradient and by change; everything earlier is; steps agree with one
        pass; an image does not depend on its batch; float32 is near float64; the probabilities of levels sum to 1, and
        those of all images of a network of the same weights for a few pixels, whose samples follow them.

    Raises:
        BadInput: a model without an exact likelihood, a single image, or what the model is not about.

    Example:
        >>> model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 4, 4, levels=3), filters=8, blocks=2)
        >>> {finding.verdict for finding in npx.check(model)}
        {'holds'}
    """
    model = a_model(model)
    called(watch, "watch")
    if not isinstance(model, Autoregressive):
        name = type(model).__name__
        raise BadInput(f"The laws are for exact likelihoods, which a {name} has not; try check(model.decoder, z).")
    spec, generator = model.spec, torch.Generator().manual_seed(whole(seed, "The seed", least=0, bits=63))
    with torch.device("cpu"):  # whatever the default is
        exact = copy.deepcopy(model).to("cpu" if model.device.type == "mps" else model.device)  # mps has no float64
        exact.double().eval()
        with torch.no_grad():
            for weight in exact.parameters():
                if weight.requires_grad and not weight.any():  # as a last layer may begin; it would hide all before it
                    weight.copy_(torch.randn(weight.shape, generator=generator) / max(1, weight[0].numel()) ** 0.5)
        x = torch.randint(spec.levels, (IMAGES, *spec.shape), generator=generator) if images is None else images
        x = spec.check(x).long().to(exact.device)
        if len(x) < 2:
            raise BadInput(f"The laws need at least two images, as one may depend on another, not {len(x)}.")
        if model.context is not None:
            context = _some(model.context, spec, len(x), generator) if context is None else context
            context = model.context.check(context, len(x), spec)
        with in_float64(model), torch.no_grad(), torch.autocast(exact.device.type, enabled=False):
            exact.predict(x, context, order=0)
        trials = [_Trial(exact, x, context, seed, order) for order in range(exact.orders)]
        laws = [law for its in trials for law in (its.sees, its.changes, its.steps, its.numbers, its.tiny)]
        with torch.random.fork_rng([]), torch.autocast(exact.device.type, enabled=False):
            findings = [finding for law in watch(laws) for finding in law()]

    def goodness(finding: Finding) -> tuple[int, float]:
        return VERDICTS.index(finding.verdict), finding.figure if finding.least else -finding.figure

    names = dict.fromkeys(finding.law for finding in findings)
    return [min((its for its in findings if its.law == law), key=goodness) for law in names]  # of all reading orders


def difference(some: Tensor, others: Tensor) -> Tensor:
    """How far numbers are apart; where both are −∞ they agree, though their difference is not a number."""
    return (some - others).masked_fill(some == others, 0.0).abs()


class _Trial(NamedTuple):
    """A model in float64, images, their contexts and a reading order; each method has findings of some laws."""

    model: Autoregressive
    x: Tensor
    context: Any
    seed: int
    order: int

    def predict(self, x: Tensor, context: Any) -> Finite:
        with torch.no_grad():
            return self.model.predict(x, context, order=self.order)

    def sees(self) -> list[Finding]:
        """Gradients are exactly 0 where nothing leads from a level to a prediction."""
        channels, height, width = self.model.spec.shape
        every = torch.randperm(height * width, generator=torch.Generator().manual_seed(self.seed)).tolist()
        some = every[: max(2, PIXELS // channels) // self.model.orders]
        pixels = [
            divmod(pixel, width) for pixel in sorted({height // 2 * width + width // 2, height * width - 1, *some})
        ]
        later, unseen, about = None, None, ""
        field = partial(receptive_field, self.model, images=2, seed=self.seed, order=self.order)
        try:
            fields = torch.stack([field(*pixel) for pixel in pixels])
            before = [[earlier(self.model, *pixel, channel) for channel in range(channels)] for pixel in pixels]
            known = torch.stack([torch.stack(each) for each in before])
            about, untested = f", of {known.sum():,} pairs of sub-pixels", "no level has a gradient"
            if bool((fields != 0).any()):
                later = fields.masked_fill(known, 0.0).max() + 0 * fields.sum()  # or not a number
                unseen = ((fields == 0) & known).sum() + 0 * fields.sum()
        except Exception as error:  # noqa: BLE001 (a user's network may want integers, and say so in any way)
            untested = f"levels can have no gradient: {_sentence(error.__cause__ or error)}"
        return [
            _finding("nothing later is seen, by gradient", later, 0.0, LEAK, untested),
            _finding(f"everything earlier is seen{about}", unseen, 0.0, BLIND, untested, harmless=True),
        ]

    def changes(self) -> list[Finding]:
        """No change of a sub-pixel and of all that follow moves a prediction of it, or of what came before."""
        generator, levels = torch.Generator().manual_seed(self.seed), self.model.spec.levels
        other = (self.x + torch.randint(1, levels, self.x.shape, generator=generator).to(self.x)) % levels

        def nats(x: Tensor) -> Tensor:  # of two levels: those of all of a mixture take long
            made = self.predict(x, self.context)
            return torch.stack([made.log_prob(self.x), made.log_prob(other)])

        before, reading = nats(self.x), self.model.reading
        rank = reading.turn_back(ranks(self.model)[None].to(self.x), reading.check(self.order, 1))[0]
        moved, last = before.new_zeros(()), int(rank.max())
        places = torch.randperm(last + 1, generator=generator)[: PLACES // self.model.orders].tolist()
        for place in {0, last, *places}:
            after = nats(torch.where(rank >= place, other, self.x))
            moved = torch.maximum(moved, difference(before, after)[..., rank <= place].max())
        return [_finding("nothing later is seen, by change", moved, TOLERANCE, LEAK)]

    def steps(self) -> list[Finding]:
        """In one pass and step by step, together and alone."""
        _, height, width = self.model.spec.shape
        sites = SITES // self.model.orders
        count, generator = max(1, sites // (width * self.model.backbone.substeps)), torch.Generator()
        rows = torch.randperm(height, generator=generator.manual_seed(self.seed))[:count].sort().values.tolist()
        singles = [
            apply_to_collection((self.x, self.context), Tensor, Tensor.narrow, 0, i, 1) for i in range(len(self.x))
        ]
        nats = self.predict(self.x, self.context).log_prob(self.x)
        alone = torch.cat([self.predict(x, context).log_prob(x) for x, context in singles])
        settings = {"rows": rows, "order": self.order}
        stepped = stepwise_log_prob(self.model, self.x, self.context, **settings)
        last = difference(stepped[-1:], stepwise_log_prob(self.model, *singles[-1], **settings)).max()
        read = self.model.reading.turn(nats, self.model.reading.check(self.order, len(nats)))
        off = difference(read, stepped)[:, :, rows].max()
        others = torch.maximum(difference(nats, alone).max(), last)
        seen = "the images of a batch see each other"
        return [
            _finding("steps agree with one pass", off, TOLERANCE, OTHER),
            _finding("an image does not depend on its batch", others, TOLERANCE, seen),
        ]

    def numbers(self) -> list[Finding]:
        """What rounding changes, and what probabilities add up to."""
        rounded = self._replace(model=copy.deepcopy(self.model).float()).predict(self.x, self.context)
        exact = self.predict(self.x, self.context)
        nats, every = exact.log_prob(self.x), exact.log_pmf()
        off = (difference(nats, rounded.log_prob(self.x)) / nats.abs().clamp(min=1)).max()
        own = difference(nats, every.gather(-1, self.x.unsqueeze(-1)).squeeze(-1)).max()
        total = torch.maximum((every.exp().sum(-1) - 1).abs().max(), own)
        wrong = "what the likelihood gives are no probabilities"
        return [
            _finding("float32 is near float64", off, ROUNDED, "figures in float32 are rounding noise"),
            _finding("probabilities of a sub-pixel's levels sum to 1", total, SUM, wrong),
        ]

    def tiny(self) -> list[Finding]:
        """What is asked about all images, of a network of the same weights for a few pixels."""
        total, chance, where, untested = None, None, "", ""
        try:
            twin = twins.twin_of(self.model)
            with torch.no_grad():
                given = self.model.given(self.context, self.model.reading.check(self.order, len(self.x)))
                given = None if given is None else given[:1, :, 0, 0]
                every = twins.probabilities(twin, given)
                finite = are_finite(twin)  # or nothing can be drawn from it
                chance = twins.chance(twin, given, every, seed=self.seed) if finite else math.nan
            total, where = None if every is None else abs(float(every.sum()) - 1), f", of {twin.spec}"
        except Exception as error:  # noqa: BLE001 (a user's network may refuse other sizes in any way)
            untested = f"there is no such network for fewer pixels: {_sentence(error)}"
        sure = untested or "one image has nearly all the probability"
        many = untested or "there are too many"
        return [
            _finding(f"probabilities of all images sum to 1{where}", total, SUM, LEAK, many),
            _finding(f"samples have their probabilities{where}", chance, RARE, OTHER, sure, least=True),
        ]


def _some(context: Context, spec: ImageSpec, count: int, generator: torch.Generator) -> Any:
    """Contexts for so many images: the first classes, or random ones."""
    match context:
        case Both(first, second):
            return _some(first, spec, count, generator), _some(second, spec, count, generator)
        case ClassLabel(classes):
            return torch.arange(count) % classes
        case Map(size, levels):
            shape = (count, size, spec.height, spec.width)
            drawn = torch.randn(shape, generator=generator)
            return drawn if levels is None else torch.randint(levels, shape, generator=generator)
        case Vector(size):
            return torch.randn(count, size, generator=generator)
        case _:
            return context.check(None, count, spec)  # which says what it needs


def _sentence(error: BaseException) -> str:
    return f"{error}".partition("\n")[0].rstrip(".") or type(error).__name__


def _finding(
    law: str, figure: Tensor | float | None, tolerance: float, failure: str, untested: str = "", **more: bool
) -> Finding:
    """What a figure says; where there is none, why."""
    missing = figure is None
    return Finding(law, math.nan if missing else float(figure), tolerance, failure, untested * missing, **more)
