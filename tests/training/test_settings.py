import math
from typing import Any

import pytest

from nextpixel.errors import BadInput
from nextpixel.training import Training


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"max_minutes": -1.0}, r"max_minutes must be above 0, not -1\.0"),
        ({"max_minutes": math.nan}, "max_minutes must be above 0, not nan"),
        ({"batch": -64}, "batch must be at least 1, not -64"),
        ({"learning_rate": 0.0}, r"learning_rate must be above 0, not 0\.0"),
        ({"learning_rate": math.inf}, "learning_rate must be above 0, not inf"),
        ({"optimizer": "sgd"}, "optimizer must be one of adam, adamw, rmsprop, muon, not 'sgd'"),
        ({"epsilon": 0.0}, r"epsilon must be at least 1e-30, not 0\.0"),
        ({"betas": (0.9, 1.0)}, r"betas must be at least 0 and below 1, not 1\.0"),
        ({"weight_decay": -0.1}, r"weight_decay must be at least 0, not -0\.1"),
        ({"warmup": -1}, "warmup must be at least 0, not -1"),
        ({"schedule": "linear"}, "schedule must be one of cosine, exponential, constant, not 'linear'"),
        ({"decay": 0.0}, r"decay must be above 0 and at most 1, not 0\.0"),
        ({"decay": 1.5}, r"decay must be above 0 and at most 1, not 1\.5"),
        ({"decay": math.nan}, "decay must be above 0 and at most 1, not nan"),
        ({"decay": 0.5}, r"decay is for the exponential schedule, but 0\.5 is given for cosine"),
        ({"gradient_clip": 0.0}, r"gradient_clip must be above 0, not 0\.0"),
        ({"ema": 1.0}, r"ema must be at least 0 and below 1, not 1\.0"),
        ({"precision": "16"}, "precision must be one of auto, fp32, bf16, not '16'"),
        ({"validate_every": 0.0}, r"validate_every must be above 0, not 0\.0"),
        ({"validation_images": 0}, "validation_images must be at least 1, not 0"),
        ({"patience": 0}, "patience must be at least 1, not 0"),
        ({"samples": -1}, "samples must be at least 0, not -1"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, Any], sentence: str) -> None:
    settings = Training()
    for name, value in wrong.items():  # past beartype, which is there only in tests
        object.__setattr__(settings, name, value)
    with pytest.raises(BadInput, match=f"training.{sentence}"):
        settings.__post_init__()


def test_the_rate_rises_linearly_then_falls_as_a_cosine() -> None:
    settings = Training(learning_rate=1.0, warmup=4)
    assert [settings.rate(step, 0.0) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert settings.rate(100, 0.5) == pytest.approx(0.5)
    assert settings.rate(100, 1 / 3) == pytest.approx(0.75)
    assert settings.rate(100, 1.0) == 0.0
    assert Training(learning_rate=0.1, warmup=0, schedule="constant").rate(0, 0.9) == 0.1


@pytest.mark.parametrize("steps", [20, 200, 5000])
def test_without_a_number_the_warm_up_is_a_share_of_the_run_however_long_it_is(steps: int) -> None:
    by_steps = Training(learning_rate=1.0, schedule="constant")
    by_minutes = Training(learning_rate=1.0, schedule="constant", max_minutes=3.0)
    for progress_at in (
        lambda step: by_steps.progress(step, steps, 0.0),
        lambda step: by_minutes.progress(step, 10**9, 3.0 * step / steps),
    ):
        rates = [by_steps.rate(step, progress_at(step)) for step in range(steps)]
        risen = steps // 20
        assert all(0 < rate < 1 for rate in rates[: risen - 1])
        assert rates[risen // 2] == pytest.approx((risen // 2 + 1) / risen if risen > 1 else 0.1)
        assert rates[max(1, risen) :] == [1.0] * (steps - max(1, risen))


def test_the_rate_falls_by_a_factor_a_step() -> None:
    settings = Training(learning_rate=1.0, warmup=2, schedule="exponential", decay=0.5)
    assert [settings.rate(step, 0.9) for step in range(4)] == [0.5, 0.5, 0.25, 0.125]
    assert Training(learning_rate=0.1, warmup=0, schedule="exponential").rate(10**6, 1.0) == 0.1


def test_progress_is_of_steps_or_of_minutes_whichever_is_more() -> None:
    assert Training().progress(30, 100, 1e6) == 0.3
    assert Training(max_minutes=10.0).progress(30, 100, 5.0) == 0.5
    assert Training(max_minutes=10.0).progress(70, 100, 5.0) == 0.7
    assert Training(max_minutes=10.0).progress(70, 100, 50.0) == 1.0
