"""What the site was asked and what it learnt, on its disk: over it the program runs again after a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from pydantic import ValidationError
from safetensors import SafetensorError

from client.door.course import AskedStep, GroupSummaries
from common.errors import StorageError
from common.messages.headers import RequestHeader
from common.runtime.storage import make_private_folder, write_atomically
from common.stats.contract import Summary

_ASKED, _LEARNT = "asked", "learnt"


@dataclass(frozen=True)
class DoorRecord:
    """The folder with one file for each question, in their order, and one for what was learnt of it.

    Attributes
    ----------
    folder : Path
        Of one study.
    """

    folder: Path

    def list_digests(self) -> tuple[str, ...]:
        """SHA-256 of each question that was admitted, in their order."""
        names = sorted(path.name for path in self.folder.glob(f"*.{_ASKED}"))
        return tuple(name.split(".")[1] for name in names)

    def read(self) -> Iterator[tuple[str, AskedStep, GroupSummaries]]:
        """Every question with its digest and the sums that are known, in their order.

        Raises
        ------
        StorageError
            If a file is damaged.
        """
        for number, digest in enumerate(self.list_digests()):
            path = self._name(number, digest, _ASKED)
            try:
                content = path.read_bytes()
                header = RequestHeader.model_validate_json(_read_metadata(content)["header"])
                step = AskedStep(header, safetensors.numpy.load(content))
                yield digest, step, self._read_sums(number, digest)
            except (OSError, SafetensorError, ValidationError, KeyError, ValueError):
                raise StorageError(
                    f"{path}: is damaged -> nothing of this study leaves before it is restored from a backup"
                ) from None

    def keep(self, digest: str, step: AskedStep) -> None:
        """Write a question before it is answered.

        Raises
        ------
        StorageError
            If it cannot be written: it is not answered then.
        """
        make_private_folder(self.folder)
        arrays = {name: np.asarray(array, order="C") for name, array in step.parameters.items()}
        content = safetensors.numpy.save(arrays, {"header": step.header.model_dump_json()})
        write_atomically(self._name(len(self.list_digests()), digest, _ASKED), content, private=True)

    def drop_last(self, digest: str) -> None:
        """Erase the last question, of this digest, as if it had not been asked.

        Raises
        ------
        StorageError
            If it is not the last.
        """
        digests = self.list_digests()
        if not digests or digests[-1] != digest:
            raise StorageError(
                f"{self.folder}: its last question is not {digest[:12]} -> start the site again"
            )
        self._name(len(digests) - 1, digest, _ASKED).unlink()

    def learn(self, digest: str, sums: GroupSummaries) -> None:
        """Write sums of a question that are known now, beside those that are there.

        Raises
        ------
        StorageError
            If they cannot be written, or the question was not admitted.
        """
        number = self._find(digest)
        together = self._read_sums(number, digest) | sums
        arrays = {
            f"{place}/{kind}/{name}": np.asarray(array, order="C")
            for place, summary in enumerate(together.values())
            for kind, by_name in (("counts", summary.counts), ("reals", summary.reals))
            for name, array in by_name.items()
        }
        groups = json.dumps([list(sites) for sites in together])
        content = safetensors.numpy.save(arrays, {"groups": groups})
        write_atomically(self._name(number, digest, _LEARNT), content, private=True)

    def _find(self, digest: str) -> int:
        digests = self.list_digests()
        if digest not in digests:
            raise StorageError(f"{self.folder}: has no question {digest[:12]} -> restore it from a backup")
        return digests.index(digest)

    def _read_sums(self, number: int, digest: str) -> GroupSummaries:
        path = self._name(number, digest, _LEARNT)
        if not path.exists():
            return {}
        content = path.read_bytes()
        groups = [tuple(sites) for sites in json.loads(_read_metadata(content)["groups"])]
        arrays = safetensors.numpy.load(content)
        return {sites: _cut_summary(place, arrays) for place, sites in enumerate(groups)}

    def _name(self, number: int, digest: str, kind: str) -> Path:
        return self.folder / f"{number:06d}.{digest}.{kind}"


def _cut_summary(place: int, arrays: Mapping[str, np.ndarray]) -> Summary:
    def select(kind: str) -> dict[str, np.ndarray]:
        start = f"{place}/{kind}/"
        return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}

    return Summary(select("counts"), select("reals"))


def _read_metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return metadata
