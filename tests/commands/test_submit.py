"""Job scripts: what stands in them, what they do when a start has not been enough, and a real SLURM."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from carmodel.results import RunDirectory
from tests import slurm
from tests.conftest import mpirun
from tests.runs.resumable import differences

RUN = """
[space]
cells = [8, 8, 8]
[time]
end = 0.3
[integrator]
kind = "strang"
dt = 0.05
[output]
every = 0.1
"""


def lines(carmodel, *arguments):
    answer = carmodel("submit", "--dry-run", *arguments)
    assert answer.code == 0, answer.err
    return answer.out.splitlines()


def test_slurm_s_script_asks_for_what_was_said(carmodel, write, tmp_path):
    found = lines(
        carmodel, write(RUN), "--out", tmp_path / "a run", "--ranks", "4", "--time", "1d2h", "--partition", "short",
        "--account", "lab", "--memory", "2G", "--batch=--constraint=icelake", "--set", "title='it is'",
        "--", "-ts_view",
    )  # fmt: skip
    head = [line for line in found if line.startswith("#SBATCH ")]
    for option in (
        "--job-name=a run", "--ntasks=4", "--requeue", "--open-mode=append", "--time=1-02:00:00", "--partition=short",
        "--account=lab", "--mem-per-cpu=2G", "--constraint=icelake", f"--output={tmp_path}/a run.slurm.log",
    ):  # fmt: skip
        assert f"#SBATCH {option}" in head
    assert found[0] == "#!/bin/bash"
    (start,) = [line for line in found if " run " in line and "--resume" in line]
    assert "-n 4 " in start
    assert f"--out '{tmp_path}/a run' --resume --quiet -- -ts_view" in start
    assert not (tmp_path / "a run.slurm.sh").exists()


def test_steps_by_srun_and_scripts_for_pbs(carmodel, write, tmp_path):
    by_srun = lines(carmodel, write(RUN), "--out", tmp_path / "r", "--ranks", "2", "--step", "srun")
    assert any(line.startswith("srun --mpi=pmix --ntasks=2 ") for line in by_srun)
    pbs = lines(
        carmodel, write(RUN), "--out", tmp_path / "r", "--ranks", "8", "--time", "50h", "--system", "pbs",
        "--partition", "workq", "--memory", "4gb",
    )  # fmt: skip
    assert "#PBS -l select=8:ncpus=1:mpiprocs=1:mem=4gb" in pbs
    assert "#PBS -l walltime=50:00:00" in pbs
    assert "#PBS -q workq" in pbs
    assert any("--walltime 179980s" in line for line in pbs)  # PBS does not tell a job its end
    assert any(line.strip() == f"qsub {tmp_path}/r.pbs.sh" for line in pbs)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--time", "soon"], "--time soon: accepted"),
        (["--partition", "a\n#SBATCH --uid=0"], "--partition"),
        (["--memory", "4 G"], "--memory"),
        (["--batch", "constraint"], "--batch"),
        (["--batch", "--x\nrm"], "--batch"),
        (["--step", "aprun"], "--step aprun: accepted: mpirun or srun"),
        (["--system", "lsf"], "--system lsf: accepted: slurm or pbs"),
        (["--system", "pbs", "--step", "srun"], "--step srun"),
        (["--set", "time.end=-1"], "time.end"),
        (["--ranks", "0"], "--ranks"),
    ],
)
def test_what_cannot_be_submitted_is_refused_in_one_line(carmodel, write, tmp_path, arguments, says):
    answer = carmodel("submit", write(RUN), "--out", tmp_path / "r", *arguments)
    assert answer.code == 2
    assert len(answer.err.splitlines()) == 1
    assert says in answer.err
    assert list(tmp_path.glob("r*")) == []


def program(folder: Path, name: str, text: str):
    """A command for the shell to find."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{text}\n")
    (folder / name).chmod(0o755)


