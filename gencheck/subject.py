"""The model under audit: its network, its own output, and how it was read."""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from gencheck.errors import InputError, UnsupportedModel
from gencheck.load.checkpoint import SavedProgram, StateDict, built_model, load_checkpoint
from gencheck.load.wrapping import without_prefixes
from gencheck.network.archive import from_archive
from gencheck.network.aten import AtenGraph, run
from gencheck.network.chain import linear_chain
from gencheck.network.ir import Network
from gencheck.network.lowering import lowered
from gencheck.network.tail import coverable_layers, head_of, may_run, tail_of
from gencheck.network.trace import traced


@dataclass(frozen=True)
class Subject:
    """A model as the audit sees it.

    Attributes
    ----------
    network
        The gated linear network.
    own_output
        The model's own output on items of shape (N, *network.input_shape), by torch's own kernels.
    parameters
        The number of its parameters.
    notes
        What was assumed in reading it.
    item_shape, whole_numbers
        What the model takes: the shape of one item, and whether it consists of whole numbers.
    head
        Where the audit starts at a layer: what computes the tensor entering it from the model's
        items, in the dtype asked for. None where the whole model is audited.
    """

    network: Network
    own_output: Callable[[Tensor], Tensor]
    parameters: int
    notes: tuple[str, ...]
    item_shape: tuple[int, ...]
    whole_numbers: bool = False
    head: Callable[[Tensor, torch.dtype], Tensor] | None = None


def subject_of_module(
    module: nn.Module,
    shapes: Iterable[tuple[int, ...]],
    notes: tuple[str, ...] = (),
    from_layer: str | None = None,
) -> Subject:
    """A live module, which is copied, never changed.

    Parameters
    ----------
    shapes
        Item shapes to try; the first one that the module runs on is taken.
    from_layer
        Audit the tail from this layer on, with the tensor entering it as x.

    Raises
    ------
    InputError
        The module runs on none of the shapes, or has no such layer.
    UnsupportedModel
        The module has operations outside the path view.
    """
    graph = _first_traceable(module, list(shapes))
    parameters = sum(p.numel() for p in module.parameters())
    if from_layer is not None:
        return _subject_of_graph(graph, parameters, notes, from_layer)
    copies: dict[tuple[torch.dtype, torch.device], nn.Module] = {}

    def own_output(items: Tensor) -> Tensor:
        key = (items.dtype, items.device)
        if key not in copies:
            copies[key] = copy.deepcopy(module).eval().to(dtype=items.dtype, device=items.device)
        with torch.no_grad():
            output = copies[key](items)
        assert isinstance(output, Tensor)
        return output

    network = _lowered_or_advised(graph)
    return Subject(network, own_output, parameters, notes, graph.input_shape)


def _first_traceable(module: nn.Module, shapes: list[tuple[int, ...]]) -> AtenGraph:
    failure: InputError | None = None
    for whole_numbers in (False, True):
        for shape in shapes:
            try:
                return traced(module, shape, whole_numbers)
            except InputError as error:
                failure = failure or error
    if failure is None:
        raise ValueError("no item shape to try")
    raise failure


def _lowered_or_advised(graph: AtenGraph) -> Network:
    """The network; where the model is not covered, the error names the layers from which it is."""
    try:
        return lowered(graph)
    except UnsupportedModel as error:
        dtype = torch.int64 if graph.whole_numbers else torch.float32
        probe = torch.zeros((graph.batch or 2, *graph.input_shape), dtype=dtype)
        raise UnsupportedModel(error.offenders, coverable_layers(graph, probe)) from error


def _subject_of_graph(
    graph: AtenGraph, parameters: int, notes: tuple[str, ...], from_layer: str | None
) -> Subject:
    whole = graph
    head: Callable[[Tensor, torch.dtype], Tensor] | None = None
    if from_layer is not None:
        before = head_of(whole, from_layer)

        def head(items: Tensor, dtype: torch.dtype) -> Tensor:
            return run(before, items, may_run, dtype=dtype).to(dtype)

        kind = torch.int64 if whole.whole_numbers else torch.float32
        probe = torch.zeros((whole.batch or 2, *whole.input_shape), dtype=kind)
        graph = tail_of(whole, from_layer, tuple(head(probe, torch.float32).shape[1:]))

    def own_output(items: Tensor) -> Tensor:
        return run(graph, items, may_run)

    return Subject(
        _lowered_or_advised(graph),
        own_output,
        parameters,
        notes,
        whole.input_shape,
        whole.whole_numbers,
        head,
    )


def load_subject(
    path: Path,
    factory: str | None,
    shapes: Iterable[tuple[int, ...]],
    from_layer: str | None = None,
) -> Subject:
    """The model in a checkpoint file.

    Parameters
    ----------
    factory
        ``MODULE:FACTORY`` for a state dict that is no plain chain of Linear weights.
    shapes
        Item shapes to try where the checkpoint does not say its own.
    from_layer
        Audit the tail from this layer on, with the tensor entering it as x.

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
        graph = from_archive(checkpoint.document, checkpoint.weights, str(path))
        with _sound_program(path):
            subject = _subject_of_graph(graph, graph.parameter_count, (), from_layer)

        def own_output(items: Tensor) -> Tensor:
            with _sound_program(path):
                return subject.own_output(items)

        return replace(subject, own_output=own_output)
    return _subject_of_state(checkpoint, factory, shapes, str(path), from_layer)


@contextmanager
def _sound_program(path: Path) -> Iterator[None]:
    """A graph from a file may call operators with arguments that they do not take.

    Raises
    ------
    InputError
        It does.
    """
    try:
        yield
    except (
        RuntimeError,
        TypeError,
        LookupError,
        ValueError,
        AttributeError,
        ArithmeticError,
    ) as error:
        raise InputError(
            where=str(path),
            found="a program whose calls do not fit together "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})",
            required="an archive written by torch.export.save",
            remedy="Save the model again with torch.export.save.",
        ) from error


def _subject_of_state(
    state: StateDict,
    factory: str | None,
    shapes: Iterable[tuple[int, ...]],
    where: str,
    from_layer: str | None,
) -> Subject:
    if factory is not None:
        module, notes = built_model(factory, state, where)
        return subject_of_module(module, shapes, (*state.notes, *notes), from_layer)
    tensors, prefixes = without_prefixes(state.tensors, None, state.under)
    chain = linear_chain(tensors, state.ordered, where)
    first = chain[0]
    assert isinstance(first, nn.Linear)
    note = "a plain chain of Linear weights; ReLU between the layers is assumed"
    notes = (*state.notes, *prefixes, note)
    return subject_of_module(chain, [(first.in_features,)], notes, from_layer)
