"""The search for coexistence states against a dense scan and Newton's method, on random sets of each special case.

    .venv/bin/python -m benchmarks.steady_scan [SETS]      # of each case; 1000 unless given: half an hour

Exit code 1 where any set disagrees; the tests do the same with few sets.
"""

import sys

from tests.steady_scan import CASES, compared


def main() -> int:
    """Print the counts of each case, and what disagreed."""
    sets = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    disagree = 0
    for case in CASES:
        counts, complaints = compared(case, sets, seed=11, starts=4)
        disagree += len(complaints)
        text = ", ".join(f"{number} {what}" for what, number in counts.items())
        print(f"{case}: {text}, {len(complaints)} differences", *complaints, sep="\n", flush=True)
    return 1 if disagree else 0


if __name__ == "__main__":
    sys.exit(main())
