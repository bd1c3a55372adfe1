"""Networks whose gates are computed: every figure equals full path enumeration."""

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from gencheck.audit.model import AuditedModel, load_model, model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled
from gencheck.audit.run import audit
from gencheck.comparison.run import compare
from gencheck.errors import InputError, UnsupportedModel
from gencheck.network.algebra import logits
from gencheck.network.features import require_unit_gates
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


def test_every_place_says_what_is_the_gate_and_why() -> None:
    places = {
        name: _traced(name)[1].network.gate_places() for name in ("swiglu", "pre_norm_vision")
    }
    assert places["swiglu"] == [{"layer": "mul", "kind": "scale", "rule": "ends in an activation"}]
    rules = [place["rule"] for place in places["pre_norm_vision"]]
    assert rules == ["1/std of a normalisation", "attention", *["1/std of a normalisation"] * 2]


def test_where_gates_in_the_unit_interval_are_needed_it_is_refused_by_name() -> None:
    network = _traced("pre_norm_vision")[1].network
    assert network.smooth
    assert not network.gates_lie_in_unit_interval
    with pytest.raises(InputError, match=r"scale block\.norm1 with computed gates.*attend block"):
        require_unit_gates(network)
    with pytest.raises(InputError, match="items of whole numbers"):
        require_unit_gates(_traced("text")[1].network)


def test_beta2_falls_back_to_the_norm_where_paths_are_not_enumerated() -> None:
    case = computed_case("pre_norm_vision")
    truth = case.truth()
    options = AuditOptions(dtype=torch.float64, beta2_budget=0.0)
    result = audit(case.subject, case.sample, case.reference, "classification", options)
    assert not result.beta2.exact
    assert result.beta2.lower <= truth.v_sup.max() * (1 + 1e-9)
    assert result.beta2.upper == pytest.approx(truth.v_l2.max(), rel=1e-9)


def test_two_phases_with_computed_gates_are_refused_by_name() -> None:
    gates = build_computed("swiglu", seed=1)
    with pytest.raises(UnsupportedModel, match=r"scale at .* \(gates of a second network\)"):
        model_of_module(build_computed("swiglu"), [(3,)], gates=gates)


def test_theories_of_layers_name_what_is_outside_them() -> None:
    case = computed_case("layer_norm_after")
    rows = compare(case.subject, case.sample, case.reference).rows
    reasons = {row.reason for row in rows if row.name in ("vc", "pac-bayes", "spectral-margin")}
    assert reasons == {"outside this theory: scale at 1 and 1 more"}


@pytest.mark.parametrize("name", ["swin_windows", "squeeze_excite", "text_last"])
def test_an_items_gates_do_not_depend_on_the_items_beside_it(name: str) -> None:
    case = computed_case(name)
    items = case.sample.items.double()
    network = case.subject.network
    together = network.computed_gates(items)
    for i in (0, 4, 6):
        alone = network.computed_gates(items[i : i + 1])
        for position, gates in alone.items():
            torch.testing.assert_close(gates[0], together[position][i], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_saved_program_of_a_transformer(tmp_path: Path, dynamic: bool) -> None:
    module = build_computed("pre_norm_vision").float()
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    example = torch.randn(2 if dynamic else 1, 1, 2, 4)
    program = torch.export.export(module, (example,), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "m.pt2")
    subject = load_model(tmp_path / "m.pt2", None, [])
    items = torch.randn(5, 1, 2, 4)
    with torch.no_grad():
        own = module(items)
    torch.testing.assert_close(subject.own_output(items), own)
    torch.testing.assert_close(logits(subject.network, items)[0].plain(), own)
    other = _traced("pre_norm_vision")[1].network
    assert subject.network.operations() == other.operations()


def test_a_program_whose_gates_need_what_may_not_run_is_refused() -> None:
    class Random(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(3, 3), nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.first(x)
            return self.head(
                h * torch.sigmoid(torch.linalg.matrix_exp(h[:, :, None] * h[:, None])[0])
            )

    with pytest.raises(UnsupportedModel, match="matrix_exp"):
        model_of_module(Random(), [(3,)])


def test_a_norm_that_only_dense_layers_read_is_folded_into_them() -> None:
    # behind a skip it is read by the sum as well, and stays a layer of its own
    assert "centre" not in _traced("pre_norm_vision")[1].network.operations()
    assert _traced("post_norm_vision")[1].network.operations()["centre"] > 0


def test_gates_stand_where_no_axes_need_to_be_turned() -> None:
    operations = _traced("pre_norm_vision")[1].network.operations()
    assert operations["select"] <= 8
