"""Trainings of the same network from further seeds, which tell how far its results hang on chance alone.

The plan lists each as a model of its own, so that all that sites may be asked of it follows from the plan.
Its name is its seed: every stream of random numbers of a network derives from the plan's seed and its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from common.plan.models import AnyModel, CnnModel
from common.plan.named_section import name_repeat
from common.runtime.name_patterns import derive_name


def add_repeats(models: Sequence[AnyModel]) -> tuple[AnyModel, ...]:
    """The models, and after them every further training that their `repeats` ask for.

    Parameters
    ----------
    models : sequence of AnyModel
        As written; a plan that was read before has its further trainings already.

    Raises
    ------
    ValueError
        If there is a further training that no network asks for, or another one than it asks for.
    """
    wanted = {repeat.name: repeat for model in models for repeat in _list_repeats(model)}
    written = [model for model in models if is_repeat(model)]
    strangers = [model.title for model in written if wanted.get(model.name) != model]
    if strangers:
        raise ValueError(
            f"{', '.join(strangers)}: repeat_of is filled in where a network has repeats, and nothing may be "
            "changed in it -> remove the model, and write repeats = 3 in the network itself"
        )
    return (*(model for model in models if not is_repeat(model)), *wanted.values())


def is_repeat(model: AnyModel) -> bool:
    """Whether it is a further training, of which the report shows the spread alone."""
    return isinstance(model, CnnModel) and model.repeat_of is not None


def list_first_networks(models: Iterable[AnyModel]) -> tuple[CnnModel, ...]:
    """The networks that stand in tables, comparisons and verdicts: the first training of each."""
    return tuple(model for model in models if isinstance(model, CnnModel) and not is_repeat(model))


def list_trainings_of(models: Iterable[AnyModel], first: str) -> tuple[str, ...]:
    """The names under which a network is trained: its own, then those of its repeats."""
    return (first, *(model.name for model in models if getattr(model, "repeat_of", None) == first))


def _list_repeats(model: AnyModel) -> Iterator[CnnModel]:
    """The further trainings of one model; none of what is no network, or is trained once."""
    if not isinstance(model, CnnModel):
        return
    for place, number in enumerate(range(2, model.repeats + 1)):
        title = name_repeat(model.title, number)
        digests = model.first_weights_of_repeats
        yield model.model_copy(
            update={
                "name": derive_name(title),
                "label": title,
                "repeats": 1,
                "repeat_of": model.name,
                "first_weights": digests[place] if digests else None,
                "first_weights_of_repeats": (),
            }
        )
