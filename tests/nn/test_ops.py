"""Products of one row, which threads share."""

import pytest
import torch

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
