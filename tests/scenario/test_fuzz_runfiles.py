"""Run files that people and others could write: right, nearly right, and hostile.

`check` takes them or refuses them in one line, and where it refuses, `run` does and writes nothing.  What is taken is
run for a moment.
"""

import json
import os
import re
import resource
import shutil

import pytest

from tests.fuzz import assert_told, contents, generator, spoilt, time_limit

FIELDS = ("C", "E", "TA", "TB", "S", "A", "H")

#: Values that fit somewhere, or nowhere.
ODD_VALUES = (
    "0", "-1", "1", "1e-320", "1e308", "-1e308", "nan", "-inf", "0x" + "f" * 4500, str(2**63), "9" * 4000, "true", "''",
    "'ball'", "'mesh'", "'grid'", "'\\u0000'", '"\\u0000"', '"\\u001b[2J"', "'" + "n" * 5000 + "'", "[]", "{}", "[[]]",
    "[1, 'a', {}]", "[nan, nan, nan]", "[1e308, 1e308, 1e308]", "[2147483647, 2147483647, 2147483647]",
    "{shape = 'ball'}", "{shape = 'ball', radius = 1e9, centre = [1e9, -1e9, 0]}", "{initial = 1e308}", "{mask = '.'}",
    "{mask = 'pipe'}", "1979-05-27", "07:32:00", "'" + "../" * 2000 + "'", "'/dev/zero'", "'pipe'", "'sparse'", "'.'",
    "'case.toml'", "[" * 22 + "]" * 22, "[" * 3000 + "]" * 3000,
    "{" + ", ".join(f"k{n} = {n}" for n in range(500)) + "}",
    "[" + "0, " * 5000 + "]", "{a = {b = {c = {d = {e = 1}}}}}",
)  # fmt: skip


def right(random):
    """A run file that is right but for what random values make of it: lines by table."""
    shape = random.choice(("ball", "disk", "layer"))
    slab = f"axis = '{random.choice('xyz')}', from = {random.uniform(-1, 0.4)}, to = {random.uniform(0.5, 2)}"
    size = f"radius = {random.uniform(0.1, 3)}"
    sized = {"ball": size, "disk": f"{slab}, {size}", "layer": slab}[shape]
    cells = [random.choice((1, 2, 5, 8)) for _ in range(3)]
    kind = random.choice(("imex", "strang"))
    return {
        "": [f"title = '{random.choice(('', 'a title', 'µ ∂'))}'"],
        "space": [f"cells = {cells}", f"lengths = {[random.choice((1e-3, 1.0, 7.5)) for _ in range(3)]}"],
        "parameters": [
            f"preset = '{random.choice(('normalised', 'table1', 'published_code'))}'",
            f"{random.choice(('r_T', 'mu_0', 'nu', 'chi_0', 'D_C'))} = {random.uniform(0, 1)}",
        ],
        "initial": [f"cart = {{shape = '{shape}', {sized}, edge = {random.choice((0.0, 0.1))}}}"],
        "time": [f"end = {random.choice((1e-3, 1, 12.5, 1e9))}"],
        "integrator": [f"kind = '{kind}'", f"dt = {random.choice((0.01, 1.0, 1e3))}"],
        "output": [
            f"every = {random.choice((0, 0.5, 10))}",
            "line = {axis = 'y'}",
            f"checkpoint_every = {random.choice((0, 1e-9, 0.3))}",
            f"checkpoint_minutes = {random.choice((0, 1e-9, 10))}",
            f"checkpoint_at_end = {random.choice(('true', 'false'))}",
        ],
    }  # fmt: skip


def text_of(tables):
    return (
        "\n".join(line for table, lines in tables.items() for line in ([f"[{table}]"] if table else []) + lines) + "\n"
    )


def nearly_right(random):
    """A run file with a key or two that are lost, doubled, misspelt or say something else."""
    tables = right(random)
    for _ in range(random.choice((1, 1, 2))):
        table = random.choice([name for name in tables if tables[name]])
        lines = tables[table]
        n = random.randrange(len(lines))
        key, _, value = lines[n].partition(" = ")
        odd = random.choice(ODD_VALUES)
        match random.randrange(6):
            case 0:
                del lines[n]
            case 1:
                lines.append(lines[n])
            case 2:
                lines[n] = f"{key}{random.choice(('s', '.x', '.x.y.z', '-'))} = {value}"
            case 3:
                key = random.choice(
                    (*FIELDS, "mask", "mesh", "kind", "tumour", "add", "set", "scale", "through", "base")
                )
                lines.append(f"{key} = {odd}")
            case 4:
                tables[random.choice(("sweep", "infusion", "[infusion]", "[intervention]", "initial.tumour"))] = [
                    f"{random.choice(('time', 'add', 'scale', 'set', 'radius', 'r_T'))} = {odd}" for _ in range(2)
                ]
            case _:
                lines[n] = f"{key} = {odd}"
    return text_of(tables)


