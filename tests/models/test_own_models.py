"""A person's own models: where they are looked up, what runs, what is kept, what a run file alone cannot do."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from carmodel import models
from carmodel.results import RunDirectory
from carmodel.tools.errors import InputError
from tests.conftest import ROOT, mpirun

CARMODEL = ROOT / ".venv/bin/carmodel"
DOCUMENT = (ROOT / "docs/models.md").read_text()
TEXT = re.search(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)[1]
RUN_FILE = re.search(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)[1]
SMALL = ("--set", "space.cells=[6,5,4]", "--set", "time.end=0.2", "--quiet")
#: Overwrites a file that tells of it when it is loaded.
SPY = "import os\nopen(os.environ['SPY'], 'w').close()\n"


@pytest.fixture
def folder(tmp_path):
    """A folder with the documentation's model."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models/hypoxia_car.py").write_text(TEXT)
    return tmp_path / "models"


def test_the_documented_model_runs_and_its_run_can_be_repeated_from_its_directory(carmodel, write, folder, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    answer = carmodel("run", write(RUN_FILE), "--models", folder, "--out", one, *SMALL)
    assert answer.code == 0, answer.err
    digest = hashlib.sha256(TEXT.encode()).hexdigest()
    assert RunDirectory(one).manifest["model"] == {"name": "hypoxia_car", "sha256": digest}
    assert (one / "model/hypoxia_car.py").read_text() == TEXT
    (folder / "hypoxia_car.py").unlink()
    assert carmodel("info", one).code == 0  # needs no model's file
    answer = carmodel("run", one / "run.toml", "--models", one / "model", "--out", other, "--quiet")
    assert answer.code == 0, answer.err
    assert carmodel("compare", one, other, "--tol", "0").code == 0


def test_folders_may_come_from_the_environment(carmodel, write, folder, tmp_path, monkeypatch):
    file = write(RUN_FILE)
    answer = carmodel("check", file)
    assert answer.code == 2
    assert "model = 'hypoxia_car'; accepted: 'dual_target', 'polyakov', or the name of a file in a folder" in answer.err
    monkeypatch.setenv("CARMODEL_MODELS", f"{tmp_path}:{folder}")
    assert carmodel("check", file).code == 0
    answer = carmodel("check", file, "--models", tmp_path / "none")
    assert (answer.code, answer.err) == (
        2,
        f"--models '{tmp_path}/none': is no folder; accepted: a folder with models' files\n",
    )
    monkeypatch.setenv("CARMODEL_MODELS", f"{tmp_path}/gone")
    assert f"CARMODEL_MODELS: {tmp_path}/gone: is no folder" in carmodel("check", file).err


def test_ranks_load_the_same_model(write, folder, tmp_path):
    file, environment = write(RUN_FILE), ("env", f"CARMODEL_MODELS={folder}")
    for ranks in (1, 2):
        answer = mpirun(ranks, *environment, CARMODEL, "run", file, "--out", tmp_path / str(ranks), *SMALL)
        assert answer == (0, "", ""), answer
    assert subprocess.run([CARMODEL, "compare", tmp_path / "1", tmp_path / "2", "--tol", "1e-10"]).returncode == 0


def test_runs_of_a_sweep_find_it_and_notice_another_version(carmodel, write, folder, tmp_path):
    file, out = write(RUN_FILE + '[sweep]\n"parameters.killing" = [1.0, 2.0]\n'), tmp_path / "out"
    answer = carmodel("sweep", file, "--models", folder, "--out", out, *SMALL)
    assert answer.code == 0, answer.err
    assert answer.out.count("made") == 2
    answer = carmodel("sweep", file, "--models", folder, "--out", out, *SMALL)
    assert answer.out.count("was there") == 2
    (folder / "hypoxia_car.py").write_text(TEXT.replace("p.growth * u.T,", "p.growth * u.T * 1.01,"))
    answer = carmodel("sweep", file, "--models", folder, "--out", out, *SMALL)
    assert answer.code == 2
    assert "holds another run (another version of hypoxia_car.py)" in answer.err


def test_a_changed_file_is_another_model(folder):
    """Also where the names of its fields and parameters stay."""
    one = models.named("hypoxia_car", [folder])
    assert models.named("hypoxia_car", [folder]) is one
    (folder / "hypoxia_car.py").write_text(TEXT.replace("u.H / (p.K_H + u.H)", "p.K_H / (p.K_H + u.H)"))
    other = models.named("hypoxia_car", [folder])
    assert other is not one
    p, u = next(iter(other.presets.values())), other.Fields(1.0, 1.0, 0.0)
    assert other.sinks(u, p).T > one.sinks(u, next(iter(one.presets.values()))).T


@pytest.mark.parametrize(
    "name",
    ["./hypoxia_car", "../models/hypoxia_car", "hypoxia_car.py", "models.hypoxia_car", "os", "carmodel.models.polyakov",
     "/etc/passwd", "Hypoxia_car", "", " hypoxia_car", "hypoxia_car\n", "hypoxia-car", "__init__", "~/hypoxia_car"],
)  # fmt: skip
def test_a_run_file_alone_runs_nothing(carmodel, write, folder, tmp_path, name, monkeypatch):
    """Neither beside it nor in the current folder, nor by a path into the folder that is searched."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SPY", str(tmp_path / "loaded"))
    for file in (folder / "hypoxia_car.py", folder / "__init__.py", tmp_path / "hypoxia_car.py"):
        file.write_text(SPY + TEXT)
    file = write(RUN_FILE.replace('"hypoxia_car"', json.dumps(name)))
    for more in ((), ("--models", folder)):
        answer = carmodel("run", file, "--out", tmp_path / "out", *more)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.count("\n") == 1
        assert f"model = {name!r}; accepted: " in answer.err
    assert not (tmp_path / "loaded").exists()
    assert not (tmp_path / "out").exists()


def test_reading_a_run_directory_runs_nothing_of_it(carmodel, write, folder, tmp_path, monkeypatch):
    assert carmodel("run", write(RUN_FILE), "--models", folder, "--out", tmp_path / "out", *SMALL).code == 0
    monkeypatch.setenv("SPY", str(tmp_path / "loaded"))
    (tmp_path / "out/model/hypoxia_car.py").write_text(SPY + TEXT)
    assert carmodel("info", tmp_path / "out").code == 0
    assert carmodel("compare", tmp_path / "out", tmp_path / "out").code == 0
    assert not (tmp_path / "loaded").exists()


def test_two_of_a_name_and_shipped_names_are_refused(folder, tmp_path):
    second = tmp_path / "more"
    second.mkdir()
    (second / "hypoxia_car.py").write_text(TEXT)
    with pytest.raises(InputError, match=r"hypoxia_car.py and .*; accepted: one file of that name"):
        models.named("hypoxia_car", [folder, second])
    (second / "hypoxia_car.py").unlink()
    (second / "hypoxia_car.py").symlink_to(folder / "hypoxia_car.py")
    assert models.named("hypoxia_car", [folder, second, folder]).name == "hypoxia_car"
    (second / "polyakov.py").write_text(TEXT)
    with pytest.raises(InputError, match="'polyakov' is a model that comes with carmodel; accepted: another name"):
        models.named("polyakov", [second])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda file: file.mkdir(), "accepted: a model's file"),
        (lambda file: os.mkfifo(file), "accepted: a model's file"),
        (lambda file: file.symlink_to("/nowhere"), "accepted: a model's file"),
        (lambda file: file.write_bytes(b""), "MODEL = None"),
        (lambda file: file.write_bytes(b"x = '\xe4'\n"), "line 1: SyntaxError"),
        (lambda file: file.write_bytes(b"\0"), "source code string cannot contain null bytes"),
        (lambda file: file.write_bytes(b" " * 1_000_001), "accepted: a model's file"),
    ],
    ids=["folder", "pipe", "dead link", "empty", "latin-1", "zero byte", "large"],
)
def test_odd_files_are_refused_in_one_line(tmp_path, make, said):
    make(tmp_path / "odd.py")
    with pytest.raises(InputError) as refusal:
        models.named("odd", [tmp_path])
    assert str(refusal.value).startswith(f"{tmp_path / 'odd.py'}: ")
    assert said in str(refusal.value)


@pytest.mark.slow
def test_a_second_process_compiles_nothing(write, folder, tmp_path):
    """Whatever was loaded before: names of types depend on the file alone."""
    file, cache = write(RUN_FILE), tmp_path / "cache"
    cache.mkdir(mode=0o700)
    counting = (
        "import sys; from numba.core import event, config; from carmodel.commands import cli; import carmodel.models\n"
        "if sys.argv.pop(1) == 'more': carmodel.models.named('dual_target')\n"
        "with event.install_recorder('numba:compile') as found:\n"
        "    try: cli.main()\n"
        "    except SystemExit: pass\n"
        "print(len([e for _, e in found.buffer if e.is_start]))"
    )
    compiled = Counter[str]()
    for n, before in enumerate(("none", "none", "more")):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                counting,
                before,
                "run",
                file,
                "--models",
                folder,
                "--out",
                tmp_path / str(n),
                *SMALL,
            ],
            env=os.environ | {"NUMBA_CACHE_DIR": str(cache)},
            capture_output=True,
            text=True,
            check=True,
        )
        compiled[n] = int(done.stdout.split()[-1])
    assert compiled[0] > 10
    assert (compiled[1], compiled[2]) == (0, 0)
