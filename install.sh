#!/usr/bin/env bash
# Installs carmodel and all it needs on Debian 12 or newer: bash install.sh
#
# The distribution supplies what must be compiled for one MPI (PETSc, petsc4py, mpi4py, Open MPI); pip supplies the rest,
# in .venv beside this file. Nothing else is touched. Run it again whenever you like: it does only what is still to be done.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cd "$(pwd -P)"
unset PYTHONPATH PYTHONHOME # they would put other people's packages before ours

venv=.venv
python=$venv/bin/python
log=$venv/install.log
stamp=$venv/installed
# -real: PETSc for real numbers; plain python3-petsc4py is content with the complex one.
# libegl1 and libgl1-mesa-dri: VTK draws without a screen through them.
# The last line: what pip's gmsh is linked to.
packages=(
    python3-venv python3-petsc4py-real python3-mpi4py python3-numpy openmpi-bin libegl1 libgl1-mesa-dri
    libgl1 libglu1-mesa libxrender1 libxcursor1 libxft2 libxinerama1
)

die() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

# logged WHAT COMMAND...: one line on the screen, the rest in the log; the end of the log if it fails.
logged() {
    local what=$1
    shift
    echo "  $what"
    mkdir -p "$venv"
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        tail -n 25 "$log" >&2
        die "failed: $what (all of it: $log)"
    fi
}

