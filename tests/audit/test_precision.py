"""The same function in both precisions, and clamps and tokens at their ends."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import gencheck
from gencheck.audit.model import load_model, model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.errors import InputError, UnsupportedModel
from gencheck.network.algebra import logits
from gencheck.network.ir import Network
from gencheck.spectral.kernel.path_kernel import PathKernel
from gencheck.training.gated import GatedNetwork
from gencheck.training.loop import Training, fit

_NORMS = {
    "layer": lambda: nn.LayerNorm(6),
    "group": lambda: nn.Sequential(nn.Unflatten(1, (6, 1)), nn.GroupNorm(2, 6), nn.Flatten()),
    "rms": lambda: nn.RMSNorm(6),
    "rms, stated": lambda: nn.RMSNorm(6, eps=1e-3),
}


def outputs(network: Network, items: torch.Tensor) -> torch.Tensor:
    """z·w of items."""
    made = logits(network, items)[0]
    return torch.ldexp(made.mantissa, torch.tensor(made.exponent))


def kernel(network: Network, items: torch.Tensor) -> np.ndarray:
    """The kernel between items, in whole."""
    return PathKernel.of(network).gram(items) @ np.eye(len(items))


def moved(module: nn.Module) -> nn.Module:
    """With gains and shifts that are no powers of two."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("saved", [False, True], ids=["module", "program"])
@pytest.mark.parametrize("norm", _NORMS)
def test_normalisations_in_both_precisions(
    norm: str, saved: bool, dtype: torch.dtype, tmp_path: Path
) -> None:
    """z·w is the model's own output to the precision's tolerance, 1e-9 in float64."""
    module = moved(nn.Sequential(nn.Linear(5, 6), _NORMS[norm](), nn.ReLU(), nn.Linear(6, 2)))
    x, y = 1e-3 * torch.randn(12, 5), torch.arange(12) % 2
    if not saved:
        options = AuditOptions(dtype=dtype, permutations=0)
        found = gencheck.audit_module(module, (x[:6], y[:6]), (x[6:], y[6:]), options=options)
        assert found.to_dict()["self_check"]["output_deviation"] < 1e-3
        return
    batch = torch.export.Dim("batch")
    program = torch.export.export(module, (x,), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "m.pt2")
    model = load_model(tmp_path / "m.pt2", None, [(5,)])
    own, ours = model.own_output(x.to(dtype)), outputs(model.network, x.to(dtype))
    limit = 1e-9 if dtype == torch.float64 else 1e-4
    assert float((own - ours).abs().max()) <= limit * float(own.abs().max())
    # one function in both: not another epsilon in another precision
    single = model.own_output(x)
    assert float((own - single).abs().max()) <= 1e-4 * float(own.abs().max())


def test_an_end_of_zero_starts_no_path() -> None:
    """A clamp to [−1, 0] is one to [0, 1], mirrored: the kernels are the same."""

    def network(low: float, sign: float) -> nn.Module:
        torch.manual_seed(0)
        first, last = nn.Linear(3, 5), nn.Linear(5, 2)
        with torch.no_grad():
            first.weight.mul_(sign)
            first.bias.mul_(sign)
        return nn.Sequential(first, nn.Hardtanh(low, low + 1), last)

    items = 3 * torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    below, above = (
        kernel(model_of_module(network(low, sign).double(), [(3,)]).network, items)
        for low, sign in ((-1.0, -1.0), (0.0, 1.0))
    )
    np.testing.assert_allclose(below, above, rtol=1e-12)


class TestTokens:
    """Items of a model that embeds them itself."""

    def audited(self, tokens: Any) -> Any:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 5), nn.ReLU())
        module.append(nn.Linear(5, 2))
        labels = np.arange(len(tokens)) % 2
        options = AuditOptions(permutations=0)
        pair = (tokens, labels)
        return gencheck.audit_module(module, pair, pair, options=options).to_dict()["beta1"]

    def test_bytes_are_tokens(self) -> None:
        tokens = np.random.default_rng(0).integers(10, size=(8, 3))
        assert self.audited(tokens.astype(np.uint8)) == self.audited(tokens)
        assert self.audited(tokens.astype(np.float64)) == self.audited(tokens)

    @pytest.mark.parametrize("wrong", [10, -1, 3.5, np.nan])
    def test_no_tokens_of_the_model(self, wrong: float) -> None:
        tokens = np.random.default_rng(0).integers(10, size=(8, 3)).astype(np.float64)
        tokens[2, 1] = wrong
        with pytest.raises(InputError):
            self.audited(tokens)


