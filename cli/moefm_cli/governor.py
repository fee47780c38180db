"""How many threads a command uses and how they wait, depending on what else the machine does.

OpenMP's threads spin while they wait for one another. On an idle machine nothing is faster. If another program has
taken a core, every wait lasts as long as that program's turn, and two threads are many times slower than one. So a
command spins for a moment only, uses as many threads as there are cores that nobody else uses, and checks again while
it works. If the user has set one of :data:`OWN`, nothing is changed.
"""

from __future__ import annotations

import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OWN = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "GOMP_CPU_AFFINITY"),
    *("OMP_PROC_BIND", "OMP_PLACES", "OMP_DYNAMIC", "KMP_BLOCKTIME", "KMP_AFFINITY"),
)
"""Variables with which a user chooses."""
SPIN = "20000"
"""Turns of OpenMP's waiting loop before a thread sleeps, about a third of a millisecond: longer than most waits."""
SECOND = 1.0
"""Least time between two looks."""
SLACK = 0.2
"""Share of a core that others may use of those a command takes."""
STAT = Path("/proc/stat")
QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Times:
    """Seconds since some moment: by the clock, idle over all cores of this process, and used by this process."""

    wall: float
    idle: float
    own: float


def read_times() -> Times | None:
    """The times now; ``None`` where the system does not tell."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    names = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    try:
        lines = [line.split() for line in STAT.read_text(encoding="ascii").splitlines()]
        idle = [int(line[4]) + int(line[5]) for line in lines if line and line[0] in names]
    except (OSError, ValueError, IndexError):
        return None
    if not any(idle):  # some sandboxes show zeros
        return None
    return Times(time.perf_counter(), sum(idle) / os.sysconf("SC_CLK_TCK"), time.process_time())


def free_cores(before: Times, after: Times) -> float:
    """Cores that nobody else used between two moments: those that were idle, and this process's own.

    Example:
        >>> free_cores(Times(10.0, 0.0, 3.0), Times(12.0, 1.0, 5.0))  # two seconds: half a core idle, one ours
        1.5
    """
    return (after.idle - before.idle + after.own - before.own) / max(after.wall - before.wall, 1e-9)


def allowed_cores() -> int | None:
    """Cores that the container's quota leaves, rounded up; ``None`` without a quota."""
    try:
        quota, period = QUOTA.read_text(encoding="ascii").split()
        return max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        return None


class Governor:
    """Sets torch's number of threads to that of the free cores, and looks again at most once a second.

    It gives threads up at once, and takes more when two looks in a row found a core for them. If another part of the
    program sets the number, that one stays.

    Args:
        start: Times when the command began.
    """

    def __init__(self, start: Times) -> None:
        self.last = start
        self.most = self.threads = 0  # not known before torch is loaded
        self.wanted = 0

    def look(self) -> None:
        """Set the number of threads, unless that was done a moment ago."""
        now = read_times() if time.perf_counter() - self.last.wall >= SECOND or not self.most else None
        if now is None:
            return
        import torch

        if not self.most:
            self.most = self.threads = self.wanted = min(torch.get_num_threads(), allowed_cores() or sys.maxsize)
            torch.set_num_threads(self.threads)
        elif torch.get_num_threads() != self.threads:
            return
        before, self.wanted = self.wanted, min(self.most, max(1, int(free_cores(self.last, now) + SLACK)))
        self.last = now
        target = self.wanted if self.wanted < self.threads else max(self.threads, min(before, self.wanted))
        if target != self.threads:
            self.threads = target
            torch.set_num_threads(target)


_governor: Governor | None = None


def begin() -> None:
    """Choose how threads wait, and begin to watch the machine; call it before torch is loaded, which reads this once.

    If torch is loaded already, the command is part of another program, and nothing is changed.
    """
    global _governor
    if "torch" in sys.modules or chosen_by_user():
        return
    os.environ["GOMP_SPINCOUNT"] = SPIN
    start = read_times()
    _governor = None if start is None else Governor(start)


def look() -> None:
    """Adapt the number of threads to what others use by now; called between two pieces of work."""
    if _governor is not None:
        _governor.look()


def chosen_by_user() -> list[str]:
    """Assignments of :data:`OWN` in the environment."""
    return [f"{name}={os.environ[name]}" for name in OWN if os.environ.get(name)]


def threads_in_force() -> dict[str, Any]:
    """What ``doctor`` says: the number of threads, and who has chosen it and how they wait."""
    import torch

    look()
    if _governor is None:
        why = ", ".join(chosen_by_user()) or "torch's own choice"
    else:
        why = f"as cores are free, at most {_governor.most}; GOMP_SPINCOUNT={SPIN}"
    return {"threads": torch.get_num_threads(), "threads_by": why}
