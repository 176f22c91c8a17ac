"""Nothing later is seen; everything earlier is."""

import torch

from nextpixel.nn.embedding import Named
from zoo import Case, every_grid, every_model, images, part


def _sight(case: Case, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether each sub-pixel's distribution (rows, raster order) depends on each sub-pixel (columns), by gradient.

    Also which of them may: (N, N) each, N = H·W·C. Each row has images of its own, so that one pass back is enough.
    """
    spec = case.spec(height, width)
    model, count = case.build(spec), spec.subpixels
    levels = images(spec, 4).double().repeat(count, 1, 1, 1).requires_grad_()
    contexts = part(case.contexts(spec, 4), [0, 1, 2, 3] * count)
    encoded = None if model.encoder is None else model.encoder(contexts)
    if isinstance(model.backbone.entry, Named):  # a name has no gradient, but its vector has one
        model.backbone.entry.register_forward_hook(_moved)
    distribution = model.likelihood.distribution(model.backbone(levels, encoded), levels)
    nats = distribution.log_pmf().permute(0, 2, 3, 1, 4).reshape(count, 4, count, -1)  # (row, image, sub-pixel, level)
    nats = nats.diagonal(dim1=0, dim2=2)  # (image, level, sub-pixel)
    mix = torch.randn(nats.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((nats * mix).sum(), levels, materialize_grads=True)
    seen = gradient.permute(0, 2, 3, 1).reshape(count, 4, count).abs().sum(1) > 0
    group = torch.arange(count)
    if case.arguments.get("colours") == "independent":
        group = group // spec.channels
    return seen, group[None, :] < group[:, None]


def _moved(named: Named, given: tuple[torch.Tensor, ...], made: torch.Tensor) -> torch.Tensor:
    """Vectors of names that move with the level, each in a direction of its own."""
    levels = given[0]
    shape = (levels.shape[1], named.features, *levels.shape[2:])
    directions = torch.randn(shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return made + ((levels - levels.detach()).unsqueeze(2) * directions).flatten(1, 2)


@every_grid
@every_model
def test_nothing_later_is_seen_and_everything_earlier_is(case: Case, grid: tuple[int, int]) -> None:
    seen, allowed = _sight(case, *grid)
    assert not (seen & ~allowed).any()
    assert case.blind or (seen | ~allowed).all()


@every_grid
@every_model
def test_a_change_has_no_effect_on_what_came_before(case: Case, grid: tuple[int, int]) -> None:
    spec = case.spec(*grid)
    model, count = case.build(spec), spec.subpixels
    x, other = images(spec, 2), images(spec, 2, seed=1)
    order = torch.arange(count).view(*grid, spec.channels).permute(2, 0, 1)
    changed = [torch.where(order >= t, other, x) for t in range(count)]
    contexts = part(case.contexts(spec, 2), [0, 1] * (count + 1))
    with torch.no_grad():
        before, *after = model.predict(torch.cat([x, *changed]), contexts).log_pmf().split(2)
    for t in range(count):
        # Backends may sum differently for other values elsewhere; a leak is far larger.
        assert (before - after[t])[:, order <= t].abs().max() < 1e-12