def test_an_index_list_in_a_program(tmp_path: Path) -> None:
    class Picked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 6), nn.Linear(3, 2)
            self.register_buffer("rows", torch.tensor([4, 0, 2]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(torch.relu(self.first(x))[:, self.rows])

    torch.manual_seed(0)
    module, items = Picked().eval(), torch.randn(3, 4)
    torch.export.save(torch.export.export(module, (items,)), tmp_path / "m.pt2")
    model = load_model(tmp_path / "m.pt2", None, [(4,)])
    torch.testing.assert_close(outputs(model.network, items), module(items))
    live = model_of_module(module, [(4,)])
    np.testing.assert_array_equal(kernel(model.network, items), kernel(live.network, items))


class TestFromPython:
    """What a live module and tensors may bring."""

    def embedding(self) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2)
        )

    def test_models_of_tokens(self) -> None:
        module = self.embedding()
        tokens = torch.randint(10, (7, 3), generator=torch.Generator().manual_seed(0))
        live = model_of_module(module, [(3,)]).network
        own = PathKernel.of(module, (3,)).gram(tokens) @ np.eye(7)
        np.testing.assert_array_equal(own, kernel(live, tokens))
        gated = GatedNetwork(copy.deepcopy(module), module)
        torch.testing.assert_close(gated(tokens), module(tokens))

    def test_bfloat16_and_sparse_items(self) -> None:
        module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        x, y = torch.randn(8, 3).bfloat16(), torch.arange(8) % 2
        options = AuditOptions(permutations=0)
        found = [
            gencheck.audit_module(module, (items, y), (items, y), options=options).to_dict()[
                "beta1"
            ]
            for items in (x, x.float(), x.float().to_sparse())
        ]
        assert found[0] == found[1] == found[2]

    @pytest.mark.parametrize("module", [nn.LazyLinear(2), nn.Linear(3, 2, device="meta")], ids=str)
    def test_parameters_without_numbers(self, module: nn.Module) -> None:
        with pytest.raises(InputError, match="a parameter without numbers"):
            model_of_module(module, [(3,)])

    def test_nothing_to_train(self) -> None:
        module = nn.Linear(3, 2).requires_grad_(False)
        with pytest.raises(InputError, match="no parameter requires gradients"):
            fit(
                module,
                torch.zeros(4, 3),
                targets=torch.zeros(4, 2),
                training=Training(epochs=1),
                seed=0,
            )

    def test_a_budget_for_relabellings_that_there_are_none_of(self) -> None:
        with pytest.raises(InputError, match="--beta2-permutation-budget: found 5 without"):
            AuditOptions(permutations=0, beta2_permutation_budget=5.0).require_consistency()


class Gated(nn.Module):
    """Embedded items with a gate that a function of them makes."""

    def __init__(self, table: int, rows: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.table, self.rows = nn.Embedding(table, 4), rows
        self.gate, self.last = nn.Linear(12, 12), nn.Linear(12, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = nn.functional.embedding(self.rows(x), self.table.weight * 2).flatten(1)
        return self.last(flat * torch.sigmoid(self.gate(flat)))


@pytest.mark.parametrize(
    ("table", "rows"),
    [(11, lambda x: x), (12, lambda x: x + 1), (15, lambda x: x + 5)],
    ids=["computed table", "one further", "five further"],
)
def test_gates_of_tables_that_are_computed_or_read_elsewhere(
    table: int, rows: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """The items that are drawn to see whether gates mix a batch have to be ones that the model takes."""
    torch.manual_seed(0)
    module = Gated(table, rows).eval()
    tokens = torch.randint(10, (8, 3), generator=torch.Generator().manual_seed(0))
    live = model_of_module(module, [(3,)])
    torch.testing.assert_close(outputs(live.network, tokens.float()), module(tokens))


def test_a_gate_turned_along_the_batch_is_refused() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.first(x) * torch.sigmoid(self.first(x).flip(0)))

    with pytest.raises(UnsupportedModel, match=r"flip.* mixes items of the batch"):
        model_of_module(Turned(), [(4,)])
