"""The kernel of real architectures by a second route, in float64.

K(x, x′) = Σ_p z_p(x) z_p(x′) is also what a forward pass gives with all weights 1, inputs x ⊙ x′ and
gates σ(x) ⊙ σ(x′): no terms, no programs, no executors.
"""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from gencheck.audit.model import AuditedModel, model_of_module
from gencheck.network.algebra import NumericAlgebra, logits
from gencheck.network.computed import Embed
from gencheck.network.interpret import interpret
from gencheck.network.ir import Network
from gencheck.network.planes import GatedNode, Planes, gate_values
from gencheck.network.scaled import Scaled
from gencheck.network.terms import kernel_program
from gencheck.spectral.kernel.formation import gram_matrix
from gencheck.spectral.kernel.forward import forward

_ITEMS = 3


def second_route(network: Network, items: Tensor) -> Tensor:
    """log2 K of every pair, from one forward pass on all pairs."""
    count = len(items)
    left, right = (i.reshape(-1) for i in torch.meshgrid(*[torch.arange(count)] * 2, indexing="ij"))
    planes = logits(network, items)[1]

    def products(position: int, node: GatedNode, value: Scaled) -> Planes:
        gates = [gate_values(node, plane, items) for plane in planes[position]]
        return [gate[left] * gate[right] for gate in gates]

    start = items[left] * items[right]
    for node in network.nodes:
        if isinstance(node, Embed):
            # each place sums over all tokens, of which one is shared or none is
            start = (items[left] == items[right]).to(items) / len(node.weight)
    reached = interpret(network, NumericAlgebra(start, torch.ones_like, products))
    return reached.log2()[:, 0].view(count, count)


class Logits(nn.Module):
    """The logits of a model that returns an output object."""

    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, x: Tensor) -> Tensor:
        return self.whole(x).logits


def _vit() -> nn.Module:
    models = pytest.importorskip("torchvision.models", exc_type=ImportError)
    return models.VisionTransformer(16, 4, 2, 2, 16, 24, num_classes=3)


def _swin() -> nn.Module:
    models = pytest.importorskip("torchvision.models", exc_type=ImportError)
    return models.SwinTransformer([2, 2], 8, [2, 2], [2, 2], [2, 2], num_classes=3)


def _mobilenet() -> nn.Module:
    models = pytest.importorskip("torchvision.models", exc_type=ImportError)
    return models.mobilenet_v3_small(num_classes=3)


def _convnext() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2)
    return Logits(transformers.ConvNextForImageClassification(config))


def _bert() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=9,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=8,
        num_labels=3,
    )
    return Logits(transformers.BertForSequenceClassification(config))


REAL: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "vit": (_vit, (3, 16, 16)),
    "swin": (_swin, (3, 16, 16)),
    "mobilenet_v3": (_mobilenet, (3, 32, 32)),
    "convnext": (_convnext, (3, 16, 16)),
    "bert": (_bert, (6,)),
}


def _items(name: str) -> Tensor:
    draw: Callable[[tuple[int, ...]], Tensor] = torch.rand
    if name == "bert":
        draw = partial(torch.randint, 0, 9)
    torch.manual_seed(1)
    return draw((_ITEMS, *REAL[name][1])).double()


def _audited(name: str) -> AuditedModel:
    torch.manual_seed(0)
    module = REAL[name][0]().double().eval()
    return model_of_module(module, [REAL[name][1]])


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_the_kernel_of_a_real_architecture(name: str) -> None:
    audited, items = _audited(name), _items(name)
    own, found = audited.own_output(items), logits(audited.network, items)[0].plain()
    torch.testing.assert_close(found, own, rtol=1e-9, atol=1e-9)
    program = kernel_program(audited.network)
    factors, _ = forward(audited.network, items, 2)
    gram = gram_matrix(program, factors, 2)
    expected = second_route(audited.network, items)
    kernel = gram.dense().log2() + gram.exponent
    # 1e-10 relative is 1.4e-10 in log2
    torch.testing.assert_close(kernel, expected, rtol=0, atol=1.4e-10)
    assert audited.network.gate_places()
