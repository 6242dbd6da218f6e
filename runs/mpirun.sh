#!/usr/bin/env bash
# Starts a command under MPI with the project's environment: bash runs/mpirun.sh -n 2 COMMAND [ARGUMENT...]
# Further mpirun options may follow the number. What is set here holds for this one start, so nothing belongs in a
# shell profile; a variable you have set yourself wins.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH=$root/.venv/bin:$PATH

# petsc4py is Debian's, so is its mpirun; another MPI's would start N separate single processes.
mpirun=$(type -P mpirun.openmpi || type -P mpirun) || {
    echo "mpirun.sh: no mpirun here; run install.sh first" >&2
    exit 127
}
# In containers one is root, and Open MPI wants to hear twice that this is meant.
if ((EUID == 0)); then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
# More processes than cores are slow but right. Each setting has a name in Open MPI 4 and another in 5.
export OMPI_MCA_rmaps_base_oversubscribe=${OMPI_MCA_rmaps_base_oversubscribe:-1}
export PRTE_MCA_rmaps_default_mapping_policy=${PRTE_MCA_rmaps_default_mapping_policy:-:oversubscribe}
# Bound, two jobs on one machine would share the first cores and leave the others idle.
export OMPI_MCA_hwloc_base_binding_policy=${OMPI_MCA_hwloc_base_binding_policy:-none}
export PRTE_MCA_hwloc_default_binding_policy=${PRTE_MCA_hwloc_default_binding_policy:-none}
# Open MPI 4 lets one process read another's memory; where a container forbids that, it complains at every message.
# Shared memory takes two copies instead, which a halo exchange hardly notices. Open MPI 5 finds out by itself.
export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism:-none}
# One thread a process: the processes already fill the cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export FIPY_SOLVERS=${FIPY_SOLVERS:-petsc}

# On one machine, TCP between processes is only a fallback for shared memory. Open MPI 5 complains on every start when
# the machine's addresses do not suit it; the loopback address always does.
hosts=${SLURM_JOB_ID:-}${PBS_JOBID:-}${LSB_JOBID:-}
if [[ -z $hosts && ! " $* " =~ " -"-?(host|hostfile|machinefile|H)" " ]]; then
    export OMPI_MCA_btl_tcp_if_include=${OMPI_MCA_btl_tcp_if_include:-lo}
    # A process that waits for another spins. Where no core is left over, it spins on the one that the other needs,
    # until the kernel takes it away: a run beside a busy program took five times as long. So it offers its core.
    cores=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
    [[ " $* " =~ " -"-?(n|np|c)" "([0-9]+)" " ]] && ranks=${BASH_REMATCH[2]} || ranks=$cores
    ((ranks < cores)) || export OMPI_MCA_mpi_yield_when_idle=${OMPI_MCA_mpi_yield_when_idle:-1}
fi

pass=(-x PATH -x OMP_NUM_THREADS -x FIPY_SOLVERS) # to other machines; on this one they arrive anyway
# A process under mpirun writes to a pipe or a terminal of mpirun's own, so it cannot see for itself who is reading.
if [[ -t 1 ]]; then
    width=$(stty size <&1 2>/dev/null) || width=80
    export CARMODEL_TERMINAL=1 COLUMNS=${width#* }
    pass+=(-x CARMODEL_TERMINAL -x COLUMNS)
fi

# When a process fails, its own message and exit code say all; this drops mpirun's paragraphs about it and keeps every
# other message. (--quiet exists in Open MPI 4 only, and there hides even "no such command".)
filter='s/\x00//g # Open MPI 5 ends one of them with a NUL
/^-{50,}$/ {
    N
    /\n(Primary job +terminated|(mpirun|mpirun.openmpi|prterun) detected that one|MPI_ABORT was|prterun has exited due)/ !{ P; D }
    :rest
    s/.*\n//
    /^-{50,}$/ d
    N
    b rest
}
# Open MPI 5 meets the closed pipe of a process that has just ended, or cannot reach it any more.
/PMIX ERROR: PMIX_ERR_UNREACH in file / d
/^\[warn\] Epoll [A-Z]+\([0-9]+\) on fd [0-9]+ failed|PRTE ERROR: .* contact information is unknown in file .*iof/ d
/more process(es)? ha(s|ve) sent help message help-mpi-api|orte_base_help_aggregate/ d
# Open MPI 4 stumbles over the paragraph about MPI_Abort.
/ORTE_ERROR_LOG: .*show_help\.c at line [0-9]+$/ d'
# The filter outlives Ctrl-C and the batch system's signals: it ends when mpirun has said its last.
exec "$mpirun" "${pass[@]}" "$@" 2> >(trap "" INT TERM USR1 USR2 && exec sed -u -E "$filter" >&2)
