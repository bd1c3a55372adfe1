"""Draw the report that the README shows, by the command that its caption names; or check its words.

python docs/picture.py           draw it anew
python docs/picture.py --check   fail where its words are not those of the command
"""

import html
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURE = Path(__file__).parent / "report.svg"
COMMAND = "val-bound --m-val 1000 --n-models 20 --val-accuracy 98% --max-risk 5%"


def draw(path: Path) -> None:
    """Run the command with the picture as its report."""
    words = [sys.executable, "-m", "gencheck", *COMMAND.split(), "--report", str(path)]
    subprocess.run(words, check=True, capture_output=True)


def words_of(path: Path) -> list[str]:
    """The words in the picture, in order."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text(encoding="utf-8"))
    return html.unescape(" ".join(texts)).split()


def main() -> int:
    """Draw, or check."""
    if "--check" not in sys.argv:
        draw(PICTURE)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "report.svg"
        draw(own)
        if words_of(own) == words_of(PICTURE):
            return 0
    print("report.svg differs from the command. run: python docs/picture.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
