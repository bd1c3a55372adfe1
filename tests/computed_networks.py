"""Tiny networks whose gates are computed: products, normalisations, attention, tokens."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

Factory: TypeAlias = Callable[[], nn.Module]


class SqueezeExcite(nn.Module):
    """Channels scaled by the sigmoid of what their means say."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 2)
        self.reduce, self.expand, self.gate = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 3, 1), gate
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.conv(x))
        s = self.expand(torch.relu(self.reduce(h.mean((2, 3), keepdim=True))))
        h = h * self.gate(s)
        return self.head(h.mean((2, 3)))


class Gated(nn.Module):
    """GLU, GEGLU, SwiGLU: one half gates the other."""

    def __init__(self, act: Callable[[Tensor], Tensor], bias: bool = True) -> None:
        super().__init__()
        self.first, self.gate = nn.Linear(3, 4, bias=bias), nn.Linear(3, 4, bias=bias)
        self.act, self.second, self.head = act, nn.Linear(4, 3, bias=bias), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.gate(x)) * self.first(x)
        return self.head(torch.relu(x + self.second(h)))


class Glu(nn.Module):
    """`functional.glu`, and a product taken in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(3, 6), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = functional.glu(self.first(x))
        return self.head(h.mul_(torch.sigmoid(x)))


class RmsWritten(nn.Module):
    """RMSNorm as LLaMA writes it, then a SwiGLU block with a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.randn(3))
        self.up, self.gate, self.down = (nn.Linear(3, 3, bias=False) for _ in range(3))
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.gain
        x = x + self.down(functional.silu(self.gate(h)) * self.up(h))
        return self.head(x)


class Normalised(nn.Module):
    """L2 normalisation, a global response norm, and a convolutional layer norm written out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.conv2, self.head = nn.Conv2d(1, 2, 2), nn.Conv2d(2, 2, 1), nn.Linear(2, 2)
        self.gain, self.bias = (
            nn.Parameter(torch.randn(2, 1, 1)),
            nn.Parameter(torch.randn(2, 1, 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        mean = h.mean(1, keepdim=True)
        h = (h - mean) / torch.sqrt((h - mean).pow(2).mean(1, keepdim=True) + 1e-5)
        h = torch.relu(self.conv2(h))
        size = torch.linalg.vector_norm(h, dim=(2, 3), keepdim=True)
        h = self.bias + self.gain * (h * (size / (size.mean(1, keepdim=True) + 1e-6))) + h
        return self.head(functional.normalize(h.mean((2, 3)), dim=1))


class Attention(nn.Module):
    """Self-attention, written out or by torch's own function, one or more heads."""

    def __init__(
        self, heads: int, width: int, own: bool, causal: bool = False, masked: bool = False
    ) -> None:
        super().__init__()
        self.heads, self.own, self.causal, self.masked = heads, own, causal, masked
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        split = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        if self.masked:
            seen = torch.tensor([[True, False, True], [True, True, False], [False, True, True]])
            h = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=0.4)
        elif self.own:
            h = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        else:
            score = q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5
            if self.causal:
                mask = torch.ones(tokens, tokens, dtype=torch.bool).tril()
                score = score.masked_fill(~mask, float("-inf"))
            h = score.softmax(-1) @ v
        return self.out(h.transpose(1, 2).reshape(batch, tokens, width))


class Attending(nn.Module):
    """An attention alone, then the mean of the tokens."""

    def __init__(self, attention: nn.Module, width: int) -> None:
        super().__init__()
        self.attention, self.head = attention, nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x).mean(1))


