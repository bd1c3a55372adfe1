"""Write each command's options, as the command line has them, into its page; or check them.

python docs/options.py           rewrite the pages
python docs/options.py --check   fail where a page differs
"""

import inspect
import sys
import typing
from pathlib import Path

import typer

from gencheck.cli.app import callback_of, command_names

FOLDER = Path(__file__).parent
BEGIN, END = "<!-- options -->", "<!-- /options -->"


def rows(callback: typing.Callable[..., object]) -> list[str]:
    """One table row for each argument and option of a command."""
    lines = ["| option | default | meaning |", "|---|---|---|"]
    hints = typing.get_type_hints(callback, include_extras=True)
    for name, parameter in inspect.signature(callback).parameters.items():
        if hints[name] is typer.Context:
            continue
        info = typing.get_args(hints[name])[-1]
        argument = isinstance(info, type(typer.Argument()))
        # in an annotation the first declaration lands in `default`
        declarations = [info.default, *(info.param_decls or ())]
        declared = [text for text in declarations if isinstance(text, str) and text[:2] == "--"]
        shown = name.upper() if argument else (declared or [f"--{name.replace('_', '-')}"])[0]
        if not argument and info.metavar:
            shown = f"{shown} {info.metavar}"
        default = parameter.default
        blank = (
            argument or default is None or default is False or default is inspect.Parameter.empty
        )
        lines.append(f"| `{shown}` | {'' if blank else f'`{default}`'} | {info.help or ''} |")
    return lines


def page_text(page: Path, callback: typing.Callable[..., object]) -> str:
    """The page's text with its table of options as it should be."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    table = "\n".join(rows(callback))
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main() -> int:
    """Rewrite or check all pages."""
    check = "--check" in sys.argv
    faults = []
    for name in command_names():
        page = FOLDER / f"{name}.md"
        if not page.is_file():
            faults.append(f"{page.name} is missing; it has the marks {BEGIN} and {END}")
            continue
        text = page_text(page, callback_of(name))
        if text != page.read_text(encoding="utf-8"):
            if check:
                faults.append(f"{page.name} differs from --help; run: python docs/options.py")
            else:
                page.write_text(text, encoding="utf-8")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
