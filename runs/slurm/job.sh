#!/bin/bash
# A run under SLURM that starts itself again from its checkpoints until it is finished: sbatch runs/slurm/job.sh
# Submit from the folder of the checkout, or set CARMODEL to it. `carmodel submit FILE` writes such a script by itself.
#SBATCH --job-name=quickstart
#SBATCH --ntasks=2
#SBATCH --time=01:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
cd "${CARMODEL:-$SLURM_SUBMIT_DIR}" || exit 2
file=${1:-runs/quickstart.toml}
out=${2:-results/quickstart}

# The run asks SLURM when the job must end, saves before that, and stops with 4. The other way to start its processes:
#   srun --mpi=pmix .venv/bin/carmodel run "$file" --out "$out" --resume --quiet
bash runs/mpirun.sh -n "$SLURM_NTASKS" .venv/bin/carmodel run "$file" --out "$out" --resume --quiet
code=$?
if [ "$code" = 4 ]; then
    scontrol requeue "$SLURM_JOB_ID" && sleep 60 # the job that is requeued is ended by that
fi
exit "$code"
