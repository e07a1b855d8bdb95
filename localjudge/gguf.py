"""One GGUF file in, a folder of safetensors, config and tokenizer out; the one importer of transformers for that.

Runs as a process of its own (`python -m localjudge.gguf FILE FOLDER`): the gigabytes and the thread pools of a
conversion end with it, and whoever asked for it stays free of torch. Refuses to know where the file came from.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def convert(gguf_file: Path, folder: Path) -> None:
    """Writes `folder` (made when absent) from `gguf_file`, weights as bfloat16.

    Raises ImportError when transformers, torch, gguf or accelerate is missing, and whatever they raise for a file
    that they cannot read.
    """
    _read_metadata_once(gguf_file)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    where, name = str(gguf_file.parent), gguf_file.name
    # Without dequantize the model keeps its quantised layers, which cannot be saved.
    model = AutoModelForCausalLM.from_pretrained(
        where, gguf_file=name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    # The file's own title of itself is free text and often wrong; it would travel on as the model's name.
    vars(model.config).pop("_model_name_or_path", None)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(where, gguf_file=name).save_pretrained(folder)


def _read_metadata_once(gguf_file: Path) -> None:
    """Makes gguf's reader three times faster for this process, with the same result byte for byte.

    transformers opens the file four times, and each time gguf cuts 300,000 vocabulary strings out of a numpy memmap,
    whose slices cost ten times those of the plain array behind it. If a later gguf drops `_get`, only speed is lost.
    """
    gguf: Any = importlib.import_module("gguf")
    reader = gguf.GGUFReader
    if not hasattr(reader, "_get"):
        return
    import numpy as np

    class PlainArrayReader(reader):  # type: ignore[misc, valid-type]
        def _get(self, *args: Any, **kwargs: Any) -> Any:
            data: Any = self.data  # type: ignore[has-type]
            if type(data) is not np.ndarray:
                self.data = data.view(np.ndarray)
            return super()._get(*args, **kwargs)

    gguf.GGUFReader = functools.lru_cache(maxsize=1)(PlainArrayReader)
    # Also the first look at the file: one that is no GGUF is refused here, before seconds of imports.
    gguf.GGUFReader(str(gguf_file))


def main(arguments: list[str]) -> int:
    """Entry of the child process: prints one line of JSON, `{}` or `{"error": text}`."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        convert(Path(arguments[0]), Path(arguments[1]))
    except ImportError as error:
        print(
            json.dumps(
                {"error": f'conversion needs a package that is not installed ({error}); pip install "localjudge[cpu]"'}
            )
        )
        return 1
    except Exception as error:  # whatever a library raises for a file, the parent needs one line of it
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        return 1
    print("{}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
