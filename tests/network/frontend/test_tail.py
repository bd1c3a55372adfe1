"""The tail of a model from a layer on: audited like any network, and named where it helps."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gencheck.audit.api import audit_module
from gencheck.audit.model import AuditedModel, load_model, model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled
from gencheck.audit.run import audit
from gencheck.errors import InputError, UnsupportedModel
from gencheck.network.frontend.runnable import computes_on_tensors
from tests.cases import Case


class Attentive(nn.Module):
    """An attention layer, an activation that is not covered, then a tail with a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.Softplus()
        self.rest = nn.Sequential(
            nn.Conv1d(2, 2, 2), nn.BatchNorm1d(2), nn.GELU(), nn.Flatten(), nn.Linear(6, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        h = h + self.attention(h, h, h, need_weights=False)[0]
        return self.rest(self.norm(h))


class Tokens(nn.Module):
    """A small classifier of texts: whole numbers in."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 4)
        self.body = nn.LSTM(4, 4, batch_first=True)
        self.first = nn.Linear(4, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.softmax(self.embed(x), 2)
        return self.head(torch.relu(self.first(h.mean(1))))


class Around(nn.Module):
    """A skip around a block behind something that is not covered."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.Softplus()
        self.block = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        return self.head(h + self.block(torch.relu(h)))


def built(factory: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return factory().double().eval()


def labelled(count: int, shape: tuple[int, ...], classes: int, seed: int) -> Labelled:
    generator = torch.Generator().manual_seed(seed)
    items = torch.randn((count, *shape), generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (count,), generator=generator)
    return Labelled(items, torch.eye(classes, dtype=torch.float64)[labels])


def entering(subject: AuditedModel, part: Labelled) -> Labelled:
    assert subject.head is not None
    with torch.no_grad():
        return Labelled(subject.head(part.items, torch.float64), part.targets)


def test_every_figure_of_a_tail_equals_enumeration() -> None:
    module = built(Attentive)
    subject = model_of_module(module, [(2, 3)], from_layer="rest")
    assert subject.network.input_shape == (2, 4)
    sample, reference = labelled(9, (2, 3), 3, 0), labelled(11, (2, 3), 3, 1)
    case = Case(
        module, subject, entering(subject, sample), entering(subject, reference), "classification"
    )
    truth = case.truth()
    with torch.no_grad():
        own = module(torch.cat([sample.items, reference.items])).numpy()
    np.testing.assert_allclose(truth.outputs, own, rtol=1e-10, atol=1e-12)
    options = AuditOptions(dtype=torch.float64, tile=6, batch_size=4)
    result = audit(subject, sample, reference, "classification", options)
    assert float(result.beta1.value) == pytest.approx(truth.beta1, rel=1e-9)
    assert result.beta2.exact
    assert result.beta2.value == pytest.approx(truth.v_sup.max(), rel=1e-9)
    np.testing.assert_allclose([float(v) for v in result.v_l2], truth.v_l2, rtol=1e-9)
    assert float(result.path_norms.l1) == pytest.approx(truth.l1.sum(), rel=1e-9)
    assert float(result.path_norms.l2_squared) == pytest.approx(truth.l2_squared.sum(), rel=1e-9)
    assert 10**result.model.log10_paths == pytest.approx(truth.path_count, rel=1e-9)
    assert result.gap.gap == pytest.approx(truth.gap, rel=1e-9)
    assert float(result.bound.value) == pytest.approx(truth.bound, rel=1e-9)
    assert result.model.smooth


def test_the_refusal_names_the_layers_nearest_to_the_input_first() -> None:
    with pytest.raises(UnsupportedModel, match="--from rest\n") as caught:
        model_of_module(built(Attentive), [(2, 3)])
    assert caught.value.layers == ["rest", "rest.0", "rest.1", "rest.2", "rest.3", "rest.4"]


def test_a_layer_with_a_way_around_it_is_refused_and_not_named() -> None:
    module = built(Around)
    with pytest.raises(UnsupportedModel) as caught:
        model_of_module(module, [(4,)])
    assert caught.value.layers == ["head"]
    with pytest.raises(InputError, match="goes around it"):
        model_of_module(module, [(4,)], from_layer="block")


def test_an_unknown_layer_is_refused_with_some_that_exist() -> None:
    with pytest.raises(InputError, match=r"'nowhere'.*such as.*head"):
        model_of_module(built(Around), [(4,)], from_layer="nowhere")


def test_texts_are_whole_numbers() -> None:
    torch.manual_seed(0)
    module = Tokens().eval()
    generator = np.random.default_rng(0)
    x, y = generator.integers(20, size=(60, 7)), generator.integers(2, size=60)
    result = audit_module(module, (x[:30], y[:30]), (x[30:], y[30:]), from_layer="first")
    assert result.model.input_shape == (4,)
    assert result.model.operations == {"dense": 2, "relu": 1}
    with torch.no_grad():
        outputs = module(torch.from_numpy(x[:30])).double()
    losses = (outputs - torch.eye(2, dtype=torch.float64)[torch.from_numpy(y[:30])]).square()
    assert result.gap.sample_risk == pytest.approx(float(losses.sum(1).mean()), rel=1e-5)


@pytest.mark.parametrize("dynamic", [False, True])
def test_the_tail_of_a_saved_program(tmp_path: Path, dynamic: bool) -> None:
    module = built(Attentive).float()
    example = torch.randn(4, 2, 3)
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    program = torch.export.export(module, (example,), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "m.pt2")
    with pytest.raises(UnsupportedModel, match="--from rest\n"):
        load_model(tmp_path / "m.pt2", None, [])
    subject = load_model(tmp_path / "m.pt2", None, [], "rest")
    assert subject.head is not None
    items = torch.randn(7, 2, 3)
    with torch.no_grad():
        own = subject.own_output(subject.head(items, torch.float32))
        torch.testing.assert_close(own, module(items))


def test_a_head_that_may_not_be_run_is_refused(tmp_path: Path) -> None:
    class Random(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.linalg.svdvals(x[:, None] * x[:, :, None]))

    program = torch.export.export(Random(), (torch.randn(3, 4),))
    torch.export.save(program, tmp_path / "m.pt2")
    with pytest.raises(UnsupportedModel, match=r"aten\.linalg_svdvals\.default before head"):
        load_model(tmp_path / "m.pt2", None, [], "head")


def _nested(module: nn.Module, depth: int) -> nn.Module:
    return module if depth == 0 else nn.Sequential(_nested(module, depth - 1))


class Gated(nn.Module):
    """Two products of computed tensors, the second behind the first, and a head of many modules."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(3, 4)
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        layers = [nn.Linear(4, 4) for _ in range(30)]
        self.head = nn.Sequential(*[_nested(layer, 7) for layer in layers])

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        h = h * self.first(h)
        h = h * self.second(h)
        return self.head(h)


def test_every_product_is_named_and_a_tail_is_found_among_hundreds_of_layers() -> None:
    with pytest.raises(UnsupportedModel) as caught:
        model_of_module(built(Gated), [(3,)])
    assert len(caught.value.offenders) == 2
    assert caught.value.layers[0] == "head"
    assert len(caught.value.layers) == 241


class Shifted(nn.Module):
    """A head that makes tensors from numbers and shapes, and moves them about."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(4, device=x.device)
        mask = x.new_zeros(4).detach()
        mask = mask + torch.full((4,), 0.5) * torch.scalar_tensor(2.0)
        h = torch.roll(x, 1, 1).view(-1, 2, 2).reshape_as(x)
        return self.head(torch.where(places > 1, h, -h) + torch.tril(mask.new_ones(4, 4))[1] + mask)


@pytest.mark.parametrize("saved", [False, True])
def test_tensors_from_numbers_and_views_may_stand_before_a_tail(
    tmp_path: Path, saved: bool
) -> None:
    module, items = built(Shifted).float(), torch.randn(5, 4)
    if saved:
        program = torch.export.export(module, (torch.randn(3, 4),))
        torch.export.save(program, tmp_path / "m.pt2")
        subject = load_model(tmp_path / "m.pt2", None, [], "head")
    else:
        subject = model_of_module(module, [(4,)], from_layer="head")
    assert subject.head is not None
    with torch.no_grad():
        own = subject.own_output(subject.head(items, torch.float32))
        torch.testing.assert_close(own, module(items))


def test_what_draws_at_random_may_not_run() -> None:
    assert computes_on_tensors("aten.arange.default")
    assert computes_on_tensors("aten.relu_.default")
    for target in (
        "aten.rand.default",
        "aten.bernoulli.default",
        "aten.save.default",
        "os.system.x",
    ):
        assert not computes_on_tensors(target)
