"""A traced model from a file looked through for tensors larger than any that is held."""

import torch
from torch import Tensor

from gencheck.errors import UnsupportedModel
from gencheck.network.frontend.aten import AtenGraph, run
from gencheck.network.frontend.lowering import may_run
from gencheck.network.windows import MOST_UNITS


class _TooLarge(Exception):  # noqa: N818 - a result, not an error
    """The call that makes the tensor, and how many numbers an item that is."""


def require_bounded(graph: AtenGraph) -> None:
    """Do nothing where no call is seen to make more than `MOST_UNITS` numbers an item.

    Shapes alone are computed, on torch's meta device, so that a file that names a huge tensor costs
    nothing. An operator that has no such form, or may not be run, ends the look.

    Raises
    ------
    UnsupportedModel
        Names the call.
    """
    kind = torch.int64 if graph.whole_numbers else torch.float32
    probe = torch.zeros((graph.batch or 2, *graph.input_shape), dtype=kind, device="meta")

    def note(name: str, value: object) -> None:
        if isinstance(value, Tensor) and value.numel() > MOST_UNITS * max(len(probe), 1):
            raise _TooLarge(name, value.numel() // max(len(probe), 1))

    try:
        run(graph, probe, may_run, note)
    except _TooLarge as found:
        name, count = found.args
        call = next(call for call in graph.calls if call.name == name)
        raise UnsupportedModel(
            [
                f"{call.target} at {call.module or 'the model itself'} "
                f"({count} numbers an item, more than can be held)"
            ]
        ) from found
    except Exception:
        # what does not fit together is said by the run that computes
        return
