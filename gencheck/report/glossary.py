"""What a word of a report means: for `gencheck explain TERM` and `--explain`."""

from difflib import get_close_matches

from gencheck.errors import InputError
from gencheck.report.term import Term
from gencheck.report.terms import TERMS


def terms_of(command: str) -> tuple[Term, ...]:
    """The words of a command's report, those of all reports last."""
    own = tuple(term for term in TERMS if command in term.commands)
    return own + tuple(term for term in TERMS if not term.commands)


def meaning(name: str) -> Term:
    """The term of that name, whatever its case, with `-`, `_` and spaces alike.

    Raises
    ------
    InputError
        No report has it; names the nearest ones.
    """
    known = {_plain(each): term for term in TERMS for each in term.names}
    found = known.get(_plain(name))
    if found is None:
        near = get_close_matches(_plain(name), known, n=4, cutoff=0.4)
        usual = ", ".join(dict.fromkeys(known[each].names[0] for each in near))
        raise InputError(
            where="explain",
            found=repr(name),
            required="a word of a report, or `supported`",
            remedy=(f"Near it: {usual}. " if near else "") + "`gencheck explain terms` lists all.",
        )
    return found


def _plain(name: str) -> str:
    return name.strip().casefold().replace("_", " ").replace("-", " ")
