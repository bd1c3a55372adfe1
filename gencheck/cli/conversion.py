"""Values of options of plain types, without the library that typer has convert them.

Importing that library costs more than everything else that a small command does.
"""

import inspect
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import typer

Convert = Callable[[Any], Any]


def convert_plainly(command: Any) -> None:
    """Have each parameter of `command` take the short way where its type has one.

    What the short way cannot convert goes typer's own way, which words the refusal.
    """
    hints = typing.get_type_hints(inspect.unwrap(command.callback), include_extras=True)
    for parameter in command.params:
        convert = _short_way(hints.get(parameter.name))
        if convert is not None and parameter.callback is None:
            parameter.process_value = _shortcut(parameter, convert)


def leave_unasked(option: Any) -> Any:
    """The option of the help, whose callback has nothing to do where no one asked for it."""
    if option is not None and "process_value" not in vars(option):
        own_way = option.process_value
        option.process_value = lambda ctx, value: value and own_way(ctx, value)
    return option


def _shortcut(parameter: Any, convert: Convert) -> Callable[[Any, Any], Any]:
    own_way, many = parameter.process_value, parameter.multiple or parameter.nargs == -1

    def process_value(context: Any, value: Any) -> Any:
        if value is None and not parameter.required:
            return () if many else None
        try:
            if not many:
                return convert(value)
            if value and isinstance(value, list | tuple):
                return [convert(item) for item in value]
        except (TypeError, ValueError, typer.BadParameter):
            pass
        return own_way(context, value)

    return process_value


def _short_way(hint: Any) -> Convert | None:
    """How a value of an annotated type is converted; None where typer has to be asked."""
    if typing.get_origin(hint) is not Annotated:
        return None
    kind, info = typing.get_args(hint)[:2]
    if info.parser is not None:
        return _call(info.parser)
    if typing.get_origin(kind) in (Union, types.UnionType):
        kinds = [part for part in typing.get_args(kind) if part is not type(None)]
        if len(kinds) != 1:
            return None
        kind = kinds[0]
    if typing.get_origin(kind) is list:
        (kind,) = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        return _pair(typing.get_args(kind))
    if typing.get_origin(kind) is Literal:
        return _one_of(typing.get_args(kind))
    if kind in (int, float):
        return _number(kind, info.min, info.max)
    return {str: _text, Path: _path}.get(kind)


def _call(parser: Convert) -> Convert:
    return lambda value: parser(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _path(value: Any) -> Path:
    return value if isinstance(value, Path) else Path(_text(value))


def _number(kind: type[int] | type[float], low: float | None, high: float | None) -> Convert:
    def number(value: Any) -> float:
        found = value if type(value) is kind else kind(_text(value))
        if (low is not None and not found >= low) or (high is not None and not found <= high):
            raise ValueError
        return found

    return number


def _pair(kinds: tuple[Any, ...]) -> Convert | None:
    if any(kind is not float for kind in kinds):
        return None
    number = _number(float, None, None)

    def pair(values: Any) -> tuple[Any, ...]:
        if not isinstance(values, list | tuple) or len(values) != len(kinds):
            raise ValueError
        return tuple(number(value) for value in values)

    return pair


def _one_of(choices: tuple[Any, ...]) -> Convert:
    def choice(value: Any) -> Any:
        if value not in choices:
            raise ValueError
        return value

    return choice
