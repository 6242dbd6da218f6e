"""A SLURM of one machine, with daemons, keys and files in a folder of its own."""

import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")

#: A job that is requeued waits until the credential of its last start has expired: ten seconds instead of two minutes.
CONF = """
ClusterName=one
SlurmctldHost={host}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/d.pid
SlurmdSpoolDir={folder}/spool
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/d.log
MinJobAge=3600
KillWait=5
NodeName={host} CPUs={cores} RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing():
    """What keeps a SLURM from being started here; "" where nothing does."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    absent = [name for name in DAEMONS if not shutil.which(name, path=path)]
    if absent:
        return f"needs {', '.join(absent)}: apt-get install slurm-wlm munge libpmix-dev"
    return "" if os.geteuid() == 0 else "needs root, as whom slurmd starts jobs"


def _free_ports(n):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def running(folder: Path):
    """The environment that its commands need, while it runs."""
    for name in ("spool", "state"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    host, cores = socket.gethostname().split(".")[0], len(os.sched_getaffinity(0))
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(host=host, folder=folder, ports=_free_ports(2), cores=cores))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    # MPI's and a surrounding batch system's own variables would reach its jobs.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "PMIX_", "SLURM_", "PRTE_"))}
    environment = inherited | {"SLURM_CONF": str(conf), "PATH": path}
    own = [f"--{name}={folder}/munge.{name.split('-')[0]}" for name in ("socket", "key-file", "pid-file", "log-file")]
    daemons = [
        ["munged", "--foreground", "--force", *own, f"--seed-file={folder}/munge.seed"],
        ["slurmctld", "-D", "-f", str(conf)],
        ["slurmd", "-D", "-f", str(conf)],
    ]
    started = []
    try:
        for command in daemons:
            with (folder / f"{command[0]}.out").open("w") as log:
                started.append(
                    subprocess.Popen(
                        command,
                        env=environment,
                        stdout=log,
                        stderr=log,
                        stdin=subprocess.DEVNULL,
                        start_new_session=True,
                    )
                )
            time.sleep(1.0)
        _wait_until_idle(environment, folder)
        yield environment
    finally:
        for daemon in reversed(started):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _wait_until_idle(environment, folder):
    for _ in range(60):
        said = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True).stdout
        if said.strip() == "idle":
            return
        time.sleep(0.5)
    logs = "\n".join(file.read_text()[-1000:] for file in folder.glob("*.out"))
    raise RuntimeError(f"SLURM is not idle but {said!r}: {logs}")


def state_of(job, environment):
    """Of a job, as SLURM names it."""
    command = ["scontrol", "--oneliner", "show", "job", str(job)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True).stdout
    fields = dict(part.split("=", 1) for part in said.split() if "=" in part)
    return fields.get("JobState", "UNKNOWN"), int(fields.get("Restarts", 0))


def wait_for(job, environment, seconds):
    """Until it has ended; its last state, and how often it was started again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        state, restarts = state_of(job, environment)
        if state not in ("PENDING", "RUNNING", "COMPLETING", "REQUEUED", "UNKNOWN"):
            return state, restarts
        time.sleep(1.0)
    raise RuntimeError(f"job {job} has not ended: {state}, {restarts} restarts")
