"""Model cards on disk: a network's card in its safetensors file, a table model's in a JSON file.

Each file carries a SHA-256 over all its content. It detects damage and careless editing, but not a forger who
also computes the digest.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from common.cards.card import CARD_VERSION, ModelCard, NetworkContent
from common.errors import ModelError, StorageError
from common.models.checkpoint import Checkpoint, load, save
from common.plain_text import is_unicode
from common.runtime.regular_file import read_regular
from common.runtime.storage import write_atomically

CARD_KEY = "card"
"""Key of the card in a checkpoint's metadata and in a JSON file."""
_REMEDY = "restore it from a copy, or ask the study's coordinator for the file again"


@dataclass(frozen=True)
class CardedModel:
    """A model as its file holds it.

    Attributes
    ----------
    card : ModelCard
        The model's card.
    checkpoint : Checkpoint or None
        A network's weights; None for a table model.
    """

    card: ModelCard
    checkpoint: Checkpoint | None = None


def serialise_card(card: ModelCard) -> str:
    """The card as canonical JSON: the same card gives the same text."""
    return json.dumps(card.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, allow_nan=False)


def add_card(path: Path, card: ModelCard) -> None:
    """Add a card to a network's file, whose digest then covers the card, too.

    Raises
    ------
    ModelError
        If the file is damaged.
    StorageError
        If it cannot be read or written.
    """
    checkpoint = load(path)
    metadata = {**checkpoint.metadata, CARD_KEY: serialise_card(card)}
    save(path, replace(checkpoint, metadata=metadata))


def save_card(path: Path, card: ModelCard, *, private: bool | None = None) -> None:
    """Write the card of a table model; `private` as `write_atomically` has it.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    write_atomically(path, _envelop(json.loads(serialise_card(card))), private=private)


def load_card(path: Path) -> CardedModel:
    """The model in a file that a study wrote.

    Raises
    ------
    ModelError
        If the file has no card, one of another format version, or was altered or truncated.
    StorageError
        If it cannot be read.
    """
    if path.suffix == ".safetensors":
        return _load_network(path)
    if path.suffix == ".json":
        return _load_table_model(path)
    raise ModelError(f"{path}: is no model of a study -> give a .safetensors or .json file of its models/")


def _load_network(path: Path) -> CardedModel:
    if not path.is_file():
        raise ModelError(f"{path}: no such file -> give a model of a finished study")
    checkpoint = load(path)
    text = checkpoint.metadata.get(CARD_KEY)
    if text is None:
        raise ModelError(f"{path}: has no model card -> give a model of a study that was finished")
    card = _card_of(path, _parse(path, text))
    if not isinstance(card.content, NetworkContent):
        raise ModelError(f"{path}: the card of a {card.content.kind} model beside weights -> {_REMEDY}")
    if checkpoint.metadata.get("plan") != card.plan_hash:
        plan = str(checkpoint.metadata.get("plan"))
        raise ModelError(
            f"{path}: weights of plan {plan[:12]} with the card of plan {card.plan_hash[:12]} -> {_REMEDY}"
        )
    return CardedModel(card, checkpoint)


def _load_table_model(path: Path) -> CardedModel:
    try:
        content = read_regular(path)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file -> give a model of a finished study") from None
    except OSError as failure:
        raise StorageError(f"{path}: cannot be read ({failure.strerror})") from None
    document = _parse(path, content)
    if not isinstance(document, dict) or CARD_KEY not in document:
        raise ModelError(f"{path}: has no model card -> give a model of a study that was finished")
    # Compared as bytes: a digest over values alone would miss two spellings of one value.
    if _envelop(document[CARD_KEY]) != content:
        raise ModelError(f"{path}: has been altered since it was written -> {_REMEDY}")
    card = _card_of(path, document[CARD_KEY])
    if isinstance(card.content, NetworkContent):
        raise ModelError(f"{path}: the card of a network without its weights -> give its .safetensors file")
    return CardedModel(card)


def _parse(path: Path, content: bytes | str) -> Any:
    """The parsed JSON.

    Raises
    ------
    ModelError
        If it is none, or spells half a character, which no card holds and no file or terminal can show.
    """
    try:
        document = json.loads(content)
        whole = is_unicode(json.dumps(document, ensure_ascii=False))
    except (ValueError, RecursionError):
        raise ModelError(f"{path}: is truncated or no JSON file -> {_REMEDY}") from None
    if not whole:
        raise ModelError(f"{path}: holds a text that is no Unicode (a lone surrogate) -> {_REMEDY}")
    return document


def _envelop(card: Any) -> bytes:
    canonical = json.dumps(card, sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = json.dumps({CARD_KEY: card, "sha256": digest}, sort_keys=True, ensure_ascii=False, indent=1)
    return text.encode() + b"\n"


def _card_of(path: Path, fields: Any) -> ModelCard:
    version = fields.get("version") if isinstance(fields, dict) else None
    if version != CARD_VERSION:
        raise ModelError(
            f"{path}: a model card of format version {version}, this rhe reads {CARD_VERSION} "
            "-> predict with the rhe that wrote it"
        )
    try:
        return ModelCard.model_validate(fields)
    except ValidationError as failure:
        first = failure.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{path}: no model card: {where}: {first['msg']} -> {_REMEDY}") from None
