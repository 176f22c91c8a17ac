"""Lossless compression by an exact twin (`npx.exact`): encoding is one pass, decoding streams, on any machine alike.

The coder is range ANS [1] with whole frequencies, a stream for each block of images. A container is, little-endian:

    "NPXC", version (1 byte), digest of the model (16), images (4), CRC-32 of what came so far (4); then for each block
    images (4), bytes of its stream (4), CRC-32 of its levels in order (4), the stream: words of 4 bytes.

A stream holds of each image its class, if the model is given one, and its reading order, if there are several, each as
likely as any other; then, place by place in the orders of the images, the levels of all images there.

References:
    [1] Duda, Asymmetric numeral systems, 2013.
"""

import hashlib
import json
import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nextpixel.autoregressive import Autoregressive
from nextpixel.errors import BadInput
from nextpixel.frequencies import PARTS, Frequencies
from nextpixel.integers import twin
from nextpixel.model import Model
from nextpixel.nn.context import ClassLabel
from nextpixel.unroll import Site

MAGIC, VERSION = b"NPXC", 1
BLOCK = 2**20  # sub-pixels of a block, at most, if it has several images
_HEAD, _PIECE, _CRC = struct.Struct("<4sB16sI"), struct.Struct("<III"), struct.Struct("<I")
_LOW = 2**32  # the state of the coder is from here to 2^64; it begins here, and a whole stream ends here
_AT_ONCE = 2**24  # edges of frequencies that are held


class Block(NamedTuple):
    """Of a container: so many images, the CRC of their levels, their stream."""

    images: int
    crc: int
    stream: bytes


