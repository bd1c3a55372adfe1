"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")
]
Output = Annotated[
    Path | None,
    typer.Option("--output", help="Write the same JSON document to this file too, atomically."),
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
Holdout = Annotated[
    float | None,
    typer.Option(metavar="FRACTION", help="Set this fraction of DATA aside as the reference."),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="At most so many items of each set, shuffled.")
]
XKey = Annotated[
    str | None, typer.Option(help="The array of items, or feature columns with commas.")
]
YKey = Annotated[str | None, typer.Option(help="The array or column of targets.")]
TransformName = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:FUNCTION",
        help="The function that makes the model's item of a stored one. Runs your code.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:INDEX.")]
