"""Training images that come one after the other, from a source larger than a disk, and are never all here.

They are taken a window at a time, the next one in the background; within a window, training has an order of its own.
Of several processes, each has the images that `split_dataset_by_node` of Hugging Face `datasets` gives it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from nextpixel.data.dataset import Split
from nextpixel.errors import BadInput

Record = Mapping[str, Any]


@dataclass
class Stream:
    """Endless images, epoch after epoch."""

    what: str  # what sentences call it
    records: Any  # an `IterableDataset` of Hugging Face
    decode: Callable[[Sequence[Record]], Split]  # makes images, and what stands beside them, of records
    images: int | None  # in an epoch, or what is to count as one; None where nobody knows
    _threads: ThreadPoolExecutor | None = field(default=None, init=False)

    def start(self, count: int, *, rank: int, size: int, window: int = 0, where: str | None = None) -> None:
        """Begin with a window of so many images at the first one, or where `where` says that this window begins."""
        self._count, self._coming = count, window
        self._node: dict[str, Any] = {"rank": rank, "world_size": size}
        self._windows: dict[int, Future[tuple[Split, str]]] = {}
        self._threads = ThreadPoolExecutor(1)
        self._rows = self._opened(*json.loads(where)) if where else self._opened(0)

    def window(self, number: int) -> tuple[Split, str]:
        """The images of a window, and where it begins; windows go by their numbers, and earlier ones are gone."""
        assert self._threads is not None
        while self._coming <= number + 1:
            self._windows[self._coming] = self._threads.submit(self._load)
            self._coming += 1
        self._windows = {each: made for each, made in self._windows.items() if each >= number}
        return self._windows[number].result()

    def close(self) -> None:
        """Let go of the source, after the window that is on its way."""
        if self._threads is not None:
            self._threads.submit(self._rows.close)  # or its own threads would abort the process at its end
            self._threads.shutdown()

    def _opened(self, epoch: int, state: dict[str, Any] | None = None) -> Any:
        from datasets.distributed import split_dataset_by_node

        self._epoch, self._own = epoch, split_dataset_by_node(self.records, **self._node)
        self._own.set_epoch(epoch)
        if state is not None:
            self._own.load_state_dict(state)
        return iter(self._own)

    def _load(self) -> tuple[Split, str]:
        where, found = json.dumps([self._epoch, self._own.state_dict()]), list[Record]()
        while len(found) < self._count:
            more = list(islice(self._rows, self._count - len(found)))
            if not more:
                if not found and self._epoch > json.loads(where)[0]:
                    raise BadInput(f"{self.what} has no image for each of {self._node['world_size']} processes.")
                self._rows = self._opened(self._epoch + 1)
            found += more
        return self.decode(found), where


def first(records: Any, count: int) -> list[Record]:
    """The first records of a stream."""
    with closing(iter(records)) as rows:
        return list(islice(rows, count))
