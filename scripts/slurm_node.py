"""A Slurm of its own on one node: munged, slurmctld and slurmd on loopback, all files in one folder, no accounting.

The daemons are those of the system's packages, run as the present user. Root, systemd and cgroups are not needed, and a
Slurm that this machine may belong to is not touched. CPUs and GPUs are only declared: Slurm deals them out anyway.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

GPUS = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random")
"""Device files that stand for GPUs; Slurm insists on character devices, and gives each task the number of one."""
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel", "sinfo")
INSTALL = "apt install slurmctld slurmd slurm-client munge"
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

_CONF = """\
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 CPUs=32 Gres=gpu:{gpus} State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=node Default=YES PriorityTier=1 State=UP
PartitionName=urgent Nodes=node PriorityTier=2 State=UP
"""
# cred_expire is also how long a requeued task waits: two minutes by default, which is most of a test's time.


class SlurmNode:
    """Slurm while the `with` block lasts. Raises SystemExit, with what to install, where it cannot be had."""

    def __init__(self, folder: Path) -> None:
        missing = [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]
        if missing:
            raise SystemExit(f"no {', '.join(missing)} on this machine. On Debian: {INSTALL}")
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))},
            "PATH": _PATH,
            "SLURM_CONF": str(folder / "slurm.conf"),
        }
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self._configure()
            munge = [f"--{name}-file={self.folder}/munge/{name}" for name in ("key", "pid", "seed", "log")]
            # Forced, because the folder lies where others could write beside it; the key is for this hour alone.
            self._start("munged", "--foreground", "--force", f"--socket={self.folder}/munge/socket", *munge)
            self._await((self.folder / "munge" / "socket").exists, "munged")
            self._start("slurmctld", "-D")
            self._await(lambda: "is UP" in self.ask("scontrol", "ping"), "slurmctld")
            self.start_node()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        wait_until(lambda: not self._kill(self.processes()), 60, f"processes of {self.folder} do not end")
        for daemon in self._daemons.values():
            daemon.wait()

    def ask(self, *command: str, **variables: str) -> str:
        """What a Slurm command prints, complaints too."""
        done = subprocess.run(
            command,
            env=self.environment | variables,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout.strip()

    def start_node(self) -> None:
        """Starts slurmd, and waits until the controller gives it work."""
        # A new Slurm has to be told to leave cgroups alone; an old one refuses the word, and with this v1 touches none.
        for plugin in ("disabled", "cgroup/v1"):
            (self.folder / "cgroup.conf").write_text(f"CgroupPlugin={plugin}\n")
            if self._node_starts():
                return
        raise SystemExit(f"slurmd ended at once:\n{self._said('slurmd')}")

    def lose_node(self) -> None:
        """As a power cut at the node would: slurmd and all that it started are gone at once."""
        kept = {self._daemons[name].pid for name in ("munged", "slurmctld")}
        self._kill(pid for pid in self.processes() if _session(pid) not in kept)
        self._daemons.pop("slurmd").wait()

    def kill_task(self, job: str, task: int) -> None:
        """SIGKILL to all processes of a task of an array: the script, and what runs in it."""
        self._kill(self.processes(SLURM_ARRAY_JOB_ID=job, SLURM_ARRAY_TASK_ID=str(task)))

    def processes(self, **names: str) -> Iterator[int]:
        """The processes of this Slurm and its tasks; with names, those that have these environment variables."""
        wanted = {f"{name}={value}" for name, value in {"SLURM_CONF": self.environment["SLURM_CONF"], **names}.items()}
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if wanted <= set(path.read_bytes().decode(errors="replace").split("\0")):
                    yield int(path.parent.name)

    def _kill(self, pids: Iterable[int]) -> int:
        """How many there were."""
        found = list(pids)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(found)

    def _configure(self) -> None:
        for name in ("munge", "state", "spool"):
            (self.folder / name).mkdir(mode=0o711)
        key = self.folder / "munge" / "key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        controller_port, node_port = _free_ports()
        settings = _CONF.format(
            host=socket.gethostname().partition(".")[0],
            user=getpass.getuser(),
            folder=self.folder,
            gpus=len(GPUS),
            controller_port=controller_port,
            node_port=node_port,
        )
        (self.folder / "slurm.conf").write_text(settings)
        devices = "".join(f"NodeName=node Name=gpu File={path}\n" for path in GPUS)
        (self.folder / "gres.conf").write_text(f"AutoDetect=off\n{devices}")

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{program}.log").open("ab") as log:
            path = shutil.which(program, path=_PATH)
            assert path is not None
            # A session of its own: Ctrl-C reaches the caller alone, and what a daemon starts can be told from the rest.
            daemon = subprocess.Popen(
                [path, *arguments], env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self._daemons[program] = daemon
        return daemon

    def _await(self, holds: Callable[[], bool], program: str) -> None:
        daemon = self._daemons[program]
        wait_until(lambda: holds() or daemon.poll() is not None, 60, f"{program} does not come up")
        if daemon.poll() is not None:
            raise SystemExit(f"{program} ended at once:\n{self._said(program)}")

    def _said(self, program: str) -> str:
        lines = (self.folder / f"{program}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-5:])

    def _node_starts(self) -> bool:
        daemon = self._start("slurmd", "-D", "-N", "node")
        wait_until(lambda: daemon.poll() is not None or self._node_is_up(), 60, "slurmd does not come up")
        return daemon.poll() is None

    def _node_is_up(self) -> bool:
        return self.ask("sinfo", "--noheader", "--partition=main", "--format=%T") in ("idle", "mixed", "allocated")


def wait_until(holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Raises SystemExit with `otherwise` when the time is over."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(otherwise)
        time.sleep(0.5)


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
