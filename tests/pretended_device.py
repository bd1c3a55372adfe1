"""Carries an audit's stages out on a device that is not there: `python -m tests.pretended_device DEVICE`.

torch's fake tensors have shapes, dtypes and devices, and no numbers. An operator whose tensors are on
two devices raises, as it would on the true one. Numbers that are read back are counted, and taken for
1; inside a pass, a tile and a product of the Gram matrix reading one is an error, and so is, after the
first time, sending a tensor. DEVICE is `pretended`, which any build of torch can have, or `cuda`, for
which it must be a CUDA build. A program of its own, for a process that has such a device has it for
good. Prints, in JSON and by network, how often each stage read, or the error that it ended with.
"""

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import backend_registration
from torch.utils._pytree import tree_map_only

from gencheck.errors import SolverError
from gencheck.network import algebra
from gencheck.network.ir import Network
from gencheck.network.scaled import Scaled, Unscaled, rescaled
from gencheck.network.terms import kernel_program
from gencheck.spectral.beta1.batched_lanczos import _Recurrences
from gencheck.spectral.beta1.lanczos import top_eigenvalue
from gencheck.spectral.difference import squared_norms
from gencheck.spectral.kernel import forward as passes
from gencheck.spectral.kernel.executors import MatrixExecutor
from gencheck.spectral.kernel.formation import gram_matrix
from gencheck.spectral.kernel.gram import Gram
from tests.cases import random_case

# Every kind of node but those whose gates are the model's own calls, which may read what they like.
NETWORKS = (
    "two_hidden_leaky",
    "input_skip",
    "conv_pool",
    "bottleneck",
    "grouped_shuffled",
    "padded_average",
    "tokens",
    "gelu",
)

# A tile beside those on the diagonal; products of Lanczos, which numbers that are all 1 never end.
ITEMS, BATCH, TILE, PRODUCTS = 3, 2, 2, 2


class HeldUp(Exception):  # noqa: N818 - states a condition
    """A number was read, or a tensor moved, where the host must not wait for the device."""


class Pretence(FakeTensorMode):
    """Fake tensors, which count what is read of those on a device and what is sent there.

    Attributes
    ----------
    read, sent
        Numbers and tensors that came from the device, and tensors that went there.
    inside
        What of the two is an error where the host must not wait.
    """

    def __init__(self, device: str) -> None:
        # weights and indices are no fakes
        super().__init__(allow_non_fake_inputs=True)
        self.device = device
        self.read = self.sent = self.depth = 0
        self.inside: tuple[str, ...] = ()

    def entered(self, owner: Any, name: str) -> AbstractContextManager[Any]:
        """A patch of a method in which the host must not wait."""
        call = getattr(owner, name)

        def called(*args: Any, **kwargs: Any) -> Any:
            self.depth += 1
            try:
                return call(*args, **kwargs)
            finally:
                self.depth -= 1

        return patch.object(owner, name, called)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).removeprefix("aten.")
        if name.startswith("_local_scalar_dense"):
            there, dtype = self._there(args[0]), args[0].dtype
            self._count("read", there, name)
            if dtype == torch.bool:
                # a device is asked whether anything went wrong, the host whether all is well
                return not there
            return 1.0 if dtype.is_floating_point else 1
        if not name.startswith("lift"):
            args = tree_map_only(Tensor, self._fake, args)
        found = super().__torch_dispatch__(func, types, args, kwargs)
        if isinstance(found, FakeTensor):
            # what is known of a constant would be sent to a device that is not there
            found.constant = None
        if name.startswith(("_to_copy", "copy_")):
            source = self._there(args[1] if name.startswith("copy_") else args[0])
            target = self._there(found)
            self._count("read", source and not target, name)
            self._count("sent", target and not source, name)
        return found

    def _fake(self, tensor: Tensor) -> Tensor:
        return tensor if isinstance(tensor, FakeTensor) else self.from_tensor(tensor)

    def _there(self, tensor: Tensor) -> bool:
        return tensor.device.type == self.device

    def _count(self, kind: str, happens: bool, name: str) -> None:
        if happens and self.depth and kind in self.inside:
            raise HeldUp(f"{name}: {kind}")
        setattr(self, kind, getattr(self, kind) + happens)


def there_is(device: str) -> None:
    """Make torch take `device` for one that is there, as far as fake tensors go."""
    if device == "cuda":
        torch._C._ensureCUDADeviceGuardSet()
        return
    backend_registration._setup_privateuseone_for_python_backend(device)
    passes._PASS_ENTRIES[device] = passes._PASS_ENTRIES["cuda"]


def stages(network: Network, mode: Pretence) -> dict[str, int]:
    """How often each stage of an audit of fake items reads from the device; and the program's maps."""
    items = torch.randn((ITEMS, *network.input_shape)).to(mode.device)
    weights = torch.randn(ITEMS, dtype=torch.float64)
    program = kernel_program(network)
    counts = {"maps": len(program.maps)}

    def counted(stage: str, call: Callable[[], Any]) -> Any:
        before = mode.read
        found = call()
        counts[stage] = mode.read - before
        return found

    def formed() -> Gram:
        made, _ = counted("gates", lambda: passes.forward(network, items, BATCH))
        gram: Gram = counted("gram", lambda: gram_matrix(program, made, TILE))
        return gram

    mode.inside = ("read",)
    formed()
    # by now weights and indices are there
    mode.inside = ("read", "sent")
    gram = formed()
    # what a product is to multiply may come from the host
    mode.inside = ("read",)
    counted("norms", lambda: squared_norms(gram, weights[:, None]))
    counted("beta1", lambda: _unended(gram, weights))
    block = torch.randn((ITEMS, 3), dtype=torch.float64).to(mode.device)
    recurrences = _Recurrences(gram, block, block)
    counted("relabelled", recurrences.step)
    counted("relabelled_ritz", recurrences.ritz)
    return counts


def _unended(gram: Gram, weights: Tensor) -> None:
    try:
        top_eigenvalue(gram, weights, max_iterations=PRODUCTS)
    except SolverError:
        return
    raise AssertionError("Lanczos converged on numbers that are all 1")


class _Rescaling(Unscaled):
    """Reads a number back in every layer."""

    def __call__(self, mantissa: Tensor, exponent: int) -> Scaled:
        return rescaled(mantissa, exponent)


def _left(source: Any, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    return source if isinstance(source, Tensor) else torch.from_numpy(source)


def _anew(source: Any, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    return _left(source, like).to(like.device, dtype)


# Defects that must be found.
DEFECTS = {
    "read_inside": patch.object(passes, "Unscaled", _Rescaling),
    "left_on_the_host": patch.object(algebra, "on_device", _left),
    "sent_each_time": patch.object(algebra, "on_device", _anew),
}


def main(device: str) -> None:
    """An outcome for each network, and for one with each defect."""
    there_is(device)
    mode, found = Pretence(device), {}
    networks = {name: random_case(name).subject.network for name in NETWORKS}
    runs = {name: (network, nullcontext()) for name, network in networks.items()}
    runs |= {name: (networks["conv_pool"], defect) for name, defect in DEFECTS.items()}
    for name, (network, defect) in runs.items():
        with (
            defect,
            mode.entered(passes._Passes, "take"),
            mode.entered(MatrixExecutor, "prepared"),
            mode.entered(MatrixExecutor, "fill"),
            mode.entered(Gram, "summed"),
            mode,
        ):
            try:
                found[name] = stages(network, mode)
            except Exception as error:
                found[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
