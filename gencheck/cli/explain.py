"""`gencheck explain`: what a message refers to, at length."""

from typing import Annotated, Literal

import typer


def explain(
    topic: Annotated[Literal["supported"], typer.Argument(help="What to explain.")],
) -> None:
    """Explain a topic that a message refers to.

    Example: gencheck explain supported
    """
    from gencheck.network.lowering import BUILDERS

    print(
        "The path view covers networks that are, for one fixed input, linear maps of their weights:\n"
        "  dense layers (Linear, with or without bias), the last layer among them\n"
        "  ReLU, and LeakyReLU with a slope from 0 to 1\n"
        "  BatchNorm1d in eval mode: folded into the dense layer before it, else an edge of its own\n"
        "  sums of two layers (skip connections), flatten, view and reshape within an item\n"
        "  Dropout in eval mode and Identity, which do nothing\n"
        "\n"
        "Everything else is refused by name. The operators of torch.export that are read:"
    )
    for target in sorted(BUILDERS):
        print(f"  {target}")
