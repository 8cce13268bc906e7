"""Which parts of a hidden answer come back to a site, and how it reads their sums."""

from __future__ import annotations

from collections.abc import Sequence

from common.hiding.vectors import Hiding, Lot, Precision, find_lot
from common.messages.groups import SiteGroup
from common.secagg.wire.messages import CanonicalDocument, Natural
from common.stats.contract import Summary, SummaryLayout
from common.types import Counts, Reals


def find_receivers(groups: Sequence[SiteGroup], vector: str) -> frozenset[str]:
    """Names of the sites to which the sum of a vector of this name comes back: none if it steers nothing."""
    lot = find_lot(vector)
    if lot is None or not lot[1] or lot[0] >= len(groups):
        return frozenset()
    return frozenset(groups[lot[0]].sites)


def comes_back(groups: Sequence[SiteGroup], site: str, lot: Lot) -> bool:
    """Whether the sums of a lot come back to the site: they steer, and it is in the lot's group."""
    return lot.steers and lot.group is not None and site in groups[lot.group].sites


class ReturnedLots(CanonicalDocument):
    """How the sums that come back to a site are read; kept with its masked answer."""

    layout: SummaryLayout
    """Kind, name and shape of the arrays that come back; names begin with the group's number."""
    precision: str
    """How exactly their reals travel: a `Precision`."""
    groups: tuple[tuple[Natural, tuple[str, ...]], ...]
    """Number and sites of each group whose sums come back."""

    @classmethod
    def of(cls, hiding: Hiding, groups: Sequence[SiteGroup], site: str) -> ReturnedLots:
        """What comes back to a site of an answer that is hidden so."""
        lots = [lot for lot in hiding.lots if comes_back(groups, site, lot)]
        return cls(
            layout=tuple(entry for entry in hiding.layout if any(entry in lot.layout for lot in lots)),
            precision=hiding.precision.value,
            groups=tuple((lot.group, groups[lot.group].sites) for lot in lots if lot.group is not None),
        )

    @property
    def note(self) -> str:
        """The same as text, for `Computed.note`."""
        return self.body().decode("ascii")

    def read_sums(self, sums: Sequence[Counts | Reals]) -> dict[tuple[str, ...], Summary]:
        """The sums by the sites of their group, each array under its own name."""
        hiding = Hiding(self.layout, {}, Precision(self.precision), lambda _: True)
        summary = hiding.summary(sums)
        return {sites: summary.part(str(number)) for number, sites in self.groups}
