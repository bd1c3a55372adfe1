"""Checks that every run makes of itself: identities and inequalities that must hold."""

import torch
from torch import Tensor

from gencheck.audit.model import AuditedModel
from gencheck.audit.result import ConcentrationResult
from gencheck.bounds.magnitude import Magnitude
from gencheck.errors import InputError, SelfCheckError
from gencheck.network.algebra import gated_logits, logits

# How far z·w may lie from the model's own output, relative to the largest output.
_OUTPUT_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-9}
_CHECKED_ITEMS = 64
_DOUBLE = "Try --dtype float64. "

# How far rounding may carry the gap past its bound, relative to the sizes that were subtracted.
_GAP_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}


def output_deviation(model: AuditedModel, items: Tensor, outputs: Tensor) -> float:
    """Max |z·w − model(x)| / max |model(x)| over some of the items, spread over all of them.

    Parameters
    ----------
    outputs
        z·w of all items, shape (N, K): values times gates, in the pass that set the gates. With
        gates of another network they are computed anew.

    Raises
    ------
    InputError
        The model's own outputs are not finite.
    SelfCheckError
        The two differ by more than rounding: the network is not the model.
    """
    step = max(1, len(items) // _CHECKED_ITEMS)
    some, ours = items[::step][:_CHECKED_ITEMS], outputs[::step][:_CHECKED_ITEMS].double().cpu()
    if model.gates is not None:
        # a gate at its threshold may round either way, and with the weights of another network
        # under it that is no longer without effect: in float64 it does not happen
        some = some.double()
        _, planes = logits(model.gates, some)
        scaled = gated_logits(model.network, some, planes)
        ours = torch.ldexp(scaled.mantissa.double(), torch.tensor(scaled.exponent)).cpu()
    own = model.own_output(some).double().cpu()
    if own.shape != ours.shape:
        raise SelfCheckError(
            f"self-check: the model returns shape {tuple(own.shape)}, its network "
            f"{tuple(ours.shape)}."
        )
    require_finite_outputs(own, some.dtype, step)
    size = float(own.abs().max())
    deviation = float((ours - own).abs().max()) / (size or 1.0)
    tolerance = _OUTPUT_TOLERANCE[some.dtype]
    if not deviation <= tolerance:
        then = "Try --dtype float64; if it stays, this" if some.dtype == torch.float32 else "This"
        raise SelfCheckError(
            f"self-check: z·w differs from the model's own output by {deviation:.3g} of its size on "
            f"{len(some)} items, more than {tolerance:g}. {then} is a defect of gencheck: please "
            "report it with the checkpoint's architecture."
        )
    return deviation


def require_finite_outputs(outputs: Tensor, dtype: torch.dtype, step: int = 1) -> None:
    """Do nothing where all outputs, of every `step`-th item, are finite.

    Raises
    ------
    InputError
        Names the first item whose outputs are not.
    """
    bad = ~torch.isfinite(outputs).all(1)
    if bool(bad.any()):
        raise InputError(
            where=f"the model's outputs, pooled item {step * int(bad.int().argmax())}",
            found="NaN or infinity",
            required="finite outputs",
            remedy=f"{_DOUBLE if dtype == torch.float32 else ''}Look for NaN among the weights.",
        )


def require_gap_within_bounds(result: ConcentrationResult, dtype: torch.dtype, size: float) -> None:
    """Do nothing where the gap is within both bounds and equals the sum of its three terms.

    Parameters
    ----------
    size
        The magnitude of what was subtracted to get the gap, to which rounding is relative.

    Raises
    ------
    SelfCheckError
        A theorem is violated, which is a defect of gencheck.
    """
    room = _GAP_TOLERANCE[dtype] * size
    gap = result.gap.gap
    if abs(gap - sum(result.gap.terms)) > room:
        raise SelfCheckError(
            f"self-check: the gap {gap:.6g} is not the sum of its terms {result.gap.terms}."
        )
    for name, bound in (("bound", result.bound), ("tightest bound", result.tightest)):
        if not Magnitude.of(gap - room) <= bound.value:
            raise SelfCheckError(
                f"self-check: the gap {gap:.6g} exceeds the {name} {float(bound.value):.6g}, which "
                "the theorem excludes. This is a defect of gencheck: please report it."
            )