petsc_directory() { # the newest PETSc's Python package, which Debian keeps off Python's path
    printf '%s\n' /usr/lib/petscdir/petsc*/*-real/lib/python3/dist-packages | grep -v '\*' | sort -V | tail -n 1
}

unsupported() {
    local module lacks=()
    for module in petsc4py mpi4py; do
        PYTHONPATH=$(petsc_directory) python3 -c "import $module" 2>/dev/null || lacks+=("$module")
    done
    command -v mpirun >/dev/null || lacks+=(mpirun)
    command -v apt-get >/dev/null || lacks+=(apt-get)
    die "needs Debian 12 or newer with its Python 3.11 or newer; this is $system${lacks:+; missing: ${lacks[*]}}"
}

check_system() {
    local name version
    { read -r name version && read -r system; } < <(
        . /etc/os-release 2>/dev/null || true
        printf '%s %s\n%s\n' "${ID:-unknown}" "${VERSION_ID:-999}" "${PRETTY_NAME:-another system}" # sid has no number
    )
    command -v apt-get >/dev/null && command -v dpkg-query >/dev/null || unsupported
    case $name in
        debian) ((${version%%.*} >= 12)) || unsupported ;;
        ubuntu) ((${version%%.*} >= 24)) || unsupported ;;
    esac
}

install_packages() {
    local package missing=() admin=()
    for package in "${packages[@]}"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    if ((EUID != 0)); then
        { [[ -t 0 ]] && sudo -v || sudo -n true; } 2>/dev/null ||
            die "missing Debian packages; an administrator can run: apt-get install --no-install-recommends ${missing[*]}"
        admin=(sudo)
    fi
    echo "Debian packages: ${missing[*]}"
    admin+=(env DEBIAN_FRONTEND=noninteractive apt-get -q)
    logged "reading the package lists" "${admin[@]}" update
    logged "installing" "${admin[@]}" install -y --no-install-recommends "${missing[@]}"
}

# Quick (nothing here starts MPI), yet it sees a half-deleted, moved or outdated environment. -I: from .venv, not from here.
works() {
    "$python" -I - "$PWD" 2>&1 <<'END'
import sys
from importlib.util import find_spec
import carmodel, h5py, numba, numpy, petsc4py.lib, pydantic, rich, scipy.sparse, typer, vtkmodules.vtkCommonCore
petsc4py.lib.ImportPETSc()
if not all(map(find_spec, ("fipy", "jinja2", "mpi4py.MPI", "pandas", "PIL", "pyvista", "pytest", "xarray"))):
    sys.exit("packages are missing")
if [carmodel.__path__[0], sys.prefix] != [sys.argv[1] + "/carmodel", sys.argv[1] + "/.venv"]:
    sys.exit("made for another directory")
END
}

install_python() {
    local site numpy mpi4py
    echo "Python packages, in $venv:"
    rm -f "$stamp"
    # /usr/bin/python3 by name: another Python on the PATH could not load Debian's petsc4py and mpi4py.
    ! grep -qs 'site-packages = true' "$venv/pyvenv.cfg" || rm -rf "$venv" # it was made so once
    [[ -x $python ]] || logged "making the environment" /usr/bin/python3 -m venv "$venv"
    site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    # These two of Debian's and nothing else: its matplotlib, say, and pip's get into each other's way.
    petsc_directory >"$site/petsc.pth"
    mpi4py=$(dpkg -L python3-mpi4py | grep -E '/dist-packages/mpi4py[^/]*$')
    rm -f "$site"/mpi4py*
    xargs -I{} ln -s {} "$site" <<<"$mpi4py"
    # Code compiled for numpy 1 does not load under numpy 2: keep to the major version Debian built petsc4py for.
    case $(dpkg-query -W -f '${Version}' python3-numpy) in
        1:1.* | 1.*) numpy='numpy>=1.26,<2' ;;
        *) numpy='numpy>=2,<2.4' ;;
    esac
    # Exactly Debian's, and nothing is ever compiled here: a second MPI or PETSc in one process does not work.
    "$python" -I - "$numpy" >"$venv/constraints.txt" <<'END'
import sys
from importlib.metadata import version
print(sys.argv[1], *(f"{name}=={version(name)}" for name in ("mpi4py", "petsc4py")), sep="\n")
END
    PYTHONNOUSERSITE=1 PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 \
        logged "installing carmodel and what setup.cfg names (a minute or two)" \
        "$python" -m pip install --only-binary=:all: --constraint "$venv/constraints.txt" --editable '.[test]'
    logged "checking that they load" works
}

probe() {
    echo "Trying it out:"
    logged "two MPI processes, one PETSc vector" timeout -k 5 120 bash runs/mpirun.sh -n 2 "$python" -c '
from petsc4py import PETSc
vector = PETSc.Vec().createMPI(2)
vector.setValue(vector.comm.rank, vector.comm.rank + 1)
vector.assemble()
assert vector.comm.size == 2 and vector.sum() == 3'
    echo "  a picture without a screen"
    # In a process of its own: without a usable OpenGL, VTK does not raise, it crashes.
    { VTK_DEFAULT_OPENGL_WINDOW=vtkEGLRenderWindow timeout -k 5 120 "$python" -c '
import pyvista
plotter = pyvista.Plotter(off_screen=True, window_size=(64, 64))
plotter.add_mesh(pyvista.Sphere(), color="red")
assert plotter.screenshot(None, return_img=True).std() > 0'; } >>"$log" 2>&1 ||
        echo "warning: this machine cannot draw without a screen; all works but rendered pictures (see $log)" >&2
}

versions() {
    "$python" -I - <<'END'
import platform
from importlib.metadata import version
from mpi4py import MPI
from petsc4py import PETSc
rows = {"Python": platform.python_version(), "PETSc": ".".join(map(str, PETSc.Sys.getVersion()))}
rows["Open MPI"] = ".".join(map(str, MPI.get_vendor()[1]))
names = ("petsc4py", "mpi4py", "FiPy", "gmsh", "numpy", "scipy", "numba", "pyvista", "VTK", "pydantic", "typer")
rows |= {name: version(name) for name in names}
print("Installed:", *(f"  {name:<9} {number}" for name, number in rows.items()), sep="\n")
END
}

check_system
sum=$(cat install.sh setup.cfg pyproject.toml | sha256sum)
sound=
[[ -f $stamp ]] && works >/dev/null && sound=yes
[[ $sound ]] || rm -rf "$venv" # absent, unfinished, damaged or moved: a new one is quicker than a repair
install_packages
[[ -n $(petsc_directory) ]] && /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || unsupported
if [[ $sound && $(<"$stamp") == "$sum" ]]; then
    echo "carmodel is installed and loads; nothing to do. Start it with $venv/bin/carmodel"
    exit
fi
install_python # a sound environment is brought up to date in place
probe
versions
echo "$sum" >"$stamp"
echo "Done. Start it with $venv/bin/carmodel, or with two processes: bash runs/mpirun.sh -n 2 carmodel ..."
