"""Several processes that work as one, as `torchrun` starts them: who they are, how work is shared, how they end.

The first one, of rank 0, writes and shows; the others compute. What is said here of errors is for the command line.
"""

import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TextIO, TypeVar

from nextpixel.errors import BadInput

Work = TypeVar("Work")

loud: TextIO | None = None  # where a command says what goes wrong, however quiet it is to be; None: where it says all
TIMEOUT = timedelta(minutes=10)  # for a process that is silent; one that has ended is noticed at once
_LOST = ("peer", "Connection", "Timed out", "timed out", "NCCL", "recvValue", "Broken pipe", "closed")


def rank() -> int:
    """Which of the processes this is, from 0."""
    return int(os.environ.get("RANK", "0")) if size() > 1 else 0


def size() -> int:
    """How many processes work as one."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def local() -> tuple[int, int]:
    """Which of the processes of its machine this is, and how many it has."""
    return int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def device(name: Any) -> Any:
    """The device of that name, a text or torch's own, which must be there; "auto" is the fastest that is."""
    import torch

    usable = [*["cuda"] * torch.cuda.is_available(), *["mps"] * torch.backends.mps.is_available(), "cpu"]
    try:
        where = torch.device(usable[0] if name == "auto" else name)
        where = torch.device("cuda", local()[0]) if where == torch.device("cuda") else where
        torch.zeros(1, device=where).item()  # which "meta" has not
    except (AssertionError, RuntimeError, TypeError) as error:  # whatever torch says of what it was not built for
        raise BadInput(f"There is no device {name!r} here; there is {' and '.join(usable)}.") from error
    return where


@contextmanager
def joined() -> Generator[None]:
    """Be connected with the others, if there are any, until all of them are done."""
    if size() == 1:
        yield
        return
    import torch
    from torch import distributed

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=TIMEOUT)
    yield
    distributed.barrier()  # one that left earlier would be missed by those that still compute
    distributed.destroy_process_group()


def leave(status: int) -> None:
    """End this process of several at once: threads of the connections would abort it half the time."""
    if size() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def first_to_tell() -> bool:
    """Whether this process is to say what went wrong; of those that could, one does."""
    if size() == 1:
        return True
    from torch import distributed

    store = distributed.TCPStore  # pyright: ignore[reportPrivateImportUsage] (documented all the same)
    address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:  # torchrun has a store where all can read and write, which outlives the processes
        first = store(*address, is_master=False, timeout=timedelta(seconds=5)).add("nextpixel/told", 1) == 1
    except RuntimeError:  # there is none yet, or it has gone with the machine that had it
        return distributed.is_initialized() or rank() == 0
    time.sleep(0 if first else 2)  # torchrun ends all as soon as one leaves, and that one shall have told
    return first


def lost(error: BaseException) -> bool:
    """Whether an error says that another process has gone."""
    return size() > 1 and isinstance(error, RuntimeError) and any(word in str(error) for word in _LOST)


def total(*numbers: float) -> list[float]:
    """The sums of numbers over all processes, in float64."""
    if size() == 1:
        return list(numbers)
    import torch
    from torch import distributed

    sums = torch.tensor(numbers, dtype=torch.float64)
    distributed.all_reduce(sums)
    return sums.tolist()


def told(own: Any) -> list[Any]:
    """What each process has, on all."""
    if size() == 1:
        return [own]
    from torch import distributed

    distributed.all_gather_object(found := [None] * size(), own)
    return found


def everywhere(
    pieces: Sequence[Work], work: Callable[[Work], Any], watch: Callable[[Sequence[Any]], Iterable[Any]] = iter
) -> list[Any]:
    """What some work makes of each piece, on all processes; each has done its share, and `watch` goes through that.

    A piece is never divided, so that it makes the same numbers as in one process.
    """
    own = {number: work(pieces[number]) for number in watch(range(rank(), len(pieces), size()))}
    every = told(own)
    return [every[number % size()][number] for number in range(len(pieces))]
