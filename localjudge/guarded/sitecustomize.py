"""Runs first in every Python process that a guarded one starts: joins its guard, then hands on to a `sitecustomize`
that stands further down the path.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import PathFinder

_HERE = os.path.dirname(os.path.abspath(__file__))
_PACKAGE_PARENT = os.path.dirname(os.path.dirname(_HERE))


def _join() -> None:
    # The package that set the guard, not whichever one this process would find later.
    sys.path.insert(0, _PACKAGE_PARENT)
    try:
        from localjudge.egress import join

        join()
    except Exception as error:
        raise SystemExit(f"localjudge: no egress guard in a process that it started: {error}") from error
    finally:
        sys.path.remove(_PACKAGE_PARENT)


def _hand_on() -> None:
    others = [folder for folder in sys.path if os.path.abspath(folder or ".") != _HERE]
    found = PathFinder.find_spec("sitecustomize", others)
    if found is not None and found.loader is not None:
        module = importlib.util.module_from_spec(found)
        sys.modules["sitecustomize"] = module
        found.loader.exec_module(module)


if "LOCALJUDGE_EGRESS" in os.environ:
    _join()
_hand_on()
