"""The paper's experiments, tiny: run directories under the names that the scripts of `postprocess/` look for."""

from pathlib import Path

import tomli_w

from carmodel.commands.run import Wishes, launch

NO_SWITCHING = {"mu_0": 0.0, "nu": 0.0}
SHARES = (0.0, 0.2, 0.5)
SWITCHING = {"base": {}, "loss": {"mu_0": 0.2, "nu": 0.05}, "recovery": {"mu_1": 0.2}}

#: When the combination therapy's second dose comes.
INFUSION = 0.6


def run_file(**tables: dict) -> dict:
    """A run on 8 x 8 x 8 cells for a day, saved five times."""
    return {
        "title": "tiny",
        "space": {"cells": [8, 8, 8], "lengths": [1.2, 1.2, 1.2]},
        "initial": {
            "tumour": {"shape": "ball", "radius": 0.45, "value": 1.0, "edge": 0.03},
            "cart": {"shape": "layer", "from": 0.0, "to": 0.3, "value": 0.5, "edge": 0.1},
        },
        "time": {"end": 1.0},
        "integrator": {"kind": "strang", "dt": 0.1},
        "output": {"every": 0.25},
    } | tables


def experiments() -> dict[str, dict]:
    """Run files by name."""
    homogeneous = run_file(space={"cells": [1, 1, 1]}, output={"every": 0.0, "formats": []})
    runs = {
        "3.1-homogeneous": homogeneous,
        "3.2-base": run_file(parameters=NO_SWITCHING),
        "3.4-base": run_file(parameters=NO_SWITCHING),
        "3.4-enhanced": run_file(parameters=NO_SWITCHING | {"sigma_A": 1.3, "eta": 0.4}),
        "3.4-combination": run_file(
            parameters=NO_SWITCHING | {"sigma_A": 0.3, "eta": 0.1},
            infusion=[{"time": INFUSION, "add": {"initial": 1.0}}],
        ),
    }
    for name, parameters in SWITCHING.items():
        for share in SHARES:
            case = run_file(parameters=parameters)
            case["initial"]["tumour"]["negative_fraction"] = share
            runs[f"3.3/{name},negative_fraction={share}"] = case
    return runs


def simulate(case: dict, out: Path) -> Path:
    """Run it into a run directory, in this process."""
    out.parent.mkdir(parents=True, exist_ok=True)
    file = out.with_name(out.name + ".toml")
    file.write_text(tomli_w.dumps(case), encoding="utf-8")
    assert launch(file, Wishes(out, [], [], quiet=True)) == 0
    return out
