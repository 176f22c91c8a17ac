"""What a PixelVAE's latent vectors come from."""

import torch
from torch import Tensor

from nextpixel.nn.latent import Conv, Dense, Whitened


def correlated(count: int) -> Tensor:
    """Vectors of three numbers that tell much the same, far from 0."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    mixed = x @ torch.tensor([[1.0, 0.8, 0.9], [0.0, 0.6, 0.2], [0.0, 0.0, 0.5]], dtype=torch.float64)
    return 6 + 0.3 * mixed


def test_whitened_vectors_have_no_mean_unit_variance_and_no_correlation() -> None:
    whitened = Whitened(3).double()
    x = correlated(8000)
    for batch in x.split(16):  # a batch has few vectors; the statistics are of many
        whitened(batch)
    made = whitened.eval()(x)
    assert made.mean(0).abs().max() < 0.4
    assert (torch.cov(made.T) - torch.eye(3)).abs().max() < 0.35
    for _ in range(1500):
        whitened.train()(x)
    made = whitened.eval()(x)
    assert made.mean(0).abs().max() < 1e-6
    assert (torch.cov(made.T) - torch.eye(3)).abs().max() < 0.25  # the least variance is not made to be 1


def test_in_evaluation_a_vector_does_not_depend_on_others_and_changes_nothing() -> None:
    whitened = Whitened(3).double()
    x = correlated(5)
    whitened(x)
    whitened.eval()
    kept = whitened.covariance.clone()
    assert torch.cat([whitened(vector) for vector in x.split(1)]).allclose(whitened(x))
    assert whitened.covariance.equal(kept)


def test_statistics_are_not_of_half_precision() -> None:
    half, full = Whitened(3), Whitened(3)
    x = correlated(16).float()
    with torch.autocast("cpu", torch.bfloat16):
        half(x)
    full(x)
    assert half.covariance.equal(full.covariance)


def test_equal_vectors_and_single_ones_are_no_problem() -> None:
    whitened = Whitened(4)
    for _ in range(6000):  # until nothing is left of the variance at the start
        whitened(torch.ones(1, 4))
    assert whitened(torch.ones(1, 4)).isfinite().all()
    assert whitened.covariance.abs().max() < 1e-10
    whitened.covariance.zero_()
    assert whitened.eval()(torch.ones(1, 4)).isfinite().all()


def test_a_step_of_adam_moves_a_wide_layer_by_the_root_of_its_width_only() -> None:
    moved = []
    for width in (16, 4096):
        torch.manual_seed(0)
        layer, x = Dense(width, 1, equalised=True), torch.randn(1, width)
        before = layer(x)
        assert 0.01 < before.abs().item() < 3
        optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3)
        layer(x).sum().backward()
        optimizer.step()
        moved.append((layer(x) - before).abs().item() / width**0.5)
    assert 0.5 < moved[0] / moved[1] < 2


def test_convolutions_start_with_outputs_as_large_as_rectified_inputs() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 32, 16, 16).relu()
    assert 0.8 < Conv(32, 64, equalised=True)(x)[:, :, 1:-1, 1:-1].pow(2).mean() / (2 * x.pow(2).mean()) < 1.2
    assert Conv(32, 64, stride=2, equalised=True)(x).shape == (4, 64, 8, 8)
