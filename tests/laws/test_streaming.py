"""One network, two forms: an unroll by steps agrees with whole passes."""

import torch

from naive import drawn_naively
from nextpixel.checks import stepwise_log_prob
from zoo import Case, every_grid, every_model, images, part


@every_grid
@every_model
def test_step_agrees_with_forward(case: Case, grid: tuple[int, int]) -> None:
    spec = case.spec(*grid)
    model, x, contexts = case.build(spec), images(spec, 3), case.contexts(spec, 3)
    with torch.no_grad():
        parallel = model.predict(x, contexts).log_prob(x)
    assert (parallel - stepwise_log_prob(model, x, contexts)).abs().max() < 1e-10


@every_grid
@every_model
def test_samples_are_those_of_the_naive_path(case: Case, grid: tuple[int, int]) -> None:
    spec = case.spec(*grid)
    model, contexts = case.build(spec), case.contexts(spec, 3)
    for temperature in (1.0, 0.7):
        fast = model.sample(3, contexts, seed=11, temperature=temperature)
        assert fast.equal(drawn_naively(model, fast, contexts, seed=11, temperature=temperature))


@every_grid
@every_model
def test_completions_keep_what_is_known_and_draw_the_rest_as_the_naive_path(case: Case, grid: tuple[int, int]) -> None:
    spec = case.spec(*grid)
    generator = torch.Generator().manual_seed(2)
    known = torch.rand(9, *spec.shape, generator=generator) < 0.5
    known[3:6] = known[3:6, :1]  # whole pixels
    known[6:] = (torch.arange(grid[0]) < grid[0] // 2)[:, None]
    model, x, contexts = case.build(spec), images(spec, 9), case.contexts(spec, 9)
    completed = model.complete(x, known, contexts, seed=4)
    assert completed[known].equal(x[known])
    assert completed.equal(drawn_naively(model, completed, contexts, seed=4, known=known))


@every_model
def test_a_mask_of_pixels_is_one_of_all_their_channels(case: Case) -> None:
    spec = case.spec(4, 3)
    model, x, contexts = case.build(spec), images(spec, 3), case.contexts(spec, 3)
    known = torch.rand(3, 1, 4, 3, generator=torch.Generator().manual_seed(2)) < 0.5
    completed = model.complete(x, known, contexts, seed=4)
    assert completed.equal(model.complete(x, known.expand(x.shape), contexts, seed=4))


@every_model
def test_an_image_does_not_depend_on_its_batch(case: Case) -> None:
    spec = case.spec(4, 3)
    model, contexts = case.build(spec), case.contexts(spec, 5)
    whole = model.sample(5, contexts, seed=3)
    parts = [model.sample(1, part(contexts, slice(i, i + 1)), seed=3, first=i) for i in range(5)]
    assert whole.equal(torch.cat(parts))


@every_model
def test_other_seeds_give_other_images(case: Case) -> None:
    spec = case.spec(5, 7)
    model, contexts = case.build(spec), case.contexts(spec, 2)
    assert not model.sample(2, contexts, seed=0).equal(model.sample(2, contexts, seed=1))
