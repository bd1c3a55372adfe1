"""`gencheck rank`: which of several data sets is nearest to a reference under one model."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gencheck.cli.audit_choices import audit_options, data_selection
from gencheck.cli.deliver import deliver
from gencheck.cli.options import (
    AsJson,
    Debug,
    Device,
    Explain,
    Factory,
    KernelDtype,
    Key,
    Limit,
    Memory,
    Normalise,
    Output,
    Report,
    ResizeTo,
    TransformName,
    XKey,
    YKey,
)
from gencheck.cli.sharing import shared
from gencheck.progress import SILENT


def rank(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="A model that saw none of the sets: .pt2, .safetensors, .pt, .pth or .ckpt.",
            show_default=False,
        ),
    ],
    candidates: Annotated[
        list[Path],
        typer.Argument(help="The data sets to choose among, read as DATA of concentrate."),
    ],
    reference: Annotated[
        Path, typer.Option(help="The reference T: what the data sets are to be like.")
    ],
    model: Factory = None,
    key: Key = None,
    from_layer: Annotated[
        str | None,
        typer.Option("--from", metavar="LAYER", help="Rank under the tail from this layer on."),
    ] = None,
    limit: Limit = None,
    seed: Annotated[int, typer.Option(min=0, help="Seeds shuffles, solvers, relabellings.")] = 0,
    x_key: XKey = None,
    y_key: YKey = None,
    transform: TransformName = None,
    normalise: Normalise = None,
    resize: ResizeTo = None,
    task: Annotated[
        Literal["auto", "classification", "regression"],
        typer.Option(help="What targets mean; auto: whole numbers are labels."),
    ] = "auto",
    permutations: Annotated[
        int, typer.Option(min=0, metavar="B", help="Relabel each pair of sets so often.")
    ] = 200,
    device: Device = "auto",
    dtype: KernelDtype = "float32",
    memory: Memory = None,
    require_first: Annotated[
        str | None,
        typer.Option(metavar="CANDIDATE", help="Fail (exit 1) where another set comes first."),
    ] = None,
    as_json: AsJson = False,
    output: Output = None,
    report: Report = None,
    explain: Explain = False,
    debug: Debug = False,
) -> None:
    """Rank CANDIDATE data sets by how near each is to the reference under the model CHECKPOINT.

    The order is by ‖V‖_F, the distance of the moments of path features and targets; β1, p-values,
    class shares and the model's own error stand beside it.

    Example: gencheck rank model.pt2 a.npz b.npz --reference test.npz
    """
    from gencheck.audit.rank import rank as ranking
    from gencheck.audit.rank_inputs import open_candidates
    from gencheck.audit.ranks import require_same
    from gencheck.audit.selection import ModelSelection
    from gencheck.cli.progress_bar import ProgressBars
    from gencheck.report.json import document
    from gencheck.report.rank import rank_body, require_candidate, require_first_check

    require_candidate(require_first, [str(path) for path in candidates])
    options = audit_options(
        device, dtype, memory, seed=seed, permutations=permutations, gates_independent=True
    )
    selection = data_selection(
        candidates[0],
        normalise,
        resize,
        reference=reference,
        x_key=x_key,
        y_key=y_key,
        limit=limit,
        seed=seed,
        task=task,
        transform=transform,
    )
    chosen = ModelSelection(checkpoint, model, from_layer=from_layer, key=key)
    with shared(options.device) as ranks:
        opened = open_candidates(chosen, candidates, selection, options.dtype)
        require_same(ranks, opened.record, (*opened.candidates.values(), opened.reference), options)
        found = ranking(
            opened.model,
            opened.candidates,
            opened.reference,
            opened.task,
            options,
            progress=SILENT if ranks.number else ProgressBars(),
            ranks=ranks,
        )
    inputs = opened.record | {
        "device": options.device,
        "dtype": dtype,
        "memory": options.memory,
        "permutations": permutations,
        "require_first": require_first,
    }
    gate = require_first_check(require_first, found)
    deliver(document("rank", inputs, rank_body(found), gate), as_json, output, report)