def test_the_batch_system_s_answer_is_told(carmodel, write, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    program(tmp_path / "bin", "sbatch", f'cp "$1" {tmp_path}/submitted; echo Submitted batch job 7')
    answer = carmodel("submit", write(RUN), "--out", tmp_path / "r")
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[0] == "Submitted batch job 7"
    assert (tmp_path / "submitted").read_bytes() == (tmp_path / "r.slurm.sh").read_bytes()
    program(tmp_path / "bin", "sbatch", "echo sbatch: error: invalid partition specified: x >&2; exit 1")
    answer = carmodel("submit", write(RUN), "--out", tmp_path / "r")
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert "invalid partition specified" in answer.err
    (tmp_path / "bin/sbatch").unlink()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    answer = carmodel("submit", write(RUN), "--out", tmp_path / "r")
    assert answer.code == 2
    assert "no sbatch here" in answer.err


@pytest.mark.parametrize("moves", [True, False])
def test_a_start_that_ran_out_of_time_is_followed_by_another(carmodel, write, tmp_path, moves):
    """The script, with a batch system and a program in place of the real ones: 4 twice, then 0."""
    text = "\n".join(lines(carmodel, write(RUN), "--out", tmp_path / "r"))
    (start,) = [line for line in text.splitlines() if "--resume" in line]
    made = f"mkdir -p {tmp_path}/r/checkpoints; touch {tmp_path}/r/checkpoints/$n" if moves else "true"
    program(
        tmp_path / "bin",
        "start",
        f"n=$(cat {tmp_path}/n 2>/dev/null || echo 0); n=$((n + 1)); echo $n > {tmp_path}/n\n{made}\n"
        "[ $n = 3 ] || exit 4",
    )
    program(tmp_path / "bin", "scontrol", f'echo "$@" >> {tmp_path}/requeued; exit 1')
    script = tmp_path / "job.sh"
    script.write_text(text.replace(start, "start"))
    environment = os.environ | {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "SLURM_JOB_ID": "7"}
    codes = [subprocess.run(["bash", script], env=environment, capture_output=True).returncode for _ in range(3)]
    assert codes == [4, 4, 0]
    requeued = (tmp_path / "requeued").read_text().splitlines() if moves else []
    assert requeued == (["requeue 7"] * 2 if moves else [])


LONG = RUN.replace("[8, 8, 8]", "[40, 40, 40]").replace("every = 0.1", "every = 0\ncheckpoint_minutes = 5")
#: Seconds that the run takes: two limits of one minute are not enough for it.
TAKES = 130.0


def run(file, out, *more):
    """Undisturbed, on two ranks."""
    answer = mpirun(2, sys.executable, "-m", "carmodel", "run", file, "--out", out, "--quiet", *more, timeout=600)
    assert answer.code == 0, answer.err


@pytest.mark.slow
@pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing())
@pytest.mark.parametrize("step", ["mpirun", "srun"])
def test_a_real_slurm_starts_a_job_again_until_it_is_done(carmodel, write, tmp_path, step):
    file, fine = write(LONG), ["--set", "integrator.dt=0.0005"]
    seconds = {}
    for end in (0.02, 0.12):  # the first compiles
        run(file, tmp_path / f"probe{end}", *fine, "--set", f"time.end={end}")
        seconds[end] = RunDirectory(tmp_path / f"probe{end}").manifest["wall_seconds"]["total"]
    days = 0.1 * TAKES / max(seconds[0.12] - seconds[0.02], 0.1)
    longer = [*fine, "--set", f"time.end={round(days, 4)}"]
    with slurm.running(tmp_path / "slurm") as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        asked = ["--ranks", "2", "--time", "1m", "--step", step]
        answer = carmodel("submit", file, "--out", tmp_path / "job", *asked, *longer)
        assert answer.code == 0, answer.err
        job = int(answer.out.splitlines()[0].split()[-1])
        state, restarts = slurm.wait_for(job, environment, 1200)
    log = (tmp_path / "job.slurm.log").read_text()
    assert state == "COMPLETED", (state, restarts, log)
    assert restarts >= 2, log
    run(file, tmp_path / "whole", *longer)
    assert differences(tmp_path / "job", tmp_path / "whole") == []
    resumed = RunDirectory(tmp_path / "job").manifest["resumed"]
    assert len(resumed) == restarts


NINE = (
    LONG.replace("[40, 40, 40]", "[12, 12, 12]").replace("dt = 0.05", "dt = 0.0005")
    + """
[sweep]
"parameters.r_T" = [0.1, 0.15, 0.2]
"parameters.gamma" = [0.3, 0.4, 0.5]
"""
)


def elements(environment):
    """Running elements of the only job array, by number: their job."""
    command = ["squeue", "--noheader", "--array", "--states=RUNNING", "--format", "%F %K"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True).stdout
    return {int(number): job for job, number in (line.split() for line in said.splitlines())}


@pytest.mark.slow
@pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing())
def test_a_sweep_as_a_job_array_of_which_one_element_is_killed(write, tmp_path):
    file, out = write(NINE), tmp_path / "out"
    command = [sys.executable, "-m", "carmodel", "sweep", file, "--executor", "slurm", "--jobs", "2", "--out", out]
    with slurm.running(tmp_path / "slurm") as environment:
        with subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as first:
            end = time.monotonic() + 120.0
            while 5 not in (found := elements(environment)):
                assert time.monotonic() < end
                assert first.poll() is None, first.communicate()
                time.sleep(0.3)
            time.sleep(2.0)
            subprocess.run(["scancel", f"{found[5]}_5"], env=environment, check=True)
            told, complaints = first.communicate(timeout=300)
        assert first.returncode == 3, (told, complaints)
        assert "1 of 9 runs failed: case/r_T=0.15,gamma=0.4: its element of the array ended" in complaints
        again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("made case/") == 1
    runs = sorted(out.glob("case/*/manifest.json"))
    assert len(runs) == 9
    assert {RunDirectory(run.parent).status for run in runs} == {"finished"}
    assert len((out / "case/sweep.csv").read_text().splitlines()) == 10
