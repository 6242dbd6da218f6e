"""`runs/mpirun.sh`: what it tells MPI, and what of MPI's own messages it passes on."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

#: What the ranks' MPI library goes by, in the end: its global variable.
YIELDS = """
import ctypes, sys
from mpi4py import MPI
yields = ctypes.c_bool.in_dll(ctypes.CDLL(MPI.__file__), "ompi_mpi_yield_when_idle").value
sys.stdout.write(f"{yields}\\n")  # at once: two ranks' lines stay two lines
"""


@pytest.mark.parametrize(("ranks", "chosen", "yields"), [(2, None, True), (2, "0", False), (1, None, False)])
def test_ranks_yield_where_they_reach_the_cores_of_the_machine(ranks, chosen, yields):
    """Two ranks on one core, and one rank on as many as there are."""
    core = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))] if ranks == 2 else []
    if ranks == 1 and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("needs two cores")
    env = {name: value for name, value in os.environ.items() if not name.startswith("OMPI_")}
    answer = subprocess.run(
        [*core, "bash", ROOT / "runs/mpirun.sh", "-n", str(ranks), sys.executable, "-c", YIELDS],
        env=env | ({} if chosen is None else {"OMPI_MCA_mpi_yield_when_idle": chosen}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert answer.stdout.split() == [str(yields)] * ranks, answer


#: What Open MPI 4 and 5 say on stderr when a rank ends with a code, around what the rank itself said.
CHATTER = """
case.toml: time.end = -1; accepted: greater than 0
[warn] Epoll MOD(4) on fd 21 failed. Old events were 6; read change was 2 (del); write change was 0 (none); close \
change was 0 (none): Bad file descriptor
[vm:06627] PRTE ERROR: A message is attempting to be sent to a process whose contact information is unknown in file \
../../../3rd-party/prrte/src/mca/iof/hnp/iof_hnp.c at line 217
--------------------------------------------------------------------------
Primary job  terminated normally, but 1 process returned
a non-zero exit code. Per user-direction, the job has been aborted.
--------------------------------------------------------------------------
--------------------------------------------------------------------------
prterun detected that one or more processes exited with non-zero status, thus causing
the job to be terminated. The first process to do so was:
--------------------------------------------------------------------------
--------------------------------------------------------------------------
mpirun could not find the executable.
--------------------------------------------------------------------------
[warn] of a rank's own
"""


def test_of_mpis_messages_those_that_only_follow_a_ranks_end_are_dropped(tmp_path):
    said = tmp_path / "said"
    said.write_text(CHATTER.lstrip())
    stand_in = tmp_path / "mpirun.openmpi"
    stand_in.write_text(f"#!/bin/sh\ncat {said} >&2\nexit 2\n")
    stand_in.chmod(0o755)
    answer = subprocess.run(
        ["bash", ROOT / "runs/mpirun.sh", "-n", "2", "true"],
        env=dict(os.environ) | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stderr=subprocess.PIPE,
        text=True,
        timeout=20,
    )
    assert answer.returncode == 2
    rule = "-" * 74
    kept = ["case.toml: time.end = -1; accepted: greater than 0", rule, "mpirun could not find the executable.", rule]
    assert answer.stderr.splitlines() == [*kept, "[warn] of a rank's own"]
