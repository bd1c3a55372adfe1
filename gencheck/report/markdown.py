"""A document as Markdown, for a pull request or a step's summary."""

import html
import json
import re

from gencheck.report.answer import answer
from gencheck.report.json import Document, command_of
from gencheck.report.limits import would_pass_sentence


def to_markdown(doc: Document, terminal: str) -> str:
    """The gates first, then the verdict, the whole report of the terminal, and how to repeat it.

    Parameters
    ----------
    doc
        A document whose texts are printable.
    terminal
        Its report as plain text; its last paragraph is the verdict.
    """
    name = command_of(doc)
    gate = doc.get("gate")
    outcome = "" if gate is None else f": gate {'passed' if gate['passed'] else '**failed**'}"
    parts = [f"## gencheck {name}{outcome}"]
    if gate is not None:
        parts.append(_gates(gate))
    if name == "concentrate":
        parts.append(_inline(answer(doc)))
    parts.append(f"**{_inline(_last_paragraph(terminal))}**")
    parts.append(_folded("Report", terminal, ""))
    repeat = json.dumps(doc["inputs"], indent=2, ensure_ascii=False)
    parts.append(_folded(f"How to repeat it: gencheck {doc['gencheck']}, {name}", repeat, "json"))
    return "\n\n".join(part for part in parts if part) + "\n"


def _gates(gate: dict[str, object]) -> str:
    checks = gate["checks"]
    assert isinstance(checks, list)
    lines = ["| gate | limit | value | |", "|---|---:|---:|---|"]
    for check in checks:
        value = "n/a" if check["value"] is None else f"{check['value']:.10g}"
        mark = "passed" if check["passed"] else "**failed**"
        lines.append(f"| {_inline(check['name'])} | {check['limit']:.10g} | {value} | {mark} |")
    advice = would_pass_sentence(gate)
    return "\n".join(lines) + (f"\n\n{_inline(advice)}" if advice else "")


def _last_paragraph(text: str) -> str:
    return " ".join(re.split(r"\n\s*\n", text.strip())[-1].split())


def _inline(text: str) -> str:
    """`text` as words: no markup of Markdown's or HTML's."""
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", html.escape(text, quote=False))


def _folded(title: str, text: str, language: str) -> str:
    """`text` as it is, under a title that opens it."""
    # a fence longer than any in the text
    ticks = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, ticks + 1)
    body = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
    return (
        f"<details><summary>{html.escape(title)}</summary>\n\n{fence}{language}\n{body}\n{fence}\n\n"
        "</details>"
    )
