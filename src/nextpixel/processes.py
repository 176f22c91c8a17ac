"""Several processes that work as one, as `torchrun` starts them: who they are, how work is shared, how they end.

The first one, of rank 0, writes and shows; the others compute. What is said here of errors is for the command line.
"""

import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

Work = TypeVar("Work")

TIMEOUT = timedelta(minutes=10)  # for a process that is silent; one that has ended is noticed at once
_LOST = ("peer", "Connection", "Timed out", "timed out", "NCCL", "recvValue", "Broken pipe", "closed")
_KINDS = ("float64", "float32", "int64")


def rank() -> int:
    """Which of the processes this is, from 0."""
    return int(os.environ.get("RANK", "0")) if size() > 1 else 0


def size() -> int:
    """How many processes work as one."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def local() -> tuple[int, int]:
    """Which of the processes of its machine this is, and how many it has."""
    return int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


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

    try:
        first = _store(timedelta(seconds=5)).add("nextpixel/told", 1) == 1
    except RuntimeError:  # there is none yet, or it has gone with the machine that had it
        return distributed.is_initialized() or rank() == 0
    time.sleep(0 if first else 2)  # torchrun ends all as soon as one leaves, and that one shall have told
    return first


def _store(timeout: timedelta = TIMEOUT) -> Any:
    """Where all can read and write, which outlives the processes: torchrun has it."""
    from torch import distributed

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = distributed.TCPStore  # pyright: ignore[reportPrivateImportUsage] (documented all the same)
    return store(address, port, is_master=False, timeout=timeout)


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


def said(name: str, text: Callable[[], str]) -> str:
    """A text that the first process makes, on all; `name` is for this one alone."""
    if size() == 1:
        return text()
    if rank() == 0:
        _store().set(f"nextpixel/{name}", text())
    return _store().get(f"nextpixel/{name}").decode()


def told(name: str, text: str) -> list[str]:
    """A text of each process, on all; `name` is for these alone."""
    if size() == 1:
        return [text]
    store = _store()
    store.set(f"nextpixel/{name}/{rank()}", text)
    return [store.get(f"nextpixel/{name}/{each}").decode() for each in range(size())]


def everywhere(
    pieces: Sequence[Work], work: Callable[[Work], Any], watch: Callable[[Sequence[Any]], Iterable[Any]] = iter
) -> list[Any]:
    """What some work makes of each piece, a tensor on the processor, on all processes; each has done its share.

    Args:
        pieces: of work; a piece is never divided, so that it makes the same numbers as in one process.
        work: of one piece.
        watch: goes through the pieces of this process, for a progress bar.
    """
    if size() == 1:
        return [work(piece) for piece in watch(pieces)]
    import torch
    from torch import distributed

    own = {number: work(pieces[number]) for number in watch(range(rank(), len(pieces), size()))}
    made = []
    for number in range(len(pieces)):
        owner, about = number % size(), torch.zeros(9, dtype=torch.int64)
        if owner == rank():
            kind = _KINDS.index(str(own[number].dtype).removeprefix("torch."))
            shape = own[number].shape
            about[: 2 + len(shape)] = torch.tensor([kind, len(shape), *shape])
        distributed.broadcast(about, owner)
        kind, dimensions, *shape = about.tolist()
        room = torch.empty(shape[:dimensions], dtype=getattr(torch, _KINDS[kind]))
        piece = own.get(number, room).contiguous()
        distributed.broadcast(piece, owner)
        made.append(piece)
    return made
