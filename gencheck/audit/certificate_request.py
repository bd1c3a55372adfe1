"""What a user declares of all inputs there can be, so that an audit may certify something."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gencheck.arguments import require_between
from gencheck.audit.selection import ModelSelection
from gencheck.errors import InputError
from gencheck.network.features import require_unit_gates
from gencheck.network.ir import Network


@dataclass(frozen=True)
class CertificateRequest:
    """The confidence asked for, and what was declared of every input and target there can be.

    To make one is to declare that the gates never saw the sample; `certificate_request` asks for it.

    Attributes
    ----------
    confidence
        The probability, over the draw of the sample, with which everything certified holds.
    input_range
        The ends A and B of the interval that every coordinate of every input lies in.
    target_range
        The same for targets that are values to regress; one-hot targets need none.
    """

    confidence: float
    input_range: tuple[float, float]
    target_range: tuple[float, float] | None = None


def certificate_request(
    certify: bool,
    confidence: float | None,
    input_range: tuple[float, float] | None,
    target_range: tuple[float, float] | None,
    chosen: ModelSelection,
) -> CertificateRequest | None:
    """What the options ask for; None without `certify`.

    Raises
    ------
    InputError
        The audit is of a tail, the gates are not declared independent, a range is missing or empty,
        the confidence is no probability, or an option stands without `certify`.
    """
    if not certify:
        given = {
            "--confidence": confidence,
            "--input-range": input_range,
            "--target-range": target_range,
        }
        for name, value in given.items():
            if value is not None:
                raise InputError(
                    where=name, found="no --certify", required="both, since it is of no use alone"
                )
        return None
    if chosen.from_layer is not None:
        raise InputError(
            where="--certify with --from",
            found=f"both (--from {chosen.from_layer})",
            required="one of them: the layers before make of an item what is certified, and weights of "
            "theirs that were trained on the sample may have learnt it by heart",
            remedy="Certify the whole model.",
        )
    require_independent_gates(chosen.gates_may_be_independent)
    if input_range is None:
        raise InputError(
            where="--certify",
            found="no --input-range",
            required="--input-range A B, the interval that every coordinate of every input lies in",
            remedy="Images whose bytes were divided by 255 lie in 0 1.",
        )
    confidence = 0.95 if confidence is None else confidence
    require_between("--confidence", confidence, 0, 1, open_low=True, open_high=True)
    _require_interval("--input-range", input_range)
    if target_range is not None:
        _require_interval("--target-range", target_range)
    return CertificateRequest(confidence, input_range, target_range)


def require_independent_gates(independent: bool) -> None:
    """Do nothing where the gates are independent of the sample.

    Raises
    ------
    InputError
        They are not known to be; names the way out.
    """
    if not independent:
        raise InputError(
            where="--certify",
            found="gates that may have seen the sample",
            required="gates that are independent of it: gates that were trained on the sample have "
            "adapted to it, and no figure of it then says anything about the distribution",
            remedy="Train in two phases (gencheck train --two-phase: the gates on one part of the "
            "data, the weights on another) and audit the run's folder; where other gates never had "
            "the items, declare it with --gates-independent.",
        )


def require_input_range(items: Tensor, ends: tuple[float, float]) -> None:
    """Do nothing where the range is one and every item lies in it.

    Raises
    ------
    InputError
        It is empty or not finite, or an item lies outside.
    """
    _require_interval("--input-range", ends)
    _require_within("--input-range", "input", items, ends)


def _require_interval(name: str, ends: tuple[float, float]) -> None:
    # the squared product of a target and an input beyond leaves the range of floats
    require_between(f"{name}, lower end", ends[0], -1e70, 1e70)
    require_between(f"{name}, upper end", ends[1], ends[0], 1e70, open_low=True)


def require_certifiable(
    network: Network, items: Tensor, targets: Tensor, task: str, request: CertificateRequest
) -> None:
    """Do nothing where the request fits the network, the pooled items and their targets.

    Raises
    ------
    InputError
        A gate leaves [0, 1], an item or a target lies outside the range declared, a regression has
        no range of targets, or a classification has one or has targets that are not one-hot.
    """
    require_unit_gates(network)
    if task == "regression" and request.target_range is None:
        raise InputError(
            where="--certify",
            found="values to regress and no --target-range",
            required="--target-range A B, the interval that every target lies in",
        )
    if task != "regression" and request.target_range is not None:
        raise InputError(where="--target-range", found="class labels", required="values to regress")
    require_input_range(items, request.input_range)
    if request.target_range is not None:
        _require_within("--target-range", "target", targets, request.target_range)
    elif not bool((((targets == 0) | (targets == 1)).all(1) & (targets.sum(1) == 1)).all()):
        raise InputError(
            where="--certify", found="targets that are not one-hot", required="class labels"
        )


def _require_within(name: str, noun: str, rows: Tensor, ends: tuple[float, float]) -> None:
    low, high = (torch.tensor(end, dtype=torch.float64).to(rows) for end in ends)
    flat = rows.reshape(len(rows), -1)
    bad = ((flat < low) | (flat > high)).any(1)
    if bool(bad.any()):
        row = int(bad.int().argmax())
        wrong = flat[row][(flat[row] < low) | (flat[row] > high)]
        raise InputError(
            where=f"{name} {ends[0]:g} {ends[1]:g}",
            found=f"{noun} {row} of the pooled items with {float(wrong[0]):g}",
            required="a range that every item lies in, also those never seen",
        )
