"""Which engine, and what it needs: the one place that knows which options, address and key go with which engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localjudge.egress import guard
from localjudge.engines import choose_engine, open_engine
from localjudge.engines.base import Engine
from localjudge.engines.options import read_numbers
from localjudge.errors import UsageError
from localjudge.offline import check_local
from localjudge.registry import load_models
from localjudge.weights import LocalModel, resolve


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """An engine as a user asks for it."""

    wanted: str = "auto"
    """One of `engines.ENGINES`; `auto` is the server where an address is given, else what is installed."""
    options: Mapping[str, Any] = field(default_factory=dict)
    server_url: str = ""
    api_key: str = ""
    allowed_hosts: tuple[str, ...] = ()
    """What the guard lets through, in whichever process opens the engine."""

    @classmethod
    def of(
        cls, wanted: str, options: Mapping[str, Any], server_url: str = "", allowed_hosts: tuple[str, ...] = ()
    ) -> EngineChoice:
        """Checks the address, lets the allowed hosts through the guard, and takes the key from LOCALJUDGE_API_KEY.
        Raises UsageError for an address that is neither on this machine nor allowed by name."""
        if server_url:
            check_local(server_url, allowed_hosts)
        if allowed_hosts:
            guard(allowed_hosts)
        return cls(wanted, dict(options), server_url, os.environ.get("LOCALJUDGE_API_KEY", ""), allowed_hosts)

    @property
    def engine(self) -> str:
        """The engine meant. Raises ConfigError when none is installed, UsageError for an unknown name."""
        return choose_engine("server" if self.server_url and self.wanted == "auto" else self.wanted)

    def find_model(self, name: str | None) -> LocalModel | None:
        """The local files of a model by name or folder; None for the fake engine, which has none.

        Raises UsageError without a name, ConfigError when the model is not here.
        """
        if self.engine == "fake":
            return None
        if not name:
            raise UsageError(
                "which model?", hint="Give --model NAME or --model FOLDER; `localjudge models list` shows names."
            )
        return resolve(name, load_models())

    def all_options(self, model: LocalModel | None) -> dict[str, Any]:
        """The options asked for, over those of the model's entry where they apply."""
        own = model.spec.vllm_options if model and self.engine == "vllm" else {}
        return {**own, **self.options}

    def cards(self, model: LocalModel | None) -> int:
        """GPUs that one engine takes where there are any; none for an engine that is not in its own process.
        Raises UsageError for options that say no number of them."""
        if self.engine not in ("vllm", "hf"):
            return 0
        options: dict[str, Any] = read_numbers("vllm", self.all_options(model))
        return int(options.get("tensor_parallel_size", 1) * options.get("pipeline_parallel_size", 1))

    def open(self, model: LocalModel | None) -> Engine:
        """Opens the engine, with the options of the model's entry where they apply. Raises EngineError, and ConfigError
        when a file of the model was touched meanwhile."""
        if self.allowed_hosts:
            guard(self.allowed_hosts)
        engine = open_engine(
            self.engine,
            model.path if model else None,
            name=model.spec.name if model else "fake",
            options=self.all_options(model),
            server_url=self.server_url,
            api_key=self.api_key,
        )
        try:
            if model:
                model.check_unchanged()
        except BaseException:
            engine.close()
            raise
        return engine
