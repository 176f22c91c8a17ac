"""What a run computes with: bfloat16 only where it was seen to pay."""

from typing import Any

import pytest
import torch

from nextpixel import processes
from nextpixel.training import engine
from nextpixel.training.settings import Training


@pytest.mark.parametrize(
    ("instructions", "times", "fast"),
    [
        pytest.param("avx512_bf16", 0.5, True, id="AVX-512 that does two products at once"),
        pytest.param("amx_bf16", 0.2, True, id="AMX"),
        pytest.param("avx512_bf16", 1.9, False, id="Intel's AVX-512 without AMX"),
        pytest.param("avx512_bf16", 0.9, False, id="as fast as float32"),
        pytest.param("avx2", 0.2, False, id="emulated, so not timed"),
    ],
)
def test_precision_auto_goes_by_what_was_timed(
    instructions: str, times: float, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seconds(dtype: torch.dtype) -> float:
        return {torch.float32: 3.0, torch.bfloat16: 3.0 * times}[dtype]

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {instructions: True}, raising=False)
    monkeypatch.setattr(engine, "_seconds", seconds)
    assert engine.has_fast_bf16(torch.device("cpu")) is fast


@pytest.mark.parametrize(
    ("precision", "every", "taken"),
    [
        ("auto", [True, True], "bf16-mixed"),
        ("auto", [True, False], "32-true"),
        ("auto", [False, True], "32-true"),
        ("bf16", [True, False], "bf16-mixed"),
        ("fp32", [True, True], "32-true"),
    ],
)
def test_all_processes_take_the_same(
    precision: Any, every: list[bool], taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "told", lambda own: every)
    assert engine.engine(Training(precision=precision), "cpu")[0].strategy.precision.precision == taken


def test_a_product_is_timed_in_each_type() -> None:
    assert all(0 < engine._seconds(dtype) < 10 for dtype in (torch.float32, torch.bfloat16))
