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
_LATE = "late"
"""The sums' own word for those that came once the study had gone on without them."""


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

    def learn(self, digest: str, sums: GroupSummaries, *, is_late: bool = False) -> None:
        """Write sums of a question that are known now, beside those that are there.

        Parameters
        ----------
        digest : str
            Of the question.
        sums : mapping of tuple of str to Summary
            By the sites over whom they are.
        is_late : bool
            Whether the study had gone on without them: then `read` does not give them, so that the program
            runs over the disk as it ran before.

        Raises
        ------
        StorageError
            If they cannot be written, or the question was not admitted.
        """
        number = self._find(digest)
        earlier, late = self._read_all_sums(number, digest)
        together = earlier | sums
        late = late | (sums.keys() - earlier.keys()) if is_late else late - sums.keys()
        arrays = {
            f"{place}/{kind}/{name}": np.asarray(array, order="C")
            for place, summary in enumerate(together.values())
            for kind, by_name in (("counts", summary.counts), ("reals", summary.reals))
            for name, array in by_name.items()
        }
        metadata = {"groups": json.dumps([list(sites) for sites in together])}
        if late:
            metadata[_LATE] = json.dumps([list(sites) for sites in sorted(late)])
        content = safetensors.numpy.save(arrays, metadata)
        write_atomically(self._name(number, digest, _LEARNT), content, private=True)

    def has_proved(self, digest: str) -> bool:
        """Whether a sum of several sites is known of a question, be it too late.

        Raises
        ------
        StorageError
            If the question was not admitted.
        """
        sums, _ = self._read_all_sums(self._find(digest), digest)
        return any(len(sites) > 1 for sites in sums)

    def _find(self, digest: str) -> int:
        digests = self.list_digests()
        if digest not in digests:
            raise StorageError(f"{self.folder}: has no question {digest[:12]} -> restore it from a backup")
        return digests.index(digest)

    def _read_sums(self, number: int, digest: str) -> GroupSummaries:
        """The sums of a question that were known before the study went on."""
        sums, late = self._read_all_sums(number, digest)
        return {sites: summary for sites, summary in sums.items() if sites not in late}

    def _read_all_sums(self, number: int, digest: str) -> tuple[GroupSummaries, frozenset[tuple[str, ...]]]:
        """The sums of a question, and over which sites those are that came too late."""
        path = self._name(number, digest, _LEARNT)
        if not path.exists():
            return {}, frozenset()
        content = path.read_bytes()
        metadata = _read_metadata(content)
        groups, late = (
            [tuple(sites) for sites in json.loads(metadata.get(name, "[]"))] for name in ("groups", _LATE)
        )
        arrays = safetensors.numpy.load(content)
        sums = {sites: _cut_summary(place, arrays) for place, sites in enumerate(groups)}
        return sums, frozenset(late)

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