def hostile(random):
    """Bytes that were a run file, or what nobody means."""
    few = random.choice((30, 300, 3000))
    return random.choice(
        (
            lambda: spoilt(text_of(right(random)).encode(), random),
            lambda: spoilt(nearly_right(random).encode(), random),
            lambda: random.randbytes(few),
            lambda: f"base = {json.dumps(random.choice(BASES))}\n".encode(),
            lambda: b"a" + b".a" * few + b" = 1\n",
            lambda: b"[" + b".".join([b"'a'"] * few) + b"]\n",
            lambda: (
                b"".join(b"[[infusion]]\ntime = 0\nadd = {initial = 1}\n" for _ in range(few))
                + text_of(right(random)).encode()
            ),
            lambda: text_of(right(random)).replace("cells = [", "cells = [" + "1, " * few).encode(),
            lambda: b"[sweep]\n'parameters.r_T' = [" + b"0, " * few + b"]\n",
            lambda: b"[sweep]\n" + b"".join(b"'parameters.k%d' = [0, 1]\n" % n for n in range(few)),
        )
    )()


BASES = (
    "case.toml", "/dev/zero", "/proc/kmsg", "pipe", "sparse", ".", "", "\0", "b" * 5000, "../" * 3000, "loop",
)  # fmt: skip


@pytest.fixture
def hazards(tmp_path, monkeypatch):
    """The current folder, with what would hold or fill a careless reader."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.symlink("loop", "loop")
    with open("sparse", "wb") as file:
        file.truncate(10**12)
    return tmp_path


#: What makes a run short, whatever its file says; its infusions and interventions come later.
MOMENT = [
    word
    for key in ("time.end=1e-14", "integrator.dt=1e-14", "output.every=0", "infusion=[]", "intervention=[]")
    for word in ("--set", key)
]


@pytest.mark.parametrize("kind", [right, nearly_right, hostile])
def test_run_files_are_taken_or_refused_in_one_line(kind, carmodel, hazards, fuzz_count):
    taken = 0
    # Where more are asked for than usual, all that are right are run.
    every = 1 if fuzz_count(510) > 510 else 5
    for case in range(fuzz_count(510) // 3 + 1):
        content = kind(generator(f"run file, {kind.__name__}", case))
        content = text_of(content) if isinstance(content, dict) else content
        file = hazards / "case.toml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        before = contents(hazards)
        with time_limit(20.0):
            answer = carmodel("check", file)
            assert_told(answer, (kind, case))
            taken += answer.code == 0
            if answer.code and "sweep" not in answer.err:
                assert_told(carmodel("run", file, "--out", "out"), (kind, case), codes=(2,))
            elif kind is right and case % every == 0:
                assert_told(carmodel("run", file, "--out", "out", "--quiet", *MOMENT), (kind, case))
                shutil.rmtree("out", ignore_errors=True)
        assert contents(hazards) == before, (kind, case)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2_000_000  # kB
    if case > 20:  # few cases say nothing about shares
        assert taken > 0 if kind is not hostile else taken < case / 2


def test_overrides_are_taken_or_refused_in_one_line(carmodel, hazards, fuzz_count):
    (hazards / "case.toml").write_text("[space]\ncells = [3, 3, 3]\n[time]\nend = 1\n")
    keys = re.findall(
        r"[\w.]+", "title space space.kind space.cells space.mesh initial.C initial.tumour time.end base sweep"
    )
    for case in range(fuzz_count(100)):
        random = generator("override", case)
        key = random.choice((*keys, "parameters.D_C", "a" + ".a" * 3000, ".", "..", "", "\x1b", "space.cells."))
        override = f"{key}={random.choice(ODD_VALUES)}"
        with time_limit(20.0):
            assert_told(carmodel("check", "case.toml", "--set", override), (case, override[:80]))
