"""Runs Gmsh with limits, as a program by its file's name: gmsh_process.py MEMORY SECONDS FILE ARGUMENTS-OF-GMSH...

MEMORY: bytes it may take; SECONDS: of all its threads; FILE: bytes of the largest file it may write.
"""

import ctypes
import resource
import signal
import sys

import gmsh

#: Linux's prctl(2): a signal for this process when the one that started it has ended.
PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # it watches the time limit
    limits = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)
    for limit, most in zip(limits, map(int, sys.argv[1:4]), strict=True):
        hard = resource.getrlimit(limit)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        gmsh.initialize(["gmsh", *sys.argv[4:]], run=True)
        complaint = gmsh.logger.getLastError()  # reported here, whatever the script's verbosity is
    except Exception as error:  # all that Gmsh raises
        complaint = str(error)
    if complaint:
        print(f"Error   : {complaint}", file=sys.stderr)
    gmsh.finalize()
