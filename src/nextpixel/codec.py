"""Lossless compression by an exact twin (`npx.exact`): encoding is one pass, decoding streams, on any machine alike.

The coder is range ANS (Duda, Asymmetric numeral systems, 2013) with whole frequencies, a stream for each block.
docs/compression.md has the format of containers. Where a block's head was changed, the next mark with its CRC goes on.
"""

import hashlib
import io
import json
import struct
import warnings
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nextpixel import processes
from nextpixel.autoregressive import NEAR, Autoregressive
from nextpixel.errors import BadInput, flag, shown
from nextpixel.frequencies import PARTS, Frequencies
from nextpixel.integers import twin
from nextpixel.model import Model
from nextpixel.nn.context import ClassLabel
from nextpixel.tiles import Picture, packed, unpacked
from nextpixel.unroll import Site

MAGIC, VERSION, MARK = b"NPXC", 2, b"NPXB"
STREAM, PNG, LIST = range(3)  # kinds of blocks
BLOCK = 2**21  # sub-pixels of a block, at most, if it has several images
_HEAD, _PIECE, _CRC = struct.Struct("<4sB16sI"), struct.Struct("<4sBIII"), 4  # of the last, its bytes
_LOW = 2**32  # the state of the coder is from here to 2^64; it begins here, and a whole stream ends here
_AT_ONCE = 2**24  # edges of frequencies that are held


class Block(NamedTuple):
    """Of a container: its kind, the number of its first image, the CRC of its levels, its content."""

    kind: int
    first: int
    crc: int
    content: bytes


class Opened(NamedTuple):
    """Of a container: blocks of images by the number of their first, its pictures if it has any, what is damaged."""

    blocks: dict[int, Tensor]
    pictures: list[Picture]
    damage: list[str]


