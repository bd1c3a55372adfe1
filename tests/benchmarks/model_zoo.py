"""The 58 architectures of docs/coverage-of-models.md, by the library that they come from."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

Shape = tuple[int, ...]


class Logits(nn.Module):
    """The logits of a model that returns an output object."""

    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, x: Tensor) -> Tensor:
        return self.whole(x).logits


def _torchvision(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        from torchvision import models

        options = {"init_weights": False} if name in {"googlenet", "inception_v3"} else {}
        return getattr(models, name)(**options)

    return make


def _timm(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import timm

        sized = {"img_size": 64} if name in _SIZED else {}
        return timm.create_model(name, pretrained=False, **sized)

    return make


_SIZED = {"mixer_s32_224", "deit_tiny_patch16_224", "resmlp_12_224"}

_SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}
_TEXT: dict[str, Any] = {"vocab_size": 1000, "max_position_embeddings": 66}
_IMAGE: dict[str, Any] = {"image_size": 64, "patch_size": 16}
_CONFIGURED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ResNet": ("ResNetConfig", "ResNetForImageClassification", {"depths": [1, 1, 1, 1]}),
    "MobileNetV1": ("MobileNetV1Config", "MobileNetV1ForImageClassification", {}),
    "MobileNetV2": ("MobileNetV2Config", "MobileNetV2ForImageClassification", {}),
    "ConvNeXt": ("ConvNextConfig", "ConvNextForImageClassification", {}),
    "BERT": ("BertConfig", "BertForSequenceClassification", _SMALL | _TEXT),
    "DistilBERT": (
        "DistilBertConfig",
        "DistilBertForSequenceClassification",
        {"dim": 64, "n_layers": 4, "n_heads": 4, "hidden_dim": 128} | _TEXT,
    ),
    "RoBERTa": ("RobertaConfig", "RobertaForSequenceClassification", _SMALL | _TEXT),
    "GPT-2": (
        "GPT2Config",
        "GPT2ForSequenceClassification",
        {"n_embd": 64, "n_layer": 4, "n_head": 4, "vocab_size": 1000, "n_positions": 66}
        | {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    ),
    "ViT": ("ViTConfig", "ViTForImageClassification", _SMALL | _IMAGE),
    "DeiT": ("DeiTConfig", "DeiTForImageClassification", _SMALL | _IMAGE),
}


def _transformers(name: str) -> Callable[[], nn.Module]:
    config, model, options = _CONFIGURED[name]

    def make() -> nn.Module:
        import transformers

        return Logits(getattr(transformers, model)(getattr(transformers, config)(**options)))

    return make


_TORCHVISION = """
alexnet vgg11 vgg11_bn resnet18 resnet50 wide_resnet50_2 resnext50_32x4d densenet121 squeezenet1_1
googlenet inception_v3 mobilenet_v2 mobilenet_v3_small shufflenet_v2_x0_5 mnasnet0_5 efficientnet_b0
efficientnet_v2_s regnet_x_400mf regnet_y_400mf convnext_tiny vit_b_16 swin_t swin_v2_t maxvit_t
"""
_TIMM = """
resnet26d efficientnet_lite0 mobilenetv4_conv_small darknet53 repvgg_a0 convmixer_768_32
res2net50_26w_4s ese_vovnet39b xception41 regnetx_002 seresnet18 ghostnet_100 convnextv2_atto
mixer_s32_224 deit_tiny_patch16_224 poolformer_s12 fastvit_t8 mobilevit_xxs hrnet_w18_small
resmlp_12_224 mobileone_s0 starnet_s1 dla34 nf_resnet26
"""
_SIDES = {"inception_v3": 96, "vit_b_16": 224, "maxvit_t": 224, "resnet26d": 64, "alexnet": 64}
_TEXTS = {"BERT", "DistilBERT", "RoBERTa", "GPT-2"}


def zoo() -> dict[str, tuple[str, Callable[[], nn.Module], Shape, bool]]:
    """By name: the library, what builds the model, the shape of an item, whether it is a text."""
    made: dict[str, tuple[str, Callable[[], nn.Module], Shape, bool]] = {}
    for name in _TORCHVISION.split():
        side = _SIDES.get(name, 64)
        made[name] = ("torchvision", _torchvision(name), (3, side, side), False)
    for name in _TIMM.split():
        made[name] = ("timm", _timm(name), (3, 64, 64), False)
    for name in _CONFIGURED:
        shape = (16,) if name in _TEXTS else (3, 64, 64)
        made[name] = ("transformers", _transformers(name), shape, name in _TEXTS)
    return made
