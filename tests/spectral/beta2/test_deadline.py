"""β2 within its time: nothing at 0 seconds, an interval around the truth wherever the clock strikes."""

import math
from itertools import count

import pytest
import torch

from gencheck.audit import run, stages
from gencheck.audit.options import AuditOptions
from gencheck.network.terms import kernel_program
from gencheck.spectral.beta2 import search
from gencheck.spectral.beta2.deadline import Deadline
from gencheck.spectral.beta2.sup_norm import SupNorm, sup_norms
from gencheck.spectral.difference import Difference
from gencheck.spectral.kernel.forward import forward
from tests.cases import Case, random_case


def searched(case: Case, deadline: Deadline, budget: float) -> SupNorm:
    items = torch.cat([case.sample.items, case.reference.items]).double()
    factors, _ = forward(case.subject.network, items, 8)
    targets = torch.cat([case.sample.targets, case.reference.targets])
    coefficients = Difference(len(case.sample.items), targets).target_weights()
    program = kernel_program(case.subject.network)
    return sup_norms(program, factors, coefficients, budget, deadline=deadline)


def striking_after(looks: int) -> Deadline:
    """A clock that moves on by a second at every look."""
    ticks = count()
    return Deadline(looks, clock=lambda: float(next(ticks)))


@pytest.mark.parametrize("name", ["conv_pool", "residual"])
@pytest.mark.parametrize("budget", [0.1, 1e12])
def test_wherever_the_clock_strikes_the_truth_lies_between_the_ends(
    name: str, budget: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "FEWEST_STARTS", 4)
    case = random_case(name, seed=3)
    truth = case.truth().v_sup
    free = searched(case, Deadline(math.inf), budget)
    assert not free.stopped_by_clock
    struck = []
    for looks in (0, 25, 10**9):
        found = searched(case, striking_after(looks), budget)
        for low, high, value in zip(found.lower, found.upper, truth, strict=True):
            assert low <= value * (1 + 1e-9)
            assert high >= value * (1 - 1e-9)
        struck.append(found.stopped_by_clock)
        assert found.stopped_by_clock <= (not found.exact)
    assert struck[0]
    assert not struck[-1]
    assert (found.lower, found.upper) == (free.lower, free.upper)


def test_no_budget_costs_nothing_but_the_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    def searching(*args: object, **named: object) -> None:
        raise AssertionError("paths were searched")

    monkeypatch.setattr(stages, "sup_norms", searching)
    case = random_case("residual", seed=3)
    options = AuditOptions(dtype=torch.float64, beta2_budget=0.0)
    result = run.audit(case.subject, case.sample, case.reference, "classification", options)
    assert (result.beta2.exact, result.beta2.stopped_by_clock) == (False, False)
    assert (result.beta2.lower, result.beta2.argmax.path) == (0.0, ())
    assert result.beta2.upper == pytest.approx(max(float(norm) for norm in result.v_l2))
