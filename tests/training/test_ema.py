import math

import pytest
import torch
from torch import nn

from nextpixel.training.state import MovingAverage


def walk(model: nn.Linear, average: MovingAverage, values: list[float]) -> None:
    for value in values:
        nn.init.constant_(model.weight, value)
        average.update()


def test_the_average_is_the_one_computed_by_hand() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 100.0)
    average = MovingAverage(model, decay=0.2)
    walk(model, average, [1.0, 2.0, 3.0])
    by_hand = 0.1 * 100 + 0.9 * 1  # (1 + 0) / (10 + 0)
    by_hand = 2 / 11 * by_hand + 9 / 11 * 2
    by_hand = 0.2 * by_hand + 0.8 * 3  # 3 / 12 is more than 0.2
    assert average.average["weight"].item() == pytest.approx(by_hand)


def test_a_short_run_forgets_where_it_began() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 100.0)
    average = MovingAverage(model, decay=0.9999)
    walk(model, average, [1.0] * 20)
    assert average.average["weight"].item() == pytest.approx(1 + 99 / math.comb(29, 9))


@pytest.mark.parametrize("updates", [200, 5000])
def test_without_a_limit_the_average_spans_the_last_tenth_of_a_run_however_long_it_is(updates: int) -> None:
    model = nn.Linear(1, 1, bias=False)
    average = MovingAverage(model, decay=1.0)
    walk(model, average, [update / updates for update in range(1, updates + 1)])
    assert average.average["weight"].item() == pytest.approx(0.9, abs=0.01)  # as far back on average


def test_weights_that_stay_are_their_own_average_from_the_first_update() -> None:
    model = nn.Linear(3, 2)
    average = MovingAverage(model, decay=0.999)
    average.update()
    for name, parameter in model.named_parameters():
        assert torch.equal(average.average[name], parameter)


def test_without_decay_the_average_is_the_weights() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = MovingAverage(model, decay=0.0)
    walk(model, average, [5.0, 7.0])
    assert average.average["weight"].item() == 7.0


def test_in_place_lends_the_average_even_if_the_work_fails() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = MovingAverage(model, decay=0.5)
    walk(model, average, [1.0, 4.0])
    own, mean = model.weight.item(), average.average["weight"].item()

    def work() -> None:
        with average.in_place():
            assert model.weight.item() == mean
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert (model.weight.item(), average.average["weight"].item()) == (own, mean)


def test_running_statistics_are_averaged_with_the_weights_that_they_belong_to() -> None:
    model = nn.BatchNorm1d(1)
    average = MovingAverage(model, decay=0.2)
    assert model.running_mean is not None
    for value in (1.0, 2.0):
        model.running_mean.fill_(value)
        average.update()
    by_hand = 2 / 11 * (0.9 * 1.0) + 9 / 11 * 2.0  # they began at 0; the decays are 1/10 and 2/11
    with average.in_place():
        assert model.running_mean.item() == pytest.approx(by_hand)
    assert model.running_mean.item() == 2.0
    assert "num_batches_tracked" not in average.average
