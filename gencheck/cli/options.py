"""Options that several commands share."""

from contextvars import ContextVar
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Literal

import typer

from gencheck.errors import InputError


def share(text: str | float) -> float:
    """The number that ``0.05`` or ``5%`` means."""
    words = str(text).strip()
    try:
        return float(Decimal(words[:-1]) / 100) if words.endswith("%") else float(words)
    except (ValueError, InvalidOperation) as error:
        raise typer.BadParameter(f"{words!r} is neither a number nor one per cent.") from error


def complement(value: float) -> float:
    """1 − value, exact in decimals: 1 − 0.9 is 0.1."""
    return float(1 - Decimal(repr(value)))


def delta_of(delta: float | None, confidence: float | None) -> float:
    """δ from whichever of the two was given; 0.05 where none was.

    Raises
    ------
    InputError
        Both were, or one is not strictly between 0 and 1.
    """
    from gencheck.arguments import require_between

    if delta is not None and confidence is not None:
        raise InputError(
            where="--delta and --confidence",
            found=f"both ({delta:g} and {confidence:g})",
            required="one of them: the confidence is 1 − delta",
        )
    for name, value in (("--delta", delta), ("--confidence", confidence)):
        if value is not None:
            require_between(name, value, 0, 1, open_low=True, open_high=True)
    if confidence is not None:
        return complement(confidence)
    return 0.05 if delta is None else delta


def confidence_of(delta: float | None, confidence: float | None) -> float | None:
    """1 − δ or the confidence, whichever was given; None where neither was.

    Raises
    ------
    InputError
        As `delta_of` raises it.
    """
    return confidence if delta is None else complement(delta_of(delta, confidence))


Delta = Annotated[
    float | None,
    typer.Option(
        metavar="D", parser=share, help="It holds with probability 1 − D: 0.05 unless said, or 5%."
    ),
]
Confidence = Annotated[
    float | None,
    typer.Option(metavar="P", parser=share, help="Instead: that probability, such as 0.95 or 95%."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")
]
Output = Annotated[
    Path | None,
    typer.Option("--output", help="Write the same JSON document to this file too, atomically."),
]
Report = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Write a report: .html, .md, .svg, .xml (JUnit, a test a gate) or .json; repeatable.",
    ),
]


# Whether the command at hand was asked for its long form: `deliver` looks, and no command hands it on.
EXPLAINING: ContextVar[bool] = ContextVar("explaining", default=False)

# The command at hand as it was typed, for reports that say how to repeat it.
TYPED: ContextVar[str] = ContextVar("typed", default="")


def _explaining(asked: bool) -> bool:
    EXPLAINING.set(asked)
    return asked


Explain = Annotated[
    bool,
    typer.Option(
        "--explain", callback=_explaining, help="Print the long form: every word explained."
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="On an error, show the traceback as well.")]
IdKey = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="The column that names items, each of them once."),
]
ScoreKey = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="A score of which more is better; its loss is the rest."),
]
Loss = Annotated[
    Literal["zero-one", "bounded"] | None,
    typer.Option(help="Losses are 0 or 1 (the default), or anywhere between."),
]
LossRange = Annotated[
    tuple[float, float] | None,
    typer.Option(metavar="A B", help="The range of another bounded loss, fixed beforehand."),
]
ClusterKey = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Items of one patient, document or prompt; or id."),
]
StratifyKey = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="The stratum of an item; or task, of logs.")
]
WeightKey = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="An item's weight where sampling was not uniform."),
]
MaxWeight = Annotated[
    float | None, typer.Option(metavar="W", help="The largest weight that there can be.")
]
MeanOver = Annotated[
    Literal["groups", "items"],
    typer.Option(help="Tasks or strata count the same, or by their items."),
]
Factory = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:FACTORY",
        help="The function that builds the model of a state dict. Runs your code.",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="The key of the weights, where a file has several."),
]
OutputName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The output to audit, where the forward returns several."),
]
Holdout = Annotated[
    float | None,
    typer.Option(
        metavar="FRACTION", parser=share, help="Set this fraction of DATA aside as the reference."
    ),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="At most so many items of each set, shuffled.")
]
XKey = Annotated[
    str | None, typer.Option(help="The array of items, or feature columns with commas.")
]
YKey = Annotated[str | None, typer.Option(help="The array or column of targets.")]
LabelKey = Annotated[str | None, typer.Option(help="The array or column of labels.")]
Normalise = Annotated[
    tuple[str, str] | None,
    typer.Option(
        metavar="MEAN STD",
        help="Take MEAN from each item and divide by STD, as in training; one each, or by channel: "
        "0.49,0.48,0.45 0.25,0.24,0.26.",
    ),
]
ResizeTo = Annotated[
    str | None,
    typer.Option(
        "--resize",
        metavar="SIZE",
        help="Resize images first, as in training: 32, or 32x48 for height × width.",
    ),
]
TransformName = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:FUNCTION",
        help="The function that makes the model's item of a stored one. Runs your code.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:INDEX.")]
KernelDtype = Annotated[
    Literal["float32", "float64"], typer.Option(help="The precision of the kernel.")
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="The most memory to take, such as 4GiB; default: what is free."
    ),
]
