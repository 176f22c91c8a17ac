"""The functions of an exact twin: tables that are made once, when it is made, and stored in its file."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextpixel.errors import BadInput
from nextpixel.nn import ops

STEPS = 1024  # entries of a table for a distance of 1
GATED = ops.Grid(1 / STEPS, 1.0)
_REACH = 8  # where tanh and the logistic function have arrived, as near as a step tells
_FAR, _FAR_BITS = 1.5 * 2**23, 0x4B400000
_DEPTH = 18  # nats: what is less likely by more is nothing beside 2^24 parts
NEAR = 4 * STEPS  # steps for a distance of 1 of the logistic function as a probability, and of ELU
_DEEP = 10  # where ELU has arrived


class Tables(nn.Module):
    """tanh and the logistic function for gates, exp for frequencies, and of it the logistic function again, finer."""

    gate_table: Tensor  # tanh of −8 … 8, then the logistic function of the same, by 1/1024; multiples of 2^−12
    exp_table: Tensor  # exp(−x) for x of 0 … 18 in the same steps, in parts of 2^24, the nearest whole numbers

    def __init__(self) -> None:
        super().__init__()
        x = torch.arange(-_REACH * STEPS, _REACH * STEPS + 1, dtype=torch.float64) / STEPS
        both = torch.cat((x.tanh(), x.sigmoid()))
        self.register_buffer("gate_table", ((both * 2**12).round() / 2**12).float())
        depth = torch.arange(_DEPTH * STEPS, dtype=torch.float64) / STEPS
        self.register_buffer("exp_table", (depth.neg().exp() * 2**24).round().float())
        self._kept: dict[tuple[int, int, torch.device], Tensor] = {}
        self._made: tuple[tuple[Tensor, Tensor] | None, int] = None, 0

    def gate(self, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        """`ops.gate` of numbers of any scale, (B, 2D, …) to (B, D, …), on the grid `GATED`.

        Beside 1.5 · 2^23 the last bits of a float32 are a whole number, which it has rounded to.
        """
        near = x.float().clamp(-_REACH, _REACH)  # without loss, see `nextpixel.proof`
        value, valve = _found(self.gate_table, torch.add(self._places(x), near, alpha=STEPS)).chunk(2, 1)
        far = ops.number(1.5 * GATED.unit / torch.finfo(value.dtype).eps, value.dtype, x.device)
        return torch.mul(value, valve, out=out).add_(far).sub_(far)

    def _places(self, x: Tensor) -> Tensor:
        """Where the tables of all features have 0, beside 1.5 · 2^23: (1, 2D, 1, …)."""
        key = x.shape[1], x.ndim, x.device
        if key not in self._kept:
            first = _FAR + _REACH * STEPS
            both = torch.tensor([first, first + len(self.gate_table) // 2], dtype=torch.float32, device=x.device)
            self._kept[key] = both.repeat_interleave(x.shape[1] // 2).view(1, -1, *[1] * (x.ndim - 2))
        return self._kept[key]

    def valve(self, x: Tensor) -> Tensor:
        """The logistic function, a multiple of 2^−12, of numbers of any scale."""
        near = x.float().clamp(-_REACH, _REACH)
        first = ops.number(_FAR + _REACH * STEPS + len(self.gate_table) // 2, torch.float32, x.device)
        return _found(self.gate_table, torch.add(first, near, alpha=STEPS))

    def elu_below(self, x: Tensor) -> Tensor:
        """exp(−|x|) − 1, of the table of exp and as fine as `NEAR`, for numbers of any scale."""
        last, far = (ops.number(value, torch.float32, x.device) for value in (_DEEP, _FAR))
        return _found(self._finer()[1], torch.add(far, torch.minimum(x.float().abs(), last), alpha=NEAR)).to(x.dtype)

    def tanh(self, x: Tensor) -> Tensor:
        """2 σ(2x) − 1, a multiple of 2^−23: float64."""
        return self.below((x * (2 * NEAR)).round_()) / 2**23 - 1

    def exp(self, depth: Tensor) -> Tensor:
        """The exponential of −depth, for numbers of at least 0, in whole parts of 2^24: float64."""
        return self.exp_table[(depth * STEPS).floor_().clamp_(max=len(self.exp_table) - 1).long()].double()

    def likely(self, depth: Tensor) -> Tensor:
        """`exp` to the nearest step, overwritten: float32."""
        far = ops.number(_FAR, torch.float32, depth.device)
        depth = depth.clamp_(max=(len(self.exp_table) - 1) / STEPS)
        return _found(self.exp_table, torch.add(far, depth, alpha=STEPS))

    def below(self, steps: Tensor) -> Tensor:
        """The logistic function of so many steps of 1 / `NEAR`, overwritten, in whole parts of 2^24: float64."""
        index = steps.add_(_DEPTH * NEAR).clamp_(0, 2 * _DEPTH * NEAR).int()
        return self._finer()[0].index_select(0, index.flatten()).view(index.shape)

    def _finer(self) -> tuple[Tensor, Tensor]:
        """`below` and `elu_below`, of the table of exp, by operations of IEEE 754 alone, once."""
        made, version = self._made
        if made is None or made[0].device != self.exp_table.device or version != self.exp_table._version:
            exp = F.pad(self.exp_table.double(), (0, 1))
            finer = torch.cat([exp[:-1] * (4 - i) + exp[1:] * i for i in range(4)]).view(4, -1).t().flatten()
            beyond = (finer * 2**24 / (finer + 2**26)).floor_()  # σ(−z) of z ≥ 0, whole
            below = torch.cat((beyond.new_zeros(1), beyond.flip(0), 2**24 - beyond[1:], beyond.new_full((1,), 2**24)))
            made = below, (finer[: _DEEP * NEAR + 1] / 2**26 - 1).float()
            self._made = made, self.exp_table._version
        return made


class TableGrids(ops.Grids):
    """Grids by the functions of tables: units and limits are of each feature, (D,), powers of two and multiples.

    `result` has the grids of what a block gives, for that of its sums, of which the second half goes through valves.
    """

    def __init__(self, unit: Tensor, limit: Tensor, tables: Tables, result: "TableGrids | None" = None) -> None:
        self.unit, self.limit, self._tables, self._result = unit, limit, tables, result
        self._kept: dict[tuple[int, torch.dtype, torch.device], tuple[Tensor, Tensor, Tensor]] = {}
        self._curves: dict[tuple[int, torch.device], tuple[Tensor, Tensor, tuple[Tensor, Tensor]]] = {}

    def settle(self, x: Tensor) -> Tensor:
        least, most, far = self._numbers(x)
        return x.clamp_(least, most).add_(far).sub_(far)

    def elu(self, x: Tensor) -> Tensor:
        curve, far, (first, _) = self._elu(x)
        return _found(curve, far + x.float(), first).to(x.dtype)

    def concat_elu(self, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        curve, far, (_, firsts) = self._elu(x)
        x32 = x.float()
        made = _found(curve, torch.cat((far + x32, far - x32), 1), firsts).to(x.dtype)
        return made if out is None else out.copy_(made)

    def attention(self, query: Tensor, keys: Tensor, values: Tensor, *, causal: bool) -> Tensor:
        # Sums of products are exact in float64, as is that of whole weights; all between is rounded once an operation.
        query, keys, values = query.double(), keys.double().transpose(2, 3), values.double()
        seen, several = [], 32 if causal else query.shape[2]  # queries at a time: of what is later, little is computed
        for first in range(0, query.shape[2], several):
            some = query[:, :, first : first + several]
            there = first + some.shape[2] if causal else keys.shape[3]
            scores = some @ keys[..., :there]
            if causal:
                scores[..., first:].masked_fill_(
                    torch.ones_like(scores[0, 0, :, first:], dtype=torch.bool).triu_(1), -torch.inf
                )
            depth = (scores.amax(-1, keepdim=True) - scores).float().mul_(query.shape[-1] ** -0.5)
            weights = self._tables.likely(depth).double()
            seen.append((weights @ values[:, :, :there]).div_(weights.sum(-1, keepdim=True)))
        return torch.cat(seen, 2)

    def glu(self, x: Tensor) -> Tensor:
        assert self._result is not None, "these grids are of a block's sums"
        value, valve = self.settle(x).float().chunk(2, 1)  # the product is rounded, once, to float32 by all types
        return self._result.near(value * self._tables.valve(valve).float()).to(x.dtype)

    def near(self, x: Tensor) -> Tensor:
        """The nearest multiples of the units, in place."""
        *_, far = self._numbers(x)
        return x.add_(far).sub_(far)

    def _elu(self, x: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """ELU of all on the grids; what x is put beside, and what its bits then are beyond: of it, of both signs."""
        if (key := (x.ndim, x.device)) not in self._curves:
            units, which = self.unit.unique(return_inverse=True)
            most, far = int((self.limit / self.unit).max()), (1.5 * 2**23 * units)[:, None].float()
            numbers = (torch.arange(-most, most + 1) * units[:, None]).float()
            below = self._tables.elu_below(numbers.to(x.device)).float().cpu()
            curves = torch.maximum(numbers, below.add_(far).sub_(far)).flatten()
            first = far.view(torch.int32)[:, 0] - torch.arange(len(units), dtype=torch.int32) * numbers.shape[1] - most
            far, first = (its[which].view(-1, *[1] * (x.ndim - 2)).to(x.device) for its in (far[:, 0], first))
            self._curves[key] = curves.to(x.device), far, (first, torch.cat((first, first)))
        return self._curves[key]

    def _numbers(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The limits, and what beside has no place for less than a unit (see `ops.settle`), in the shape for x."""
        key = x.ndim, x.dtype, x.device
        if key not in self._kept:
            far = 1.5 * self.unit / torch.finfo(x.dtype).eps
            least, most, far = (its.to(x).view(-1, *[1] * (x.ndim - 2)) for its in (-self.limit, self.limit, far))
            self._kept[key] = least, most, far
        return self._kept[key]