def compress(model: Model, images: Tensor, context: object = None, *, verify: bool = True) -> bytes:
    """Make a container of images.

    Args:
        model: an exact twin.
        images: levels, any integer dtype, shape (B, C, H, W).
        context: labels (B,), for a model of classes; None lets each image have the class that costs least. Neither does
            it come back: `decompress` gives images.
        verify: whether what was made is decoded again before it is given.

    Raises:
        BadInput: no exact model, or images that it is not about; or decoding did not give the images back.
    """
    own = twin(model)
    images = own.spec.check(images)
    labels = None if context is None or own.context is None else own.context.check(context, len(images), own.spec)
    each = max(1, BLOCK // own.spec.subpixels)
    parts = []
    for start in range(0, len(images), each):
        some = images[start : start + each]
        stream = _encoded(own, some, None if labels is None else labels[start : start + each])
        parts += [_PIECE.pack(len(some), len(stream), _crc(own, some)), stream]
    head = _HEAD.pack(MAGIC, VERSION, digest(own), len(images))
    made = b"".join([head, _CRC.pack(zlib.crc32(head)), *parts])
    if verify and not torch.equal(decompress(own, made), images.cpu().long()):
        raise BadInput(
            "Decoding does not give the images back, so nothing is given: this machine does not compute exactly."
        )
    return made


def decompress(model: Model, data: bytes, *, recover: bool = False) -> Tensor:
    """The images of a container, int64, shape (B, C, H, W).

    Args:
        model: the exact twin that it was made by.
        data: the container.
        recover: leave out damaged blocks; else any of them is refused.

    Raises:
        BadInput: another model, or no whole container, or a damaged one.
    """
    own = twin(model)
    found = []
    for number, got in enumerate(decoded(own, data)):
        if isinstance(got, Tensor):
            found.append(got)
        elif not recover:
            raise BadInput(
                f"Block {number} is damaged: {got}; --recover (recover=True) gives the images of the others."
            )
    return torch.cat(found) if found else torch.zeros(0, *own.spec.shape, dtype=torch.long)


def decoded(model: Autoregressive, data: bytes) -> Iterator[Tensor | str]:
    """Block by block the images, or in a word what is wrong."""
    seen, count, blocks = parsed(data)
    if seen != digest(model):
        raise BadInput("The images were compressed by another model, or another version of this one; give that one.")
    done = 0
    for block in blocks:
        wanted = min(count - done, max(1, BLOCK // model.spec.subpixels))
        if isinstance(block, str) or block.images != wanted:
            yield block if isinstance(block, str) else f"it says that it has {block.images} images, not {wanted}"
        else:
            images = _decoded(model, block)
            yield "its stream was changed" if images is None or _crc(model, images) != block.crc else images
        done += wanted
    if done != count:
        yield f"it ends after {done} of {count} images"


def parsed(data: bytes) -> tuple[bytes, int, Iterator[Block | str]]:
    """The digest of the model, how many images there are, and the blocks, or what is wrong with one.

    Raises:
        BadInput: it does not begin like a container.
    """
    size = _HEAD.size + _CRC.size
    if data[:4] != MAGIC:
        raise BadInput(f"This is no container of compressed images: it begins with {data[:4]!r}, not with {MAGIC!r}.")
    if len(data) < size or _CRC.unpack(data[_HEAD.size : size])[0] != zlib.crc32(data[: _HEAD.size]):
        raise BadInput("The head of the container is damaged or cut off; take another copy.")
    _, version, seen, count = _HEAD.unpack(data[: _HEAD.size])
    if version != VERSION:
        raise BadInput(f"The container has version {version}; this nextpixel reads version {VERSION}.")
    return seen, count, _blocks(data, size)


def _blocks(data: bytes, start: int) -> Iterator[Block | str]:
    while start < len(data):
        if len(data) - start < _PIECE.size:
            yield "its head is cut off"
            return
        images, size, crc = _PIECE.unpack_from(data, start)
        start += _PIECE.size
        stream, start = data[start : start + size], start + size
        yield Block(images, crc, stream) if len(stream) == size and size % 4 == 0 else "its stream is cut off"


def digest(model: Autoregressive) -> bytes:
    """Of all that says what a stream means: the recipe and every number, 16 bytes."""
    seen = hashlib.sha256(json.dumps(model.recipe, sort_keys=True, default=dict).encode())
    for name, tensor in sorted(model.state_dict().items()):
        seen.update(name.encode() + tensor.detach().cpu().double().contiguous().numpy().astype("<f8").tobytes())
    return seen.digest()[:16]


def _crc(model: Autoregressive, images: Tensor) -> int:
    kind = "<u1" if model.spec.levels <= 2**8 else "<u2"
    return zlib.crc32(np.ascontiguousarray(images.cpu().numpy().astype(kind)).tobytes())


class _Coder:
    """Range ANS: what is put last comes first; parts are whole numbers of 2^24."""

    def __init__(self, stream: bytes | None = None) -> None:
        words = [] if stream is None else list(struct.unpack(f"<{len(stream) // 4}I", stream))
        self.words, self.state = words, _LOW
        if stream is not None:
            self.state = self._next() << 32 | self._next()

    def put(self, first: int, last: int) -> None:
        wide = last - first
        if self.state >= wide << 40:
            self.words.append(self.state & (_LOW - 1))
            self.state >>= 32
        self.state = (self.state // wide << 24) + self.state % wide + first

    def get(self, find: Callable[[int], tuple[int, int, int]]) -> int:
        """A level; `find` says it of a part, with the edges of the level's."""
        part = self.state & (PARTS - 1)
        level, first, last = find(part)
        if not first <= part < last:
            raise ValueError("no level has this part")
        self.state = (last - first) * (self.state >> 24) + part - first
        if self.state < _LOW:
            self.state = self.state << 32 | self._next()
        return level

    def _next(self) -> int:
        if not self.words:
            raise ValueError("the stream ends too soon")
        return self.words.pop()

    def stream(self) -> bytes:
        """All words, the last one first to be read."""
        words = [*self.words, self.state & (_LOW - 1), self.state >> 32]
        return struct.pack(f"<{len(words)}I", *words)


def _uniform(count: int) -> Callable[[int], tuple[int, int, int]]:
    def find(part: int) -> tuple[int, int, int]:
        level = ((part + 1) * count - 1) // PARTS  # the last one whose first edge is not above the part
        return level, _edge(level, count), _edge(level + 1, count)

    return find


def _edge(level: int, count: int) -> int:
    return level * PARTS // count


def _classes(model: Autoregressive) -> int:
    return model.context.classes if isinstance(model.context, ClassLabel) else 1


@torch.no_grad()
def _encoded(model: Autoregressive, images: Tensor, labels: Tensor | None) -> bytes:
    """The stream of a block: of each image its likeliest order and class, then all levels."""
    orders, classes = model.orders, _classes(model)
    best = torch.full((len(images),), torch.inf, dtype=torch.float64)
    order, label = torch.zeros(len(images), dtype=torch.long), torch.zeros(len(images), dtype=torch.long)
    edges = torch.zeros(2, *images.shape, dtype=torch.int64)
    for turn in range(orders):
        for number in range(classes) if labels is None else (None,):
            given = labels if number is None else torch.full((len(images),), number)
            found = _edges(model, images, given if classes > 1 else None, turn)
            nats = -((found[1] - found[0]).double() / PARTS).log().flatten(1).sum(1)
            better = nats < best
            best[better], order[better], edges[:, better] = nats[better], turn, found[:, better]
            label[better] = given[better].cpu() if given is not None else 0
    coder = _Coder()
    first, last = (edge.permute(2, 3, 1, 0).flatten().tolist() for edge in edges)  # by rows, columns, channels, images
    for each in zip(reversed(first), reversed(last), strict=True):
        coder.put(*each)
    for values, count in ((label, classes), (order, orders)):
        for value in reversed(values.tolist()) if count > 1 else ():
            coder.put(_edge(value, count), _edge(value + 1, count))
    return coder.stream()


def _edges(model: Autoregressive, images: Tensor, labels: Tensor | None, order: int) -> Tensor:
    """Both edges of every level, as the order reads the images, int64, (2, B, C, H, W)."""
    each, parts = max(1, _AT_ONCE // (model.spec.subpixels * (model.spec.levels + 1))), []
    for start in range(0, len(images), each):
        x = images[start : start + each]
        meant: Any = model.predict(x, None if labels is None else labels[start : start + each], order=order)
        turn = model.reading.check(order, len(x))
        parts.append(
            torch.stack([model.reading.turn(edge, turn) for edge in meant.interval(x.to(model.device))]).long().cpu()
        )
    return torch.cat(parts, 1)


@torch.no_grad()
def _decoded(model: Autoregressive, block: Block) -> Tensor | None:
    """The images of a block; None if the stream is no such images'."""
    orders, classes = model.orders, _classes(model)
    try:
        coder = _Coder(block.stream)
        order, label = (
            torch.tensor([coder.get(_uniform(count)) if count > 1 else 0 for _ in range(block.images)])
            for count in (orders, classes)
        )

        def choose(site: Site, distribution: Any) -> Tensor:
            assert isinstance(distribution, Frequencies), "an exact twin gives no others"
            edges = distribution.edges.permute(1, 0, 2)  # by channels, then images
            rows = edges.reshape(-1, edges.shape[-1]).long().tolist()
            found = [coder.get(_among(row)) for row in rows]
            return torch.tensor(found, device=edges.device).view(edges.shape[:2]).t()

        chosen = model.reading.check(order, block.images)
        images = model.unroll(choose, block.images, label if classes > 1 else None, order=chosen)
        images = model.reading.turn_back(images, chosen)
    except ValueError:
        return None
    return images.cpu() if coder.state == _LOW and not coder.words else None


def _among(edges: list[int]) -> Callable[[int], tuple[int, int, int]]:
    def find(part: int) -> tuple[int, int, int]:
        level = min(max(bisect_right(edges, part) - 1, 0), len(edges) - 2)
        return level, edges[level], edges[level + 1]

    return find
