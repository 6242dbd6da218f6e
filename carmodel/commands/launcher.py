"""How runs are started in processes of their own."""

import sys
from pathlib import Path

#: The project's start of MPI programs, where this is a checkout.
MPIRUN = Path(__file__).parents[2] / "runs/mpirun.sh"

# -P: from where this process has carmodel, not from the current folder.
COMMAND = [sys.executable, "-P", "-c", "from carmodel.commands.cli import main; main()", "run"]


def launcher(ranks: int) -> list[str]:
    """What stands in front of a command to have it on so many ranks; nothing for one."""
    if ranks == 1:
        return []
    return [*(["bash", str(MPIRUN)] if MPIRUN.is_file() else ["mpirun"]), "-n", str(ranks)]
