"""What the values of masks mean: the site's own labels, and ours."""

from __future__ import annotations

from dataclasses import dataclass

ICH, IVH = 1, 2
"""Values in a `Mask`'s voxels, whatever values the site's files use; as bits, they say who shares a voxel."""

NEITHER = 0
"""The background, and whatever is known to be no hemorrhage."""


@dataclass(frozen=True)
class MaskLabels:
    """What the values, and the named segments, in a site's masks mean.

    Attributes
    ----------
    ich, ivh : tuple of int
        Values that mark intracerebral and intraventricular hemorrhage.
    ignored : tuple of int
        Known values that mark neither, such as edema.
    ich_names, ivh_names, ignored_names : tuple of str
        Names or codes of segments, as patterns (`*` stands for any text); capitals do not count.
    """

    ich: tuple[int, ...] = (1,)
    ivh: tuple[int, ...] = (2,)
    ignored: tuple[int, ...] = ()
    ich_names: tuple[str, ...] = ()
    ivh_names: tuple[str, ...] = ()
    ignored_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        named = (0, *self.ich, *self.ivh, *self.ignored)
        names = (*self.ich_names, *self.ivh_names, *self.ignored_names)
        if len(set(named)) < len(named) or len({name.casefold() for name in names}) < len(names):
            raise ValueError(f"a label has two meanings (0 is the background): {self}")
