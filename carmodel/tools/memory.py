"""How much memory this machine has left."""

import resource
from collections.abc import Iterator
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")

#: Bytes assumed to be left on a machine that does not say.
UNKNOWN = 8 << 30


def available() -> int:
    """Bytes that processes can still take on this machine, within the limits of control groups and of the shell."""
    room = [*_of_machine(), *_of_groups()]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        room.append(limit)
    return max(0, min(room)) if room else UNKNOWN


def _of_machine() -> Iterator[int]:
    for line in _lines(PROC / "meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _of_groups() -> Iterator[int]:
    """What is left in each control group this process is in, and in those above it, of version 2 and 1."""
    for line in _lines(PROC / "self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit, used, cache = CGROUPS, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            root, limit, used = CGROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        # In a container the group may be the root of what is seen there.
        parts = Path(path.strip("/")).parts
        for depth in range(len(parts) + 1):
            group = root.joinpath(*parts[:depth])
            most, now = _number(group / limit), _number(group / used)
            if most is not None and now is not None and most < 1 << 60:
                kept = [int(line.split()[1]) for line in _lines(group / "memory.stat") if line.startswith(cache + " ")]
                yield most - now + sum(kept)  # files kept in memory make room when it is needed


def _number(file: Path) -> int | None:
    text = "".join(_lines(file)).strip()
    return int(text) if text.isdecimal() else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def in_words(size: float) -> str:
    """A number of bytes as people say it: "1.5 GB"."""
    for unit, bytes_in_it in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= bytes_in_it:
            return f"{size / bytes_in_it:.3g} {unit}"
    return f"{size / 1e3:.3g} kB"
