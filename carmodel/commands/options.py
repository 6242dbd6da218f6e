"""Options that commands share."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer


def _search(ctx: typer.Context, folders: Iterable[Path]) -> None:
    """Look models up in these folders until the command ends."""
    from ..models import searching

    ctx.with_resource(searching(folders))


RunFile = Annotated[Path, typer.Argument(metavar="FILE", help="Run file (TOML).")]
RunFolder = Annotated[
    str | None, typer.Option("--out", metavar="DIR", help="Run directory; results/NAME-OF-FILE unless given.")
]
Petsc = Annotated[list[str] | None, typer.Argument(metavar="[-- PETSC...]", help="Options for PETSc.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a key, as in space.cells=[20,20,20]."),
]
Models = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FOLDER",
        callback=lambda ctx, folders: _search(ctx, folders or ()),
        help="Look models up there, too; may be given again.",
    ),
]
Jobs = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Runs at a time; as many as there are cores for unless given.")
]
Ranks = Annotated[int, typer.Option(metavar="N", min=1, help="Processes of a run, one core each.")]
Time = Annotated[str, typer.Option(metavar="TIME", help="Time of one start, as 12h; the partition's own.")]
Partition = Annotated[str, typer.Option(metavar="P", help="Partition, or queue.")]
Account = Annotated[str, typer.Option(metavar="NAME", help="Account that pays.")]
Memory = Annotated[str, typer.Option(metavar="SIZE", help="Memory of each process, as 4G.")]
Batch = Annotated[
    list[str] | None, typer.Option(metavar="OPTION", help="Another option for the batch system; more may be given.")
]
Step = Annotated[str, typer.Option(metavar="HOW", help="Start the processes by mpirun or by srun.")]
