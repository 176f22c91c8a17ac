"""What a run computes with: device, precision, and what processes share; the only file that knows lightning-fabric."""

import logging
import timeit
from functools import cache
from inspect import signature
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from nextpixel import processes
from nextpixel.training.settings import Training

if TYPE_CHECKING:
    import lightning_fabric

PAYS = 0.75  # bfloat16's part of float32's time from which on it pays, as tensors are converted and rounded besides

# Fabric announces its precision there, which is ours to say.
logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)


def engine(settings: Training, device: str) -> tuple["lightning_fabric.Fabric", str]:
    """Fabric, launched on "cpu", "cuda" or "mps" with the settings' strategy; and whether in fp32 or bf16."""
    from lightning_fabric import Fabric  # here, because it takes a second or two
    from lightning_fabric.strategies.ddp import DDPStrategy
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

    count, here = processes.size(), processes.local()[1]
    known = signature(DistributedDataParallel).parameters
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # the older name
    unlike: dict[str, Any] = {buffers: False}  # they change alike in all processes
    strategy, precision = cast(Any, "auto"), settings.precision
    if count > 1:
        sizes: dict[str, Any] = {"data_parallel_size": count, "tensor_parallel_size": 1}
        strategy = DDPStrategy(**unlike) if settings.strategy == "ddp" else ModelParallelStrategy(_divide, **sizes)
    if precision == "auto":  # all take the same
        precision = "bf16" if all(processes.told(has_fast_bf16(torch.device(device)))) else "fp32"
    kind = "bf16-mixed" if precision == "bf16" else "32-true"
    fabric = Fabric(accelerator=device, strategy=strategy, devices=here, num_nodes=count // here, precision=kind)
    fabric.launch()
    return fabric, precision


def has_fast_bf16(device: torch.device) -> bool:
    """Whether a device computes with bfloat16 in hardware, and clearly faster than with float32.

    A processor is timed, once: Intel's without AMX has instructions for it that take twice the time of float32's.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.10 or later
    has = device.type == "cpu" and any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    return has and _seconds(torch.bfloat16) < PAYS * _seconds(torch.float32)


@cache
def _seconds(dtype: torch.dtype) -> float:
    """Of a matrix product, the fastest of some."""
    left, right = torch.ones(256, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
    return min(timeit.repeat(lambda: torch.mm(left, right), number=1, repeat=10))


def _divide(model: torch.nn.Module, mesh: Any) -> Any:
    """Divide the weights among processes; as one group, since the parts of a network use each other's."""
    from torch.distributed.fsdp import fully_shard  # here, because it takes a second

    model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    return fully_shard(model, mesh=mesh["data_parallel"], reshard_after_forward=True)


def gathered(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be divided among processes, all of which ask for it."""
    return cast(Any, tensor).full_tensor() if hasattr(tensor, "device_mesh") else tensor  # as a `DTensor` has


def divided(tensor: Tensor, like: Any) -> Tensor:
    """Of a tensor that all processes have, one's own part, where `like` is divided; the tensor itself elsewhere."""
    if not hasattr(like, "device_mesh"):
        return tensor
    from torch.distributed.tensor import distribute_tensor  # here, because it takes a second

    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
