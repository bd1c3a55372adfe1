"""The model under audit: its network, its own output, and how it was read."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from gencheck.errors import InputError
from gencheck.load.checkpoint import SavedProgram, StateDict, built_model, load_checkpoint
from gencheck.network.archive import from_archive
from gencheck.network.aten import AtenGraph, run
from gencheck.network.chain import linear_chain
from gencheck.network.ir import Network
from gencheck.network.lowering import RUNNABLE, lowered
from gencheck.network.trace import traced


@dataclass(frozen=True)
class Subject:
    """A model as the audit sees it.

    Attributes
    ----------
    network
        The gated linear network.
    own_output
        The model's own output on items of shape (N, *input_shape), by torch's own kernels.
    parameters
        The number of its parameters.
    notes
        What was assumed in reading it.
    """

    network: Network
    own_output: Callable[[Tensor], Tensor]
    parameters: int
    notes: tuple[str, ...]


def subject_of_module(
    module: nn.Module, shapes: Iterable[tuple[int, ...]], notes: tuple[str, ...] = ()
) -> Subject:
    """A live module, which is copied, never changed.

    Parameters
    ----------
    shapes
        Item shapes to try; the first one that the module runs on is taken.

    Raises
    ------
    InputError
        The module runs on none of the shapes.
    UnsupportedModel
        The module has operations outside the path view.
    """
    graph = _first_traceable(module, list(shapes))
    copies: dict[tuple[torch.dtype, torch.device], nn.Module] = {}

    def own_output(items: Tensor) -> Tensor:
        key = (items.dtype, items.device)
        if key not in copies:
            copies[key] = copy.deepcopy(module).eval().to(dtype=items.dtype, device=items.device)
        with torch.no_grad():
            output = copies[key](items)
        assert isinstance(output, Tensor)
        return output

    parameters = sum(p.numel() for p in module.parameters())
    return Subject(lowered(graph), own_output, parameters, notes)


def _first_traceable(module: nn.Module, shapes: list[tuple[int, ...]]) -> AtenGraph:
    failure: InputError | None = None
    for shape in shapes:
        try:
            return traced(module, shape)
        except InputError as error:
            failure = failure or error
    if failure is None:
        raise ValueError("no item shape to try")
    raise failure


def _subject_of_graph(graph: AtenGraph) -> Subject:
    def own_output(items: Tensor) -> Tensor:
        return run(graph, items, RUNNABLE)

    return Subject(lowered(graph), own_output, graph.parameter_count, ())


def load_subject(path: Path, factory: str | None, shapes: Iterable[tuple[int, ...]]) -> Subject:
    """The model in a checkpoint file.

    Parameters
    ----------
    factory
        ``MODULE:FACTORY`` for a state dict that is no plain chain of Linear weights.
    shapes
        Item shapes to try where the checkpoint does not say its own.

    Raises
    ------
    InputError, UnsupportedModel, MissingDependency
        As the readers of the file, the factory and the tracer raise them.
    """
    checkpoint = load_checkpoint(path)
    if isinstance(checkpoint, SavedProgram):
        if factory is not None:
            raise InputError(
                where="--model",
                found=f"a factory for {path}, which brings its own graph",
                required="--model only with a state dict",
            )
        return _subject_of_graph(from_archive(checkpoint.document, checkpoint.weights, str(path)))
    return _subject_of_state(checkpoint, factory, shapes, str(path))


def _subject_of_state(
    state: StateDict, factory: str | None, shapes: Iterable[tuple[int, ...]], where: str
) -> Subject:
    if factory is not None:
        return subject_of_module(built_model(factory, state, where), shapes)
    chain = linear_chain(state.tensors, state.ordered, where)
    first = chain[0]
    assert isinstance(first, nn.Linear)
    note = "a plain chain of Linear weights; ReLU between the layers is assumed"
    return subject_of_module(chain, [(first.in_features,)], (note,))
