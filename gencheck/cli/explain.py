"""`gencheck explain`: what a message refers to, at length."""

from textwrap import fill
from typing import Annotated

import typer

from gencheck.cli.options import Debug
from gencheck.cli.terminal import print_plain


def explain(
    topic: Annotated[
        str,
        typer.Argument(
            metavar="TERM",
            help="A word of a report, `terms` for all of them, or `supported`: which models are.",
            show_default=False,
        ),
    ],
    debug: Debug = False,
) -> None:
    """Explain a word of a report, or what a message refers to.

    Example: gencheck explain β1
    """
    if topic == "supported":
        print_plain(_supported())
    elif topic == "terms":
        from gencheck.report.terms import TERMS

        print_plain("".join(f"{term.names[0]}\n" for term in TERMS))
    else:
        from gencheck.report.glossary import meaning

        found = meaning(topic)
        also = f" (also: {', '.join(found.names[1:])})" if found.names[1:] else ""
        print_plain(f"{fill(found.names[0] + also, 80)}\n\n{fill(found.meaning, 80)}\n")


_COVERED = (
    "dense layers (Linear, on the last axis of any item), the last layer among them",
    "convolutions in one to three dimensions: stride, zero padding, dilation, groups, depthwise",
    "BatchNorm in eval mode: folded into the layer before it, else an edge of its own",
    "ReLU, LeakyReLU, PReLU; ReLU6, Hardtanh and clamps between two ends",
    "smooth gates, reported as such: SiLU, GELU, Hardswish, tanh",
    "max-pools (stride, padding, dilation, ceil_mode, overlapping), global max-pools",
    "average pools, adaptive average pools, means and sums over axes of an item",
    "sums and differences of layers (skips), concatenation, constants multiplied or added",
    "whatever moves entries about: reshape, permute, slice, split, roll, expand, windows",
    "computed gates, recorded in model.gates: products of two computed tensors where one side lies "
    "off the path or ends in an activation (squeeze-excite, GLU, SwiGLU); LayerNorm, GroupNorm, "
    "InstanceNorm, RMSNorm, norms written out (1/std); attention (A gates v)",
    "parameters in the forward (class tokens, positions, layer scale), tokens looked up, the "
    "position that an item decides (the last token that is not padding)",
    "Dropout in eval mode and Identity, which do nothing",
)


def _supported() -> str:
    """What the path view covers."""
    from gencheck.network.frontend.lowering import BUILDERS

    covers = (
        "The path view covers networks that are, for one fixed input, linear maps of their weights:"
    )
    others = (
        "What only makes gates (Q, K, softmax, statistics) may be any operator of ATen that computes "
        "on tensors. Everything else on the path is refused by name, with the layers from which the "
        "rest is covered: --from LAYER audits that tail. The operators of torch.export that are read:"
    )
    parts = (fill(f"- {each}", 80, subsequent_indent="  ") for each in _COVERED)
    targets = (f"  {target}" for target in sorted(BUILDERS))
    return "\n".join([fill(covers, 80), *parts, "", fill(others, 80), *targets, ""])
