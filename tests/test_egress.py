"""Nothing leaves: attempts are refused wherever they are made in Python, counted, shown, and seen in a trace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from command_line import ROOT, call
from hypothesis import given
from hypothesis import strategies as st

from localjudge.cli_run import demo_file
from localjudge.egress import SWITCH, is_local, target
from localjudge.egress_proof import _no_namespace, _no_trace, watch_namespace, watch_trace
from localjudge.egress_trace import read_trace
from localjudge.errors import EngineError
from localjudge.planted import GUARDED, UNGUARDED

FAKE = ("--engine", "fake")
traced = pytest.mark.skipif(bool(_no_trace()), reason=f"no system-call trace: {_no_trace()}")
isolated = pytest.mark.skipif(bool(_no_namespace()), reason=f"no network namespace: {_no_namespace()}")

ATTEMPTS = """
    import json, multiprocessing, os, socket, subprocess, sys, threading
    from localjudge import egress
    from localjudge.offline import go_offline

    def attempt(call, *arguments):
        try:
            call(*arguments)
            print("went through", flush=True)
        except OSError:
            pass

    def udp():
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def connect(host):
        attempt(udp().connect, (host, 443))

    if __name__ == "__main__":
        go_offline()
        connect("192.0.2.1")
        thread = threading.Thread(target=connect, args=("192.0.2.2",)); thread.start(); thread.join()
        for number, method in enumerate(("spawn", "fork"), 3):
            child = multiprocessing.get_context(method).Process(target=connect, args=(f"192.0.2.{number}",))
            child.start(); child.join()
        code = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.5', 443))"
        grandchild = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}], stderr=-3)"
        subprocess.run([sys.executable, "-c", grandchild])
        attempt(udp().sendmsg, [b"x"], [], 0, ("192.0.2.6", 443))
        attempt(socket.create_connection, ("somewhere.invalid", 443))
        attempt(socket.gethostbyname, "elsewhere.invalid")
        attempt(socket.gethostbyname, os.uname().nodename)
        attempt(socket.gethostbyaddr, "192.0.2.7")
        attempt(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).connect, ("2001:db8::1", 443))
        attempt(udp().connect, ("127.0.0.53", 53))

        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()[:2]):
            socket.getaddrinfo("localhost", 80)
        left, right = socket.socketpair()
        print(json.dumps(egress.facts()))
