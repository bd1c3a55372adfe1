"""The documentation against the code that it speaks of."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_formula_names_a_function_that_exists() -> None:
    text = (ROOT / "docs" / "mathematics.md").read_text(encoding="utf-8")
    names = re.findall(r"`(gencheck\.[a-z0-9_.]+)`", text)
    assert len(names) > 12
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert callable(getattr(importlib.import_module(module), attribute)), name


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_options_are_those_of_the_command_line() -> None:
    command = [sys.executable, ROOT / "docs" / "options.py", "--check"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_the_figures_of_the_readme_are_those_of_the_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.split("$ gencheck val-bound ")[1].split("```")[0]
    arguments, *expected = block.splitlines()
    run = subprocess.run(
        [sys.executable, "-m", "gencheck", "val-bound", *arguments.split()],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "80", "PATH": ""},
    )
    shown = [line.rstrip() for line in run.stdout.splitlines()]
    assert shown == [line.rstrip() for line in expected]


def test_the_first_example_ends_within_one_and_a_half_screens() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("$ gencheck"))
    # a terminal has 24 lines
    assert lines.index("```", begin) < 36


def test_the_picture_of_the_readme_is_the_command_s_own() -> None:
    run = subprocess.run(
        [sys.executable, ROOT / "docs" / "picture.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    picture = (ROOT / "docs" / "report.svg").read_text(encoding="utf-8")
    assert len(picture) < 20_000
    assert "url(http" not in picture
    command = re.search(r'COMMAND = "(.*)"', (ROOT / "docs" / "picture.py").read_text("utf-8"))
    assert command is not None
    assert f"`gencheck {command[1]}`" in (ROOT / "README.md").read_text(encoding="utf-8")