class Grouped(nn.Module):
    """Two heads of queries share one head of keys and values; a skip that is rotated off the path."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(4, 2)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        q = self.q(x).view(-1, 3, 2, 2).transpose(1, 2)
        k, v = (layer(x).view(-1, 3, 1, 2).transpose(1, 2) for layer in (self.k, self.v))
        angle = torch.arange(3)[:, None] * torch.ones(2)
        q, k = (t * angle.cos() + t.flip(-1) * angle.sin() for t in (q, k))
        h = functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        return self.head(h.transpose(1, 2).reshape(-1, 3, 4).mean(1))


class Multihead(nn.Module):
    """`MultiheadAttention`, whose batch is merged with the heads on the way."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(2, 2, batch_first=batch_first)
        self.batch_first, self.head = batch_first, nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = x if self.batch_first else x.transpose(0, 1)
        h, _ = self.attention(h, h, h, need_weights=False)
        return self.head((h if self.batch_first else h.transpose(0, 1)).mean(1))


class Block(nn.Module):
    """A transformer block, with its norms before or after."""

    def __init__(self, before: bool, width: int = 2) -> None:
        super().__init__()
        self.before = before
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(1, width, own=True)
        self.mlp = nn.Sequential(nn.Linear(width, 3), nn.GELU(), nn.Linear(3, width))

    def forward(self, x: Tensor) -> Tensor:
        if self.before:
            x = x + self.attention(self.norm1(x))
            return x + self.mlp(self.norm2(x))
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.mlp(x))


