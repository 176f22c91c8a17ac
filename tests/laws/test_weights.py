"""Weights survive a file, every one of them is used, and the dtype of levels means nothing."""

from pathlib import Path

import torch

import nextpixel as npx
from zoo import Case, every_model, images


@every_model
def test_a_saved_model_is_the_same_model(case: Case, tmp_path: Path) -> None:
    spec = case.spec(5, 4)
    model, x, contexts = case.build(spec), images(spec, 3), case.contexts(spec, 3)
    npx.save(model, tmp_path / "m.safetensors")
    again = npx.load(tmp_path / "m.safetensors")
    assert again.spec == spec
    assert again.recipe == model.recipe
    with torch.no_grad():
        assert again.log_prob(x, contexts).equal(model.log_prob(x, contexts))


@every_model
def test_levels_may_have_any_integer_dtype(case: Case) -> None:
    spec = case.spec(5, 4)
    model, x, contexts = case.build(spec), images(spec, 3), case.contexts(spec, 3)
    with torch.no_grad():
        for dtype in (torch.uint8, torch.int16, torch.int32):
            assert model.log_prob(x.to(dtype), contexts).equal(model.log_prob(x, contexts))


@every_model
def test_every_parameter_gets_a_gradient(case: Case) -> None:
    spec = case.spec(5, 4)
    model = case.build(spec).train()
    model(images(spec, 6), case.contexts(spec, 6)).sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert bool((weight.grad != 0).any()), name
