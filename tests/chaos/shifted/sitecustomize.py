"""Imported by every Python process of a hospital that differs: in its clock, version or trainings."""

from __future__ import annotations

import datetime as dt
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import sys
import time
from types import ModuleType
from typing import Any

_SHIFT_S = float(os.environ.get("RHE_CHAOS_CLOCK", "0"))
_VERSION = os.environ.get("RHE_CHAOS_VERSION", "")
_STEP_S = float(os.environ.get("RHE_CHAOS_STEP", "0"))
"""By how much each step of a training takes longer, seconds."""
_TOO_LARGE = os.environ.get("RHE_CHAOS_MEMORY", "")
"""PLACE:MODEL whose training does not fit into the memory of the GPU."""

if _SHIFT_S:
    _time = time.time

    def _tell_time() -> float:
        return _time() + _SHIFT_S

    class _Shifted(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> _Shifted:
            return cls.fromtimestamp(_tell_time(), tz)

    time.time = _tell_time
    dt.datetime = _Shifted  # type: ignore[misc]

if _VERSION:
    _version = importlib.metadata.version

    def _tell_version(distribution_name: str) -> str:
        return _VERSION if distribution_name == "rhe" else _version(distribution_name)

    importlib.metadata.version = _tell_version

if _STEP_S or _TOO_LARGE:
    _training = [""]

    def _burden_steps(pulse: ModuleType) -> None:
        mark = pulse.mark_progress

        def mark_and_suffer(doing: str) -> None:
            mark(doing)
            if not doing.startswith("training"):
                return
            time.sleep(_STEP_S)
            if _TOO_LARGE and _training[0] == _TOO_LARGE:
                import torch

                # As torch says it, at the place where a batch goes to the GPU
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

        pulse.mark_progress = mark_and_suffer  # type: ignore[attr-defined]

    def _name_trainings(trainer: ModuleType) -> None:
        train_round = trainer.Trainer.train_round

        def train_named(self: Any, *arguments: Any, **options: Any) -> Any:
            _training[0] = f"{self.place}:{self.model.name}"
            try:
                return train_round(self, *arguments, **options)
            finally:
                _training[0] = ""

        trainer.Trainer.train_round = train_named

    _ALTERED = {"common.runtime.pulse": _burden_steps, "client.answers.trainer": _name_trainings}

    class _Altering(importlib.abc.MetaPathFinder):
        """Alters modules as soon as they are loaded, before anybody takes a name out of them."""

        def find_spec(
            self, fullname: str, path: Any = None, target: Any = None
        ) -> importlib.machinery.ModuleSpec | None:
            del path, target
            alter = _ALTERED.pop(fullname, None)
            if alter is None:
                return None
            spec = importlib.util.find_spec(fullname)
            if spec is None or spec.loader is None:
                return None
            load = spec.loader.exec_module

            def load_and_alter(module: ModuleType) -> None:
                load(module)
                alter(module)

            spec.loader.exec_module = load_and_alter  # type: ignore[method-assign]
            return spec

    sys.meta_path.insert(0, _Altering())
