"""What the tests on made-up and spoilt files share.

Each case has a number, and from that number its own generator of random numbers: case 17 is the same whatever runs
before it.  `--fuzz-count N` asks for N cases of each kind in place of the usual number.
"""

import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from threading import Timer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Answer

ROOT = Path(__file__).parents[1]

#: Longest line that a command may say, in characters.
LINE = 300


def generator(kind: str, case: int) -> Random:
    """The random numbers of one case."""
    return Random(f"{kind} {case}")


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Fail what takes longer in this process, unless it hangs in compiled code."""

    def fail(_number: int, _frame: object) -> None:
        raise AssertionError(f"takes more than {seconds} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def assert_told(answer: "Answer", what: object, codes: tuple[int, ...] = (0, 2)) -> None:
    """A command ended with one of the codes; where it refused, it said so in one line and nothing else."""
    assert answer.code in codes, (what, answer)
    assert "Traceback" not in answer.err, (what, answer)
    if answer.code:
        assert answer.out == "", (what, answer)
        assert answer.err.endswith("\n"), (what, answer)
        assert answer.err.count("\n") == 1, (what, answer)
        assert 0 < len(answer.err) <= LINE + 1, (what, answer)


def contents(folder: Path) -> dict[Path, int]:
    """Names and sizes of all files below a folder."""
    return {path: path.lstat().st_size for path in folder.rglob("*")}


def spoilt(content: bytes, random: Random) -> bytes:
    """A file's bytes with some of them changed, lost, doubled or put elsewhere."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 3, 10))):
        here, there = sorted(random.randrange(len(data) + 1) for _ in range(2))
        there = min(there, here + random.choice((1, 1, 4, 30, 1000)))
        match random.randrange(6):
            case 0:
                data[here:there] = random.randbytes(there - here)
            case 1:
                del data[here:there]
            case 2:
                data[here:here] = data[here:there]
            case 3:
                del data[here:]
            case 4:
                data[here:here] = random.choice((b"\0", b"\xff", b"<", b'"', b"9" * 20, b"-", b"nan", b"\n", b","))
            case _:
                swapped = data[here:there]
                del data[here:there]
                place = random.randrange(len(data) + 1)
                data[place:place] = swapped
        if not data:
            break
    return bytes(data)


class Worker:
    """A process that looks at many files, one after the other, and may die of one.

    It runs MODULE, whose `main` reads names from stdin, a line each, and answers each with a line; it has so many bytes
    of memory and, for each file, so many seconds.
    """

    def __init__(self, module: str, memory: int, seconds: float) -> None:
        self._module, self._memory, self._seconds = module, memory, seconds
        self._process: subprocess.Popen[str] | None = None

    def ask(self, question: str) -> str:
        """The answer; "dead" and how the process ended where it gave none, after which another one is started."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                cwd=ROOT,
                preexec_fn=self._limit,
            )
            assert self._line() == "ready\n"
        assert self._process.stdin
        self._process.stdin.write(f"{question}\n")
        self._process.stdin.flush()
        answer = self._line()
        if answer.endswith("\n"):
            return answer.rstrip("\n")
        code = self._process.wait()
        self.close()
        return f"dead: {code} {answer}"

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _line(self) -> str:
        process = self._process
        assert process
        assert process.stdout
        timer = Timer(self._seconds, process.kill)
        timer.start()
        try:
            return process.stdout.readline()
        finally:
            timer.cancel()

    def _limit(self) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (self._memory, self._memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer_lines(look: Callable[[str], str]) -> None:
    """What a `Worker`'s module does: answer each line of stdin with one of stdout."""
    print("ready", flush=True)
    for line in sys.stdin:
        print(repr(look(line.rstrip("\n"))), flush=True)
