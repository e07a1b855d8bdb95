#!/usr/bin/env bash
# Builds .venv with the extra that fits this machine: [vllm] where nvidia-smi finds a GPU, else the CPU build of vLLM
# at the exact versions of requirements/cpu.lock. Run again, it does nothing unless a requirement changed.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
    echo "setup: needs Python 3.11 or newer as '$PYTHON'; set PYTHON=/path/to/python3.11" >&2
    exit 1
}

kind=cpu
if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then kind=gpu; fi
wanted=$(cat pyproject.toml requirements/cpu.lock scripts/setup.sh | sha256sum | cut -d' ' -f1)-$kind
[ "$(cat .venv/.localjudge 2>/dev/null)" = "$wanted" ] && exit 0

echo "setup: building .venv for $kind" >&2
rm -f .venv/.localjudge
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==0.13.9"
# A mirror or a folder of wheels that pip is configured with serves uv as well.
export UV_FIND_LINKS=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}
[ -n "${PIP_INDEX_URL:-}" ] && export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}
uv() { .venv/bin/uv "$@"; }
install() { uv pip install --quiet --python .venv/bin/python --compile-bytecode "$@"; }

if [ "$kind" = gpu ]; then
    install -e '.[vllm,server,parquet,dev]'
else
    torch=$(grep '^torch==' requirements/cpu.lock)
    # The CPU build of torch carries a local version: from a wheel folder pip knows of, else from PyTorch's own index.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps "$torch" 2>/dev/null ||
        install --torch-backend cpu "$torch"
    # torchvision, torchaudio and torchcodec on the package index are CUDA builds that do not load beside a CPU torch.
    install --excludes requirements/cpu-excludes.txt -r requirements/cpu.lock
    install --no-deps -e .
fi
echo "$wanted" > .venv/.localjudge
