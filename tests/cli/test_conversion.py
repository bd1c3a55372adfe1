"""Values of options: the short way gives what typer's own way gives, and refuses what it refuses."""

from typing import Any

import pytest
import typer

from gencheck.cli.app import app, command_names

GROUP: Any = typer.main.get_command(app)
ONE = [
    "3",
    "0",
    "-1",
    "0.5",
    "5%",
    "1e9",
    "nan",
    "x",
    "",
    " 7 ",
    "1_0",
    "bounded",
    "max",
    "a/b.csv",
]
VALUES: list[Any] = [None, *ONE, 4, 0.25, [], ["a", "b"], ("0", "1"), ("0", "x"), ("1",), True]


def outcome(process: Any, context: Any, value: Any) -> Any:
    try:
        found = process(context, value)
    except (typer.BadParameter, typer.BadParameter.__base__) as error:
        return type(error), str(error)
    return type(found), repr(found)


@pytest.mark.parametrize("name", command_names())
def test_the_short_way_gives_what_typer_gives(name: str) -> None:
    command = GROUP.commands[name]
    context = command.context_class(command)
    short = 0
    for parameter in command.params:
        short += "process_value" in vars(parameter)
        for value in VALUES:
            own = outcome(type(parameter).process_value.__get__(parameter), context, value)
            assert outcome(parameter.process_value, context, value) == own, (parameter.name, value)
    assert short > len(command.params) / 2 or name in {"config", "schema", "explain", "demo"}
