"""Products of one row, which threads share; and gradients that are our own."""

import pytest
import torch
import torch.nn.functional as F

from nextpixel.nn import ops


@pytest.mark.parametrize("threads", [1, 2, 3, 64])
@pytest.mark.parametrize("batch", [1, 4])
def test_packed_kernels_give_the_product(threads: int, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    kernels = torch.randn(12, 5, dtype=torch.float64)
    x, addend, bias = torch.randn(batch, 5).double(), torch.randn(batch, 12).double(), torch.randn(12).double()
    weight = ops.packed(kernels, batch)
    assert weight.ndim == (3 if batch == 1 and threads > 1 else 2)
    torch.testing.assert_close(ops.multiply(x, weight), x @ kernels.t())
    torch.testing.assert_close(ops.multiply(x, weight, addend), x @ kernels.t() + addend)
    torch.testing.assert_close(ops.multiply(x, weight, bias), x @ kernels.t() + bias)


@pytest.mark.parametrize("features", [1, 3, 8])
def test_what_has_a_gradient_of_its_own_is_what_torch_has_with_its_own(features: int) -> None:
    x = torch.randn(2, 2 * features, 3, 4, dtype=torch.float64).mul_(3)
    x[0, 0, 0] = torch.tensor([0.0, -0.0, 40.0, -800.0])  # ELU's corner, and where an exponential would overflow
    given = x.clone().requires_grad_()
    for ours, plainly in (
        (ops.concat_elu, lambda x: F.elu(torch.cat((x, -x), 1))),
        (ops.glu, lambda x: F.glu(x, 1)),
    ):
        torch.testing.assert_close(ours(given), plainly(given), rtol=0, atol=1e-15)
        torch.testing.assert_close(ours(given), ours(x), rtol=0, atol=1e-15)  # of training, and without a gradient
        slope = torch.randn_like(plainly(x))
        one, other = (torch.autograd.grad(each(given), given, slope)[0] for each in (ours, plainly))
        torch.testing.assert_close(one, other, rtol=0, atol=1e-14)
        assert torch.autograd.gradgradcheck(ours, (torch.randn_like(x).requires_grad_(),))


def test_joined_features_lie_side_by_side_of_each_place_whatever_comes_first() -> None:
    image, x = torch.randn(2, 1, 3, 4), torch.randn(2, 5, 3, 4).contiguous(memory_format=torch.channels_last)
    joined = ops.join(image, x)
    assert joined.equal(torch.cat((image, x), 1))
    assert joined.is_contiguous(memory_format=torch.channels_last)