def compress(
    model: Model, images: Tensor, context: object = None, *, verify: bool = True, pictures: Sequence[Picture] = ()
) -> bytes:
    """Make a container of images; several processes share the work, and each has all of it.

    Args:
        model: an exact twin.
        images: levels, any integer dtype, shape (B, C, H, W).
        context: labels (B,), for a model of classes; None lets each image have the class that costs least. `decompress`
            does not give it back.
        verify: whether what was made is decoded again before it is given.
        pictures: whose tiles the images are, one after another.

    Raises:
        BadInput: no exact model, or images that it is not about; or decoding did not give the images back.
    """
    own = twin(model)
    images = own.spec.check(images)
    if context is not None and own.context is None:
        raise BadInput(f"The model is given nothing beside the images; leave out the context {shown(context)}.")
    labels = None if context is None else cast(ClassLabel, own.context).check(context, len(images), own.spec)
    flag(verify, "verify")
    if not isinstance(pictures, Sequence) or not all(isinstance(its, Picture) for its in pictures):
        raise BadInput(
            f"pictures must be those whose tiles the images are (nextpixel.tiles.Picture), not {shown(pictures)}."
        )
    each = max(1, BLOCK // own.spec.subpixels)

    def made_of(start: int) -> bytes:
        some = images[start : start + each]
        found = _encoded(own, some, None if labels is None else labels[start : start + each])
        as_png = _png(own, some)
        kind, content = (STREAM, found) if len(found) <= len(as_png) else (PNG, as_png)
        return _block(kind, start, _crc(own, some), content)

    parts = [_sealed(_HEAD.pack(MAGIC, VERSION, digest(own), len(images)))]
    if pictures:
        content = packed(pictures)
        parts += [_block(LIST, 0, zlib.crc32(content), content)]
    made = b"".join([*parts, *processes.everywhere(range(0, len(images), each), made_of)])
    if verify and not torch.equal(decompress(own, made), images.cpu().long()):
        raise BadInput("Decoding does not give the images back, so nothing is: this machine does not compute exactly.")
    return made


def decompress(model: Model, data: bytes | bytearray | memoryview, *, recover: bool = False) -> Tensor:
    """The images of a container, int64, shape (B, C, H, W), by the exact twin that made it.

    Raises:
        BadInput: another model, no container, or a damaged one; `recover` leaves out its damaged blocks instead.
    """
    flag(recover, "recover")
    if not isinstance(data, bytes | bytearray | memoryview):
        raise BadInput(f"A container is the bytes that compress made, not {shown(data)}.")
    found = opened(twin(model), bytes(data), recover=recover).blocks
    return torch.cat([torch.zeros(0, *twin(model).spec.shape, dtype=torch.long), *found.values()])


def opened(model: Autoregressive, data: bytes, *, recover: bool = False, what: str = "The container") -> Opened:
    """All of a container, decoded as by `decompress`; `what` is what sentences call it."""
    seen, count, found = parsed(data)
    if seen != digest(model):
        raise BadInput("The images were compressed by another model, or another version of this one; give that one.")
    each = max(1, BLOCK // model.spec.subpixels)
    damage, pictures, blocks = list[str](), list[Picture](), dict[int, Block]()
    for block in found:
        if isinstance(block, str):
            damage.append(block)
        elif block.kind == LIST and not pictures and zlib.crc32(block.content) == block.crc:
            pictures = unpacked(block.content, model.spec, count) or []
            damage += [] if pictures else ["its list of pictures is not about its images"]
        elif block.kind not in (STREAM, PNG) or block.first % each or block.first >= count or block.first in blocks:
            damage.append(f"a block of kind {block.kind} from image {block.first} on is none of its own, or damaged")
        else:
            blocks[block.first] = block
    missing = -(-count // each) - len(blocks)
    damage += [f"{missing} of {missing + len(blocks)} blocks of images are missing"] if missing else []
    tell = f"{what} is damaged: {{}}; --recover (recover=True) gives the images of whole blocks."
    if damage and not recover:
        raise BadInput(tell.format(damage[0]))
    order = sorted(blocks)
    images = processes.everywhere(order, lambda first: _images(model, blocks[first], min(each, count - first)))
    damage += [f"block {first // each} was changed" for first, got in zip(order, images, strict=True) if got is None]
    if damage and not recover:
        raise BadInput(tell.format(damage[0]))
    return Opened({first: got for first, got in zip(order, images, strict=True) if got is not None}, pictures, damage)


def parsed(data: bytes) -> tuple[bytes, int, Iterator[Block | str]]:
    """The model's digest, how many images, and the blocks or what is wrong with one; BadInput if it is no container."""
    if data[:4] != MAGIC:
        raise BadInput(f"This is no container of compressed images: it begins with {data[:4]!r}, not with {MAGIC!r}.")
    if data[: _HEAD.size + _CRC] != _sealed(data[: _HEAD.size]):
        raise BadInput("The head of the container is damaged or cut off; take another copy.")
    _, version, seen, count = _HEAD.unpack_from(data)
    if version != VERSION:
        raise BadInput(f"The container has version {version}; this nextpixel reads version {VERSION}.")
    return seen, count, _blocks(data, _HEAD.size + _CRC)


def _blocks(data: bytes, at: int) -> Iterator[Block | str]:
    """No two of them share a byte, so that a hostile container is not read more than once."""
    while at < len(data):
        begin = _begin(data, at)
        if begin > at:
            yield f"{begin - at:,} bytes from byte {at:,} on are no block"
        if begin == len(data):
            return
        _, kind, first, size, crc = _PIECE.unpack_from(data, begin)
        start = begin + _PIECE.size + _CRC
        at = start + size
        if at != len(data) and (at > len(data) or _begin(data, at, at + len(MARK)) != at):
            following = _begin(data, start)
            if following < at:
                at = following
                yield f"the block from image {first} on is cut off"
                continue
        yield Block(kind, first, crc, data[start:at])


def _begin(data: bytes, start: int, end: int | None = None) -> int:
    """Where the next block begins; the end of the data if there is none."""
    while (start := data.find(MARK, start, end)) >= 0:
        last = start + _PIECE.size
        if data[start : last + _CRC] == _sealed(data[start:last]):
            return start
        start += 1
    return len(data)


def _block(kind: int, first: int, crc: int, content: bytes) -> bytes:
    return _sealed(_PIECE.pack(MARK, kind, first, len(content), crc)) + content


def _sealed(head: bytes) -> bytes:
    return head + struct.pack("<I", zlib.crc32(head))


def _images(model: Autoregressive, block: Block, count: int) -> Tensor | None:
    """The images of a block; None if its content was changed."""
    images = (_decoded if block.kind == STREAM else _from_png)(model, block.content, count)
    return None if images is None or _crc(model, images) != block.crc else images


def _png(model: Autoregressive, images: Tensor) -> bytes:
    """A PNG file of images below each other; unless they are of bytes in three channels, grey, of bytes."""
    rows = np.ascontiguousarray(images.cpu().movedim(1, 3).numpy().astype(_kind(model))).view("u1")
    rows = rows.reshape(-1, *_row(model))
    Image.fromarray(rows).save(file := io.BytesIO(), "PNG", optimize=True)
    return file.getvalue()


def _row(model: Autoregressive) -> tuple[int, ...]:
    """The shape of the bytes of a row of pixels."""
    spec, size = model.spec, np.dtype(_kind(model)).itemsize
    return (spec.width, 3) if spec.channels == 3 and size == 1 else (spec.width * spec.channels * size,)


def _from_png(model: Autoregressive, content: bytes, count: int) -> Tensor | None:
    spec, row = model.spec, _row(model)
    try:
        with warnings.catch_warnings(action="error"), Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            stated = (row[0], count * spec.height), "L" if len(row) == 1 else "RGB"
            if (picture.size, picture.mode) != stated:  # before memory is taken
                return None
            pixels = np.asarray(picture)
    except (OSError, ValueError, SyntaxError, struct.error, zlib.error, Warning, Image.DecompressionBombError):
        return None
    levels = np.ascontiguousarray(pixels).view(_kind(model)).reshape(count, spec.height, spec.width, spec.channels)
    images = torch.from_numpy(levels.astype(np.int64)).movedim(3, 1).contiguous()
    return images if int(images.max()) < spec.levels else None


def _kind(model: Autoregressive) -> str:
    return "<u1" if model.spec.levels <= 2**8 else "<u2"


def digest(model: Autoregressive) -> bytes:
    """Of all that says what a stream means: the recipe and every number, 16 bytes."""
    seen = hashlib.sha256(json.dumps(model.recipe, sort_keys=True, default=dict).encode())
    for name, tensor in sorted(model.state_dict().items()):
        seen.update(name.encode() + tensor.detach().cpu().double().contiguous().numpy().astype("<f8").tobytes())
    return seen.digest()[:16]


def _crc(model: Autoregressive, images: Tensor) -> int:
    return zlib.crc32(np.ascontiguousarray(images.cpu().numpy().astype(_kind(model))).tobytes())


class _Coder:
    """Range ANS: what is put last comes first; parts are whole numbers of 2^24."""

    def __init__(self, stream: bytes | None = None) -> None:
        self.words, self.state = list[int](), _LOW
        if stream is not None:
            self.words = np.frombuffer(stream, "<u4").tolist()
            self.state = self._next() << 32 | self._next()

    def put(self, first: int, last: int) -> None:
        wide = last - first
        if self.state >= wide << 40:
            self.words.append(self.state & (_LOW - 1))
            self.state >>= 32
        self.state = (self.state // wide << 24) + self.state % wide + first

    def get(self, edges: list[int] | memoryview, start: int, end: int) -> int:
        """A level, of those whose parts have the edges from number `start` to before `end`."""
        part = self.state & (PARTS - 1)
        place = min(max(bisect_right(edges, part, start, end) - 1, start), end - 2)
        first, last = int(edges[place]), int(edges[place + 1])
        if not first <= part < last:
            raise ValueError
        self.state = (last - first) * (self.state >> 24) + part - first
        if self.state < _LOW:
            self.state = self.state << 32 | self._next()
        return place - start

    def _next(self) -> int:
        if not self.words:
            raise ValueError
        return self.words.pop()

    def stream(self) -> bytes:
        """All words, the last one first to be read."""
        return np.array([*self.words, self.state & (_LOW - 1), self.state >> 32], "<u4").tobytes()


def _kinds(model: Autoregressive) -> tuple[list[int], list[int]]:
    """The edges of orders and of classes, each as likely as any other."""
    classes = model.context.classes if isinstance(model.context, ClassLabel) else 1
    orders, labels = ([kind * PARTS // count for kind in range(count + 1)] for count in (model.orders, classes))
    return orders, labels


@torch.no_grad()
def _encoded(model: Autoregressive, images: Tensor, labels: Tensor | None) -> bytes:
    """The stream of a block: of each image its likeliest order and class, then all levels."""
    orders, classes = _kinds(model)
    best = torch.full((len(images),), torch.inf, dtype=torch.float64)
    order, label = torch.zeros(len(images), dtype=torch.long), torch.zeros(len(images), dtype=torch.long)
    edges = torch.zeros(2, *images.shape, dtype=torch.int64)
    for turn in range(model.orders):
        for number in range(len(classes) - 1) if labels is None else (None,):
            given = labels if number is None else torch.full((len(images),), number)
            found = _edges(model, images, given if len(classes) > 2 else None, turn)
            nats = -((found[1] - found[0]).double() / PARTS).log().flatten(1).sum(1)
            better = nats < best
            best[better], order[better], edges[:, better] = nats[better], turn, found[:, better]
            label[better] = given[better].cpu() if given is not None else 0
    coder = _Coder()
    first, last = (edge.permute(2, 3, 1, 0).flatten().tolist() for edge in edges)  # by rows, columns, channels, images
    for each in zip(reversed(first), reversed(last), strict=True):
        coder.put(*each)
    for values, kinds in ((label, classes), (order, orders)):
        for value in reversed(values.tolist()) if len(kinds) > 2 else ():
            coder.put(kinds[value], kinds[value + 1])
    return coder.stream()


def _edges(model: Autoregressive, images: Tensor, labels: Tensor | None, order: int) -> Tensor:
    """Both edges of every level, as the order reads the images, int64, (2, B, C, H, W)."""
    spec, parts = model.spec, list[Tensor]()
    each = _AT_ONCE // (spec.subpixels * (spec.levels + 1))
    each = max(1, min(each, NEAR // (spec.height * spec.width)) if model.device.type == "cpu" else each)
    for start in range(0, len(images), each):
        x = images[start : start + each]
        meant: Any = model.predict(x, None if labels is None else labels[start : start + each], order=order)
        turn = model.reading.check(order, len(x))
        edges = [model.reading.turn(edge, turn) for edge in meant.interval(x.to(model.device))]
        parts.append(torch.stack(edges).long().cpu())
    return torch.cat(parts, 1)


@torch.no_grad()
def _decoded(model: Autoregressive, stream: bytes, count: int) -> Tensor | None:
    """So many images of a stream; None if it is no such images'."""
    kinds = _kinds(model)
    try:
        coder = _Coder(stream)
        order, label = (
            torch.tensor([coder.get(edges, 0, len(edges)) if len(edges) > 2 else 0 for _ in range(count)])
            for edges in kinds
        )

        def choose(site: Site, distribution: Any) -> Tensor:
            assert isinstance(distribution, Frequencies), "an exact twin gives no others"
            edges = distribution.edges.permute(1, 0, 2)  # by channels, then images
            flat, width = edges.flatten().cpu().numpy().data, edges.shape[-1]  # lists would take ten times as long
            levels = [coder.get(flat, start, start + width) for start in range(0, len(flat), width)]
            return torch.tensor(levels, device=edges.device).view(edges.shape[:2]).t()

        chosen = model.reading.check(order, count)
        images = model.unroll(choose, count, label if len(kinds[1]) > 2 else None, order=chosen)
        images = model.reading.turn_back(images, chosen)
    except ValueError:  # no level has such a part, words of other than 4 bytes, or too few
        return None
    return images.cpu() if coder.state == _LOW and not coder.words else None
