"""Every word of a report can be asked for, and every command has a long form."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from gencheck.cli.app import app, callback_of, command_names
from gencheck.report.answer import NAMES
from gencheck.report.glossary import meaning, terms_of
from gencheck.report.schema import schema_text
from gencheck.report.terms import TERMS

runner = CliRunner()
# Commands that compute; a test of reports holds that each takes --report.
COMMANDS = [name for name in command_names() if "report" in callback_of(name).__annotations__]


def named_by(schema: Any, key: str) -> Iterator[str]:
    """The values that a schema allows under `key`, wherever it stands."""
    if isinstance(schema, dict):
        own = schema.get(key)
        yield from (own if isinstance(own, dict) else {}).get("enum", [])
        for part in schema.values():
            yield from named_by(part, key)
    elif isinstance(schema, list):
        for part in schema:
            yield from named_by(part, key)


@pytest.mark.parametrize("command", COMMANDS)
def test_whatever_a_document_names_is_explained(command: str) -> None:
    """Bounds, theories, certificates, warnings: their names in the shipped schemas."""
    schema = json.loads(schema_text(command))
    for name in [*named_by(schema, "name"), *named_by(schema, "certainty")]:
        if name is not None:
            assert meaning(name).meaning, name


def test_every_statistic_is_explained_by_its_key_and_by_its_name() -> None:
    for key, name in NAMES.items():
        assert meaning(key) is meaning(name)


def test_no_name_has_two_meanings() -> None:
    names = [name.casefold() for term in TERMS for name in term.names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("asked", ["Beta1", "β1", "share of β1", "v_l2", "PAC-Bayes", "hold out"])
def test_a_term_is_found_however_it_is_written(asked: str) -> None:
    result = runner.invoke(app, ["explain", asked])
    assert result.exit_code == 0
    assert meaning(asked).names[0] in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_an_unknown_term_names_the_nearest() -> None:
    result = runner.invoke(app, ["explain", "clopper"])
    assert result.exit_code == 2
    assert "Near it: binomial" in result.stderr
    assert runner.invoke(app, ["explain", "terms"]).stdout.splitlines()[0] == "certified"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_computes_has_a_long_form(command: str) -> None:
    assert "--explain" in runner.invoke(app, [command, "--help"], env={"COLUMNS": "120"}).stdout
    assert any(term.commands for term in terms_of(command))


def test_the_long_form_stands_below_the_report_and_leaves_with_the_next_command() -> None:
    words = ["val-bound", "--m-val", "1000", "--n-models", "3", "--val-error", "0.02"]
    plain, long = runner.invoke(app, words), runner.invoke(app, [*words, "--explain"])
    assert long.stdout.startswith(plain.stdout.rstrip("\n"))
    assert "What the words mean" in long.stdout
    assert "empirical-bernstein" in long.stdout
    assert runner.invoke(app, words).stdout == plain.stdout
    assert json.loads(runner.invoke(app, [*words, "--explain", "--json"]).stdout)["schema"]
