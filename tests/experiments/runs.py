"""Experiments through the command line, their documents checked against the schema."""

import json
from pathlib import Path
from typing import Any

import jsonschema
from typer.testing import CliRunner

from gencheck.cli.app import app
from gencheck.report.schema import schema_text

runner = CliRunner()


def reproduced(*arguments: str | Path) -> dict[str, Any]:
    """The document of one run."""
    run = runner.invoke(app, ["reproduce", *map(str, arguments), "--json"])
    assert run.exit_code == 0, run.stderr
    doc: dict[str, Any] = json.loads(run.stdout)
    jsonschema.validate(doc, json.loads(schema_text("reproduce")))
    assert doc["experiment"] == doc["inputs"]["name"] == arguments[0]
    keys = list(doc["rows"][0])
    assert all(list(row) == keys for row in doc["rows"])
    return doc


def without_times(doc: dict[str, Any]) -> dict[str, Any]:
    """What two runs of the same experiment share."""
    return {key: value for key, value in doc.items() if key != "timing"}
