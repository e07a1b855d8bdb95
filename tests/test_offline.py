"""A judging process is offline: its switches are set, and no address off this machine is taken unasked."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from localjudge.errors import UsageError
from localjudge.offline import ENVIRONMENT, check_local, go_offline


@pytest.fixture(autouse=True)
def restored_environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_every_switch_is_set_over_what_the_shell_says() -> None:
    os.environ["HF_HUB_OFFLINE"] = "0"
    os.environ["VLLM_PLUGINS"] = "somebodys"
    go_offline()
    assert {name: os.environ[name] for name in ENVIRONMENT} == ENVIRONMENT


@pytest.mark.parametrize(
    "switch",
    ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "VLLM_PLUGINS"],
)
def test_hub_telemetry_and_plugins_are_off(switch: str) -> None:
    assert switch in ENVIRONMENT


def test_the_users_own_log_level_stays() -> None:
    os.environ["VLLM_LOGGING_LEVEL"] = "DEBUG"
    go_offline()
    assert os.environ["VLLM_LOGGING_LEVEL"] == "DEBUG"


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000",
        "http://127.0.0.1:8000/v1",
        "http://127.8.9.10",
        "http://[::1]:8000",
        "https://LOCALHOST/v1",
    ],
)
def test_this_machine_is_local(url: str) -> None:
    check_local(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.5:8000",
        "http://gpu7:8000",
        "https://example.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@example.com",
        "http://0.0.0.0:8000",
        "http://2130706433",
        "127.0.0.1:8000",
        "",
    ],
)
def test_any_other_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not on this machine"):
        check_local(url)


def test_a_host_of_ones_own_is_allowed_by_name_alone() -> None:
    check_local("http://gpu7:8000", ["gpu7"])
    with pytest.raises(UsageError, match="--allow-host gpu8"):
        check_local("http://gpu8:8000", ["gpu7"])
