import time
from collections.abc import Callable, Iterator

import pytest
import torch

from nextpixel.threads import Threads

CPU = torch.device("cpu")


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A torch of two threads, and nobody who said how many."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(usual)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that goes on only when it is told to."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


@pytest.mark.parametrize(("one", "both", "expected"), [(1.0, 0.6, 2), (1.0, 8.0, 1)])
def test_the_faster_number_is_taken(
    two: None, clock: Callable[[float], None], one: float, both: float, expected: int
) -> None:
    with Threads(CPU, pieces=3) as threads:
        used = []
        for _ in range(10):
            with threads.piece():
                used.append(torch.get_num_threads())
                clock(one if used[-1] == 1 else both)
        assert sorted(used[:6]) == [1, 1, 1, 2, 2, 2]
        assert used[6:] == [expected] * 4
        assert threads.count == expected
    assert torch.get_num_threads() == 2


def test_a_slow_piece_among_them_does_not_count(two: None, clock: Callable[[float], None]) -> None:
    with Threads(CPU, pieces=2) as threads:
        for number in range(4):
            with threads.piece():
                clock(50.0 if number in (0, 3) else 0.5 if torch.get_num_threads() == 2 else 1.0)
        assert threads.count == 2


def test_it_is_measured_again(two: None, clock: Callable[[float], None]) -> None:
    with Threads(CPU, pieces=1, again=10.0) as threads:
        busy = False
        counts = []
        for step in range(40):
            busy = step >= 10
            with threads.piece():
                clock(1.0 if torch.get_num_threads() == 1 else 7.0 if busy else 0.6)
            counts.append(threads.count)
    assert counts[5] == 2
    assert counts[-1] == 1


@pytest.mark.parametrize("reason", ["said", "one", "elsewhere"])
def test_nothing_is_chosen_where_there_is_no_choice(two: None, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    if reason == "said":
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
    elif reason == "one":
        torch.set_num_threads(1)
    before = torch.get_num_threads()
    with Threads(torch.device("cuda" if reason == "elsewhere" else "cpu"), pieces=1) as threads:
        for _ in range(5):
            with threads.piece():
                assert torch.get_num_threads() == before
        assert threads.count == before


def test_the_number_is_given_back_after_an_error(two: None) -> None:
    def fail() -> None:
        with Threads(CPU) as threads, threads.piece():
            assert torch.get_num_threads() == 1 or threads.count == 2
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fail()
        assert torch.get_num_threads() == 2