"""


def python(*arguments: str, cwd: Path, path: str = str(ROOT), **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_attempts_are_refused_and_counted_in_threads_and_every_kind_of_child(tmp_path: Path) -> None:
    script = tmp_path / "attempts.py"
    script.write_text(textwrap.dedent(ATTEMPTS), encoding="utf-8")
    done = python(str(script), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    hosts = [f"192.0.2.{number}:443" for number in range(1, 7)]
    expected = [*hosts, "192.0.2.7", "[2001:db8::1]:443", "127.0.0.53:53"]
    names = ["somewhere.invalid:443", "elsewhere.invalid", "(this machine's name)"]
    assert json.loads(line) == {
        "guard": True,
        "allowed_hosts": 0,
        "refused": {name: 1 for name in sorted([*expected, *names])},
    }
    told = [entry for entry in done.stderr.splitlines() if entry.startswith("egress: ")]
    assert len(told) == len(expected) + len(names)
    assert "egress: refused 192.0.2.5:443 (1 attempt); nothing was sent." in told
    assert os.uname().nodename not in "".join(told).replace("this machine's name", "")


def test_a_refusal_looks_like_a_machine_without_a_network(tmp_path: Path) -> None:
    code = """
        import errno, socket
        from localjudge.egress import guard
        guard()
        try: socket.create_connection(("192.0.2.1", 443))
        except OSError as error: print(type(error).__name__, error.errno == errno.ENETUNREACH)
        try: socket.getaddrinfo("somewhere.invalid", 443)
        except socket.gaierror as error: print("gaierror", error.errno == socket.EAI_NONAME)
    """
    assert python("-c", textwrap.dedent(code), cwd=tmp_path).stdout.splitlines() == ["OSError True", "gaierror True"]


def test_a_host_allowed_by_name_or_address_is_let_through_and_no_other(tmp_path: Path) -> None:
    # A datagram socket that connects sends nothing; the kernel may still say that it knows no way there.
    code = """
        import socket
        from localjudge import egress
        egress.guard(["192.0.2.1"])
        for host in ("192.0.2.1", "192.0.2.2"):
            try: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect((host, 443))
            except OSError: pass
        print(*egress.refused())
    """
    assert python("-c", textwrap.dedent(code), cwd=tmp_path).stdout.split() == ["192.0.2.2:443"]


def test_a_sitecustomize_of_the_users_own_still_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('own sitecustomize')\n", encoding="utf-8")
    path = os.pathsep.join([str(ROOT / "localjudge" / "guarded"), str(tmp_path)])
    for environment in ({}, {SWITCH: ""}):
        code = "import sys; print('localjudge.egress' in sys.modules)"
        done = python("-c", code, cwd=tmp_path, path=path, **environment)
        assert done.stdout.splitlines() == ["own sitecustomize", str(bool(environment))], done.stderr


def test_a_child_that_cannot_join_the_guard_does_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "localjudge" / "guarded"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "localjudge" / "guarded" / "sitecustomize.py", folder)
    (tmp_path / "localjudge" / "__init__.py").touch()
    (tmp_path / "localjudge" / "egress.py").write_text("raise RuntimeError('broken')\n", encoding="utf-8")
    done = python("-c", "print('ran')", cwd=tmp_path, path=str(folder), **{SWITCH: ""})
    assert (done.returncode, done.stdout) == (1, "")
    assert "no egress guard in a process that it started: broken" in done.stderr


def test_a_log_that_cannot_be_written_means_saying_it_at_once(tmp_path: Path) -> None:
    code = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('192.0.2.1', 443))"
    path = str(ROOT / "localjudge" / "guarded")
    done = python("-c", code, cwd=tmp_path, path=path, **{SWITCH: "", "LOCALJUDGE_EGRESS_LOG": str(tmp_path / "none")})
    assert done.returncode == 1
    assert "egress: refused 192.0.2.1:443; nothing was sent." in done.stderr.splitlines()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "localhost", "LOCALHOST"])
def test_loopback_is_local_but_for_its_name_server(host: str) -> None:
    assert is_local(host, 8000)
    assert not is_local(host, 53)


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.5",
        "0.0.0.0",
        "::",
        "",
        "::ffff:10.0.0.5",
        "fe80::1%eth0",
        "localhost.example.com",
        "127.1",
        "2130706433",
    ],
)
def test_anything_else_is_not_local(host: str) -> None:
    assert not is_local(host, 8000)


def test_a_target_is_one_printable_line_without_this_machines_name() -> None:
    assert target("::1", 80) == "[::1]:80"
    assert target("a\nb\x1b[31m", 80) == "a?b?[31m:80"
    assert len(target("a" * 5000)) < 300
    assert os.uname().nodename not in target(f"{os.uname().nodename}.corp.example", 1).replace("machine", "")


TRACE = """\
101 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3
101 connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("192.0.2.1")}, 16) = -1 ENETUNREACH (x)
102 connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("192.0.2.1")}, 16 <unfinished ...>
102 <... connect resumed>)                  = 0
101 connect(4, {sa_family=AF_INET, sin_port=htons(8000), sin_addr=inet_addr("127.0.0.1")}, 16) = 0
101 connect(4, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16) = 0
101 connect(5, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = -1 ENOENT (No such file or directory)
101 sendto(6, ""..., 20, 0, {sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}, 12) = 20
101 sendto(6, ""..., 24, 0, {sa_family=AF_INET6, sin6_port=htons(53), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, \
"2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28) = 24
101 sendmsg(4, {msg_name={sa_family=AF_INET6, sin6_port=htons(9), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1", \
&sin6_addr), sin6_scope_id=0}, msg_namelen=28, msg_iov=[...], msg_iovlen=1, msg_controllen=0, msg_flags=0}, 0) = 1
101 sendto(3, ""..., 5, MSG_NOSIGNAL, NULL, 0) = 5
101 recvfrom(5, ""..., 2048, 0, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.1")}, [16]) = 33
101 connect(7, {sa_family=AF_VSOCK, svm_cid=VMADDR_CID_HOST, svm_port=0x5}, 16) = 0
101 bind(8, {sa_family=AF_INET, sin_port=htons(0), sin_addr=inet_addr("0.0.0.0")}, 16) = 0
103 io_uring_setup(8, {flags=0}) = 9
103 io_uring_setup(256, 0x7ffd5e2a3f50) = -1 ENOSYS (Function not implemented) (INJECTED)
"""


def test_a_trace_is_counted_by_where_its_calls_lead() -> None:
    seen = read_trace(TRACE.splitlines())
    assert seen.outside == {"127.0.0.53:53": 1, "192.0.2.1:443": 2, "AF_VSOCK": 1, "[2001:db8::1]:53": 1}
    assert (seen.loopback, seen.unix, seen.blind) == (2, 2, 1)


@given(st.lists(st.text()))
def test_any_text_can_be_read_as_a_trace(lines: list[str]) -> None:
    assert read_trace(["101 connect(3, {" + line for line in lines]).blind == 0


@traced
def test_a_trace_sees_the_planted_attempt_that_passes_the_guard() -> None:
    watched = watch_trace(demo_file(), FAKE, plant=True)
    assert watched.refused == {f"{GUARDED[0]}:{GUARDED[1]}": 1}
    assert watched.seen is not None and watched.seen.outside == {f"{UNGUARDED[0]}:{UNGUARDED[1]}": 1}
    assert not watched.clean


@traced
def test_a_run_of_the_fake_engine_tries_nothing() -> None:
    watched = watch_trace(demo_file(), FAKE)
    assert watched.clean and watched.engine == "fake"


@isolated
def test_a_run_completes_where_there_is_no_network_and_says_so(tmp_path: Path) -> None:
    assert watch_namespace(demo_file(), FAKE).clean
    code = """
        import ctypes, socket, sys
        from localjudge.isolation import is_isolated, isolate
        isolate()
        isolate()
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()): pass
        try: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("192.0.2.1", 443))
        except OSError as error: print(is_isolated(), error.strerror)
    """
    assert python("-c", textwrap.dedent(code), cwd=tmp_path).stdout.split(maxsplit=1) == [
        "True",
        "Network is unreachable\n",
    ]


def test_a_watched_run_that_fails_says_why(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{}\n", encoding="utf-8")
    with pytest.raises(EngineError, match=r"watched run .* task_type is missing"):
        (watch_namespace if not _no_namespace() else watch_trace)(bad, FAKE)


@pytest.mark.usefixtures("own_home")
def test_doctor_proves_it_and_does_not_pass_a_planted_attempt() -> None:
    done = call("doctor", "--egress", "--engine", "fake", "--plant", "--json")
    assert done.exit_code == 4
    found = json.loads(done.stdout)
    assert (found["clean"], found["planted"]) == (False, True)
    proofs = {entry["proof"] for entry in found["proofs"]}
    assert proofs | set(found["unavailable"]) >= {"trace", "namespace"} and proofs
    assert all(entry["refused"] == {f"{GUARDED[0]}:{GUARDED[1]}": 1} for entry in found["proofs"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("doctor", "--plant"), "belong to --egress"),
        (("doctor", "--egress", "--engine", "fak"), "error: no engine named 'fak'"),
        (("run", "x", "--out", "y", "--isolate", "--server-url", "http://127.0.0.1:1"), "reaches no server"),
    ],
)
@pytest.mark.usefixtures("own_home")
def test_options_that_make_no_sense_are_refused(arguments: tuple[str, ...], said: str) -> None:
    done = call(*arguments)
    assert done.exit_code == 2
    assert said in done.output
