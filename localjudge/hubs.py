"""Asks a model hub for a repository and downloads it; the one importer of huggingface_hub and modelscope.

Runs as a process of its own (`python -m localjudge.hubs`), because both libraries read the offline variables once,
at import, and because only a process can be given a time limit that a hanging name server respects.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

# Weights, configuration and tokenizer of the top folder. No pickle and no code can come through.
WANTED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "tokenizer.model", "LICENSE*"]
UNWANTED = ["*/*"]
_CONNECT_SECONDS = 5


class HubError(Exception):
    """A hub did not answer or refused; the text is one line."""


def probe(kind: str, repo: str, revision: str | None) -> str:
    """The exact revision that the hub would serve. Raises HubError, mostly within seconds."""
    return _probe_huggingface(repo, revision) if kind == "huggingface" else _probe_modelscope(repo, revision)


def download(kind: str, repo: str, revision: str, folder: Path) -> None:
    """Fills `folder` with the wanted files of the repository. Raises what the hub's library raises."""
    if kind == "huggingface":
        from huggingface_hub import snapshot_download

        snapshot_download(repo, revision=revision, local_dir=folder, allow_patterns=WANTED, ignore_patterns=UNWANTED)
    else:
        from modelscope import snapshot_download as modelscope_download  # type: ignore[import-not-found, unused-ignore]

        modelscope_download(
            repo, revision=revision, local_dir=str(folder), allow_patterns=WANTED, ignore_patterns=UNWANTED
        )


def _probe_huggingface(repo: str, revision: str | None) -> str:
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.constants import HF_HUB_OFFLINE
    except ImportError as error:
        raise HubError('huggingface_hub is not installed: pip install "localjudge[pull]"') from error
    if HF_HUB_OFFLINE:
        raise HubError("HF_HUB_OFFLINE is set")
    sha: str | None = HfApi().model_info(repo, revision=revision, timeout=_CONNECT_SECONDS).sha
    if sha is None:
        raise HubError("the hub names no commit")
    return sha


def _probe_modelscope(repo: str, revision: str | None) -> str:
    try:
        import modelscope  # type: ignore[import-not-found, unused-ignore]  # noqa: F401
    except ImportError as error:
        raise HubError('the modelscope package is not installed: pip install "localjudge[pull]"') from error
    domain = os.environ.get("MODELSCOPE_DOMAIN") or "www.modelscope.cn"
    address = domain if "://" in domain else f"https://{domain}"
    try:
        with urllib.request.urlopen(f"{address}/api/v1/models/{repo}", timeout=_CONNECT_SECONDS):  # noqa: S310
            return revision or "master"
    except urllib.error.HTTPError as error:
        raise HubError(f"{domain} answers {error.code} {error.reason}") from error
    except OSError as error:
        raise HubError(f"{domain} cannot be reached ({getattr(error, 'reason', error)})") from error


def main(arguments: list[str]) -> int:
    """Entry of the child: `probe KIND REPO [REVISION]` or `download KIND REPO REVISION FOLDER`; prints JSON."""
    verb, kind, repo, *rest = arguments
    try:
        if verb == "probe":
            answer = {"revision": probe(kind, repo, rest[0] if rest else None)}
        else:
            download(kind, repo, rest[0], Path(rest[1]))
            answer = {}
    except HubError as error:
        answer = {"error": str(error)}
    except Exception as error:  # libraries raise what they like; the parent needs one line of it
        first = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
        answer = {"error": f"{type(error).__name__}: {first}"}
    print(json.dumps(answer))
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
