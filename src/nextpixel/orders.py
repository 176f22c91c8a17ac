"""Reading orders: one network, told in which of the image's own symmetries it reads, is several exact models."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextpixel.errors import BadInput, plain, shown
from nextpixel.spec import ImageSpec, within
from nextpixel.typing import Whole
from nextpixel.unroll import generators

_STREAM = 2**32  # of the noise that draws orders, far from those of pixels and latent vectors


class Orders(nn.Module):
    """The symmetries of a grid: as it is, mirrored, upside down, turned by 180°; of a square, the same transposed.

    An order turns the image before the network reads it, so that nothing causal changes, and tells the network which
    it is by a class of its own. There are 1, 4, or of squares 8.

    Example:
        >>> orders = Orders(ImageSpec(1, 2, 2, levels=4), 8)
        >>> orders.turn(torch.arange(4).view(1, 1, 2, 2), torch.tensor([1])).flatten().tolist()
        [1, 0, 3, 2]
    """

    _unit: Tensor

    def __init__(self, spec: ImageSpec, count: int) -> None:
        super().__init__()
        if count not in (1, 4, 8):
            raise BadInput(f"orders must be 1, 4 or 8, not {count!r}.")
        if count == 8 and spec.height != spec.width:
            raise BadInput(f"8 orders transpose images, which must be square, not {spec.height}x{spec.width}; take 4.")
        self.count, self.spec = count, spec
        self.register_buffer("_unit", torch.zeros(0), persistent=False)  # is where the model is
        self._tables = dict[torch.device, tuple[Tensor, Tensor]]()  # made when first asked for: a file costs no memory

    def turn(self, x: Tensor, order: Tensor | None, *, way: int = 0) -> Tensor:
        """Features of places, (B, D, H, W), as each image's order, (B,), reads them; what has no places stays."""
        if order is None or x.shape[2:] == (1, 1):
            return x
        grid, places = self.spec.shape[1:], self._table(x.device)[way]
        whole = x.expand(-1, -1, *grid).flatten(2)
        return whole.gather(2, places[order][:, None].expand_as(whole)).unflatten(2, grid)

    def turn_back(self, x: Tensor, order: Tensor | None) -> Tensor:
        """The other way round."""
        return self.turn(x, order, way=1)

    def told(self, encoded: Tensor | None, order: Tensor | None) -> Tensor | None:
        """What a network is given, (B, d, 1 or H, 1 or W): the encoded context as the order reads it, and the order."""
        if order is None:
            return encoded
        which = F.one_hot(order, self.count).to(self._unit)[:, :, None, None]
        if encoded is None:
            return which
        encoded = self.turn(encoded, order)
        return torch.cat((encoded, which.expand(-1, -1, *encoded.shape[2:])), 1)

    def every(self, count: int) -> list[Tensor | None]:
        """Each order, for all of so many images."""
        if self.count == 1:
            return [None]
        return [torch.full((count,), order, device=self._unit.device) for order in range(self.count)]

    def check(self, order: Whole | Tensor | None, batch: int) -> Tensor | None:
        """The order that a user asks for, one or one an image, as (B,); None where there is only one."""
        try:
            asked = torch.as_tensor(0 if order is None else plain(order), device=getattr(order, "device", "cpu"))
        except (TypeError, ValueError, RuntimeError):
            asked = torch.zeros(0, 0)
        if asked.dtype == torch.bool or asked.is_floating_point() or asked.shape not in ((), (batch,)):
            raise BadInput(f"An order is a whole number below {self.count}, or one for each image, not {shown(order)}.")
        asked = within(asked, self.count, "Orders must be").long().expand(batch).to(self._unit.device)
        return None if self.count == 1 else asked

    def drawn(self, odds: Tensor, *, seed: Whole, first: Whole) -> Tensor | None:
        """An order for each image by its own noise, (B,), with log-odds (B, orders)."""
        if self.count == 1:
            return None
        each = generators(len(odds), seed=seed, first=first, stream=_STREAM)
        numbers = torch.tensor([generator.random() for generator in each], dtype=torch.float64)
        reached = odds.cpu().double().softmax(1).cumsum(1)
        found = torch.searchsorted(reached, numbers[:, None], right=True).squeeze(1)
        likeliest = odds.argmax(1).cpu()  # for sums that end below 1
        return torch.where(numbers < reached[:, -1], found.clamp(max=self.count - 1), likeliest).to(self._unit.device)

    def met(self, known: Tensor) -> Tensor:
        """How many pairs there are of an unknown sub-pixel and a known one after it, (B, orders)."""
        counts = []
        for order in self.every(len(known)):
            read = self.turn(known, order).flatten(2).transpose(1, 2).flatten(1)  # by places, then channels
            counts.append(((~read).cumsum(1) * read).sum(1))
        return torch.stack(counts, 1)

    def _table(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Which place is read when, and the other way round, (orders, H·W) each."""
        if device not in self._tables:
            places = torch.arange(self.spec.height * self.spec.width, device=device).view(self.spec.shape[1:])
            four = [places, places.flip(1), places.flip(0), places.flip(0, 1)]
            every = [*four, *(turned.t() for turned in four)] if self.count == 8 else four[: self.count]
            there = torch.stack([turned.flatten() for turned in every])
            self._tables[device] = there, there.argsort(1)
        return self._tables[device]
