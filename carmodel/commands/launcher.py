"""How programs of several MPI processes are started."""

from pathlib import Path

#: The project's start of MPI programs, where this is a checkout.
MPIRUN = Path(__file__).parents[2] / "runs/mpirun.sh"


def launcher(ranks: int) -> list[str]:
    """What stands in front of a command to have it on so many ranks; nothing for one."""
    if ranks == 1:
        return []
    return [*(["bash", str(MPIRUN)] if MPIRUN.is_file() else ["mpirun"]), "-n", str(ranks)]
