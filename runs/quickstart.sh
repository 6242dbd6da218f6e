#!/usr/bin/env bash
# Installs what is missing, then simulates a CAR-T infusion in 3-D on two processes: bash runs/quickstart.sh [DIR]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/install.sh"

# A run never overwrites another: the next free name is taken.
wanted=${1:-results/quickstart}
out=$wanted
for ((n = 2; ; n++)); do
    [[ -e $out ]] || break
    out=$wanted-$n
done
echo
echo "Simulating 12 days of $root/runs/quickstart.toml on two processes (about a minute):"
bash "$root/runs/mpirun.sh" -n 2 carmodel run "$root/runs/quickstart.toml" --out "$out"
echo
echo "Open $out/fields.pvd in ParaView, or draw a picture of it:"
echo "  .venv/bin/python postprocess/volume.py $out picture.png"
