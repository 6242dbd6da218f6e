"""Makes the verification table: `.venv/bin/python -m tests.verification [--write]`.

Exit code 1 where a row falls short.
"""

import argparse
import sys
import warnings
from time import monotonic

from tests.conftest import ROOT
from tests.verification import laws, operators, refinement, steps, tissue
from tests.verification.table import Row, document

SECTIONS = {
    "Operators against exact derivatives": (operators.in_space, operators.reactions_alone),
    "Manufactured solutions of all equations": (operators.solutions,),
    "Orders in time, all equations together": (steps.in_time, steps.coupled_in_time),
    "Conservation": (laws.conservation,),
    "Symmetry": (laws.symmetry,),
    "Ranks": (laws.ranks,),
    "Real tissue": (tissue.modes, tissue.no_leaks),
    "Reported quantities on finer grids": (refinement.on_grids,),
    "Reported quantities with shorter steps": (refinement.on_steps,),
}


def main() -> int:
    """Verify all, print each row as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew docs/verification.md")
    given = parser.parse_args()
    warnings.simplefilter("error")
    began = monotonic()
    sections: dict[str, list[Row]] = {}
    for title, parts in SECTIONS.items():
        print(f"\n{title}", flush=True)
        sections[title] = []
        for part in parts:
            for row in part():
                sections[title].append(row)
                print(row.line(), flush=True)
    text = document(sections)
    rows = [row for section in sections.values() for row in section]
    short = [row.what for row in rows if not row.holds]
    print(f"\n{len(rows)} rows in {(monotonic() - began) / 60.0:.1f} minutes; short of what is expected: {len(short)}")
    if given.write:
        (ROOT / "docs/verification.md").write_text(text, encoding="utf-8")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