class Vision(nn.Module):
    """Patches, a class token, positions, blocks, a norm, a head on the class token."""

    def __init__(self, before: bool = True) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, 2, 1, stride=2)
        self.token, self.place = (
            nn.Parameter(torch.randn(1, 1, 2)),
            nn.Parameter(torch.randn(1, 3, 2)),
        )
        self.block, self.norm, self.head = Block(before), nn.LayerNorm(2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.patch(x).flatten(2).transpose(1, 2)
        h = torch.cat([self.token.expand(x.shape[0], -1, -1), h], 1) + self.place
        return self.head(self.norm(self.block(h))[:, 0])


class ConvNext(nn.Module):
    """A depthwise convolution, a norm over channels, an MLP, a layer scale, a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 1)
        self.depthwise, self.norm = nn.Conv2d(2, 2, 3, padding=1, groups=2), nn.LayerNorm(2)
        self.up, self.down, self.scale = (
            nn.Linear(2, 3),
            nn.Linear(3, 2),
            nn.Parameter(torch.randn(2)),
        )
        self.head = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        h = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        h = self.scale * self.down(functional.gelu(self.up(h)))
        return self.head((x + h.permute(0, 3, 1, 2)).mean((2, 3)))


class Windows(nn.Module):
    """Attention in shifted windows, as in Swin: the batch is merged with the windows."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.head = nn.Linear(1, 2), nn.LayerNorm(2), nn.Linear(2, 2)
        self.attention = Attention(1, 2, own=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x[..., None])
        batch, side, _, width = h.shape
        s = torch.roll(self.norm(h), (-1, -1), (1, 2))
        s = s.view(batch, side // 2, 2, side // 2, 2, width).permute(0, 1, 3, 2, 4, 5)
        s = self.attention(s.reshape(-1, 4, width))
        s = s.view(batch, side // 2, side // 2, 2, 2, width).permute(0, 1, 3, 2, 4, 5)
        s = torch.roll(s.reshape(batch, side, side, width), (1, 1), (1, 2))
        return self.head((h + s).mean((1, 2)))


class Linear(nn.Module):
    """Linear attention: a product of the activated keys and queries, by einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.head = (nn.Linear(2, 2) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = torch.relu(self.q(x)), torch.relu(self.k(x)), self.v(x)
        h = torch.einsum("btd,bde->bte", q, torch.einsum("bsd,bse->bde", k, v))
        return self.head(h.mean(1))


class Text(nn.Module):
    """Tokens and positions looked up, a block, the mean or the last token that is not padding."""

    def __init__(self, last: bool = False, learned: bool = False) -> None:
        super().__init__()
        self.last, self.learned = last, learned
        self.tokens, self.places = nn.Embedding(5, 2), nn.Embedding(4, 2)
        self.block, self.head = Block(True), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        place = torch.arange(x.shape[1])
        if self.learned:
            place = torch.cumsum(x.ne(0), 1)
        h = self.block(self.tokens(x) + self.places(place))
        if self.last:
            scores = self.head(h)
            ends = (x.ne(0) * torch.arange(x.shape[1])).argmax(-1)
            return scores[torch.arange(len(x)), ends]
        return self.head(h.mean(1))


def _normed(norm: nn.Module, after: nn.Module) -> Factory:
    return lambda: nn.Sequential(nn.Linear(3, 4), norm, after, nn.Linear(4, 2))


# Each with the shape of an item; those of whole numbers are texts of five tokens.
COMPUTED: dict[str, tuple[Factory, tuple[int, ...]]] = {
    "squeeze_excite": (lambda: SqueezeExcite(nn.Sigmoid()), (1, 3, 3)),
    "squeeze_excite_hard": (lambda: SqueezeExcite(nn.Hardsigmoid()), (1, 3, 3)),
    "glu": (Glu, (3,)),
    "geglu": (lambda: Gated(functional.gelu), (3,)),
    "swiglu": (lambda: Gated(functional.silu, bias=False), (3,)),
    "rms_written": (RmsWritten, (3,)),
    "layer_norm_first": (
        lambda: nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)),
        (3,),
    ),
    "layer_norm_after": (_normed(nn.LayerNorm(4), nn.ReLU()), (3,)),
    "layer_norm_plain": (_normed(nn.LayerNorm(4, elementwise_affine=False), nn.Tanh()), (3,)),
    "rms_norm": (_normed(nn.RMSNorm(4, eps=1e-6), nn.SiLU()), (3,)),
    "group_norm": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 2), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)
        ),
        (1, 3, 3),
    ),
    "instance_norm": (
        lambda: nn.Sequential(
            nn.Conv1d(1, 2, 2), nn.InstanceNorm1d(2, affine=True), nn.Flatten(), nn.Linear(6, 2)
        ),
        (1, 4),
    ),
    "norms_written": (Normalised, (1, 3, 3)),
    "attention": (lambda: Attending(Attention(1, 2, own=True), 2), (3, 2)),
    "attention_written": (lambda: Attending(Attention(2, 4, own=False), 4), (3, 4)),
    "attention_causal": (lambda: Attending(Attention(2, 4, own=True, causal=True), 4), (3, 4)),
    "attention_masked": (lambda: Attending(Attention(1, 2, own=False, causal=True), 2), (3, 2)),
    "attention_own_masked": (
        lambda: Attending(Attention(2, 4, own=True, masked=True), 4),
        (3, 4),
    ),
    "attention_grouped": (Grouped, (3, 4)),
    "multihead": (lambda: Multihead(True), (3, 2)),
    "multihead_batch_second": (lambda: Multihead(False), (3, 2)),
    "linear_attention": (Linear, (3, 2)),
    "pre_norm_vision": (Vision, (1, 2, 4)),
    "post_norm_vision": (lambda: Vision(False), (1, 2, 4)),
    "conv_next": (ConvNext, (1, 2, 2)),
    "swin_windows": (Windows, (4, 4)),
    "text": (Text, (3,)),
    "text_last": (lambda: Text(last=True), (3,)),
    "text_computed_places": (lambda: Text(learned=True), (3,)),
}
TEXTS = frozenset(name for name in COMPUTED if name.startswith("text"))


def build_computed(name: str, seed: int = 0) -> nn.Module:
    """The network `name` in float64 and eval mode, weights large enough that its gates matter."""
    torch.manual_seed(seed)
    module = COMPUTED[name][0]().double()
    for part in module.modules():
        for tensor in part.parameters(recurse=False):
            nn.init.normal_(tensor, 0.1, 0.8)
        if isinstance(part, nn.LayerNorm | nn.GroupNorm) and part.weight is not None:
            nn.init.normal_(part.weight, 1.0, 0.3)
    return module.eval()