def _found(table: Tensor, places: Tensor, first: Tensor | None = None) -> Tensor:
    """What a table has at places that are whole numbers beside 1.5 · 2^23, or another's bits `first`; overwritten."""
    first = ops.number(_FAR_BITS, torch.int32, places.device) if first is None else first
    index = places.view(torch.int32).sub_(first)
    if index.is_contiguous():
        return table.index_select(0, index.view(-1)).view(index.shape)
    index = index.movedim(1, -1)
    return table.index_select(0, index.reshape(-1)).view(index.shape).movedim(-1, 1)


@contextmanager
def exactly(device: torch.device) -> Generator[None]:
    """No approximate products within: TF32, NNPACK and autocast are off; BadInput where a known product shows some."""
    backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    before = [its.allow_tf32 for its in backends]
    for its in backends:
        its.allow_tf32 = False
    try:
        off = torch.backends.nnpack.flags(enabled=False)  # which rounds, where there is no oneDNN: it is Winograd's
        with off, torch.no_grad(), torch.autocast(device.type, enabled=False):
            x = (torch.arange(2 * 8 * 144, device=device) * 37 % 1023 - 511).float().view(2, 8, 12, 12)
            weight = (torch.arange(8 * 72, device=device) * 29 % 255 - 127).float().view(8, 8, 3, 3)  # sums to 2^23
            rows, columns = x.flatten(1)[:, :72], weight.flatten(1).t()
            known = ops.convolve(x.double(), weight.double()), rows.double() @ columns.double()
            right = (ops.convolve(x, weight) == known[0]).all() & (rows @ columns == known[1]).all()
            tie = ops.settle(torch.tensor([5, 7, -1], device=device).float() / 2, ops.Grid(1.0, 8.0)).tolist()
            if not bool(right) or tie != [2.0, 4.0, 0.0]:
                raise BadInput(f"The device {device} does not compute exactly; take --device cpu.")
            yield
    finally:
        for its, value in zip(backends, before, strict=True):
            its.allow_tf32 = value
