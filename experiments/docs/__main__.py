"""Fill in the generated parts of the pages in `docs/`.

Command: `python -m experiments.docs` (seconds). A page holds `<!-- generated: NAME WORDS -->` and `<!-- end -->` around what
`SECTIONS[NAME](WORDS)` gives; everything else on the page is written by hand. A test compares pages with what is generated.
"""

from __future__ import annotations

import pathlib
import re
import sys

from experiments.docs import recipe_reference, results_tables
from tfres.files import write_text

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECTIONS = {**recipe_reference.SECTIONS, **results_tables.SECTIONS}
_PART = re.compile(r"(<!-- generated: (\w[\w-]*)((?: \w+)*) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """A page with its generated parts made anew."""
    return _PART.sub(lambda part: f"{part[1]}\n{SECTIONS[part[2]](*part[3].split()).strip()}\n\n{part[4]}", text)


def main() -> int:
    """Runs the command."""
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if filled(text) != text:
            write_text(page, filled(text))
            print(page.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
