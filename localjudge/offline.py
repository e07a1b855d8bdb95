"""The environment of an offline process and its guard, set before anything heavy is imported. Knows no library, only
its switches.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Collection
from urllib.parse import urlsplit

from localjudge.egress import guard
from localjudge.errors import UsageError

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_PLUGINS": "",
    "RAY_USAGE_STATS_ENABLED": "0",
    # vLLM fails a request whose automaton takes over 5 s to build; a joint answer's takes longer on a slow core.
    "VLLM_REGEX_COMPILATION_TIMEOUT_S": "300",
    "TOKENIZERS_PARALLELISM": "false",
}
"""What every judging process runs under: no hub, no usage statistics, no plugins."""

_DEFAULTS = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_CONFIGURE_LOGGING": "1",
    "TQDM_DISABLE": "1",
    # Unasked, vLLM finds its own address by connecting to a public name server, and gloo by looking up the host's name.
    "VLLM_HOST_IP": "127.0.0.1",
    **({"GLOO_SOCKET_IFNAME": "lo"} if sys.platform.startswith("linux") else {}),
}

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")
"""A proxy on loopback would be a way out that looks like none."""


def go_offline() -> None:
    """Sets the switches and the guard for this process and those it starts; call before importing an engine."""
    os.environ.update(ENVIRONMENT)
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in _PROXIES:
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)
    guard()


def check_local(url: str, allowed_hosts: Collection[str] = ()) -> None:
    """Raises UsageError unless the address is on this machine or its host was allowed by name."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host in allowed_hosts:
        return
    try:
        if ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        pass
    raise UsageError(
        f"{url}: {host or 'this address'} is not on this machine, and records would leave it.",
        hint=f"If the server is yours, say so: --allow-host {host}." if host else "Give http://127.0.0.1:PORT.",
    )
