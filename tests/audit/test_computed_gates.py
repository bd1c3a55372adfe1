"""Networks whose gates are computed: every figure equals full path enumeration."""

from functools import cache

import pytest
import torch
from torch import nn

from gencheck.audit.model import AuditedModel, model_of_module
from gencheck.audit.question import Labelled
from tests.audit.test_brute_force import compare_figures
from tests.cases import Case
from tests.computed_networks import COMPUTED, TEXTS, build_computed


@cache
def _traced(name: str) -> tuple[nn.Module, AuditedModel]:
    module = build_computed(name)
    return module, model_of_module(module, [COMPUTED[name][1]])


def computed_case(name: str, m: int = 7, n: int = 9) -> Case:
    module, subject = _traced(name)
    generator = torch.Generator().manual_seed(5)

    def labelled(count: int) -> Labelled:
        shape = (count, *COMPUTED[name][1])
        if name in TEXTS:
            items = torch.randint(5, shape, generator=generator)
        else:
            items = torch.randn(shape, generator=generator, dtype=torch.float64)
        labels = torch.randint(2, (count,), generator=generator)
        return Labelled(items, torch.eye(2, dtype=torch.float64)[labels])

    return Case(module, subject, labelled(m), labelled(n), "classification")


@pytest.mark.parametrize("name", COMPUTED)
def test_every_figure_equals_enumeration(name: str) -> None:
    compare_figures(computed_case(name), torch.float64)


@pytest.mark.parametrize("name", COMPUTED)
def test_z_times_w_is_the_model(name: str) -> None:
    case = computed_case(name)
    items = torch.cat([case.sample.items, case.reference.items])
    with torch.no_grad():
        own = case.module(items)
    torch.testing.assert_close(torch.from_numpy(case.truth().outputs), own, rtol=1e-9, atol=1e-9)
