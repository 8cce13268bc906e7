"""A hospital's own settings (`site.toml`) and what its policy allows."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from common.cohort.spelling import settle_path
from common.cohort.table_mapping import TableMapping
from common.errors import PolicyError, SiteError
from common.imaging.options import SeriesRule
from common.plan.sections import Phase
from common.plan.study import Name, Profile, StudyPlan
from common.runtime.settings_file import DEVICE_PATTERN, Section, load_settings, read_settings_text

SITE_FILE = "site.toml"
MARKER = "SYNTHETIC.json"
"""What the simulator leaves in every folder that it makes."""

Label = Annotated[int, Field(ge=1, le=65535)]
"""A label value of a mask; 0 is the background."""

LabelName = Annotated[str, Field(min_length=1, max_length=200)]
"""A segment's name, or code as scheme:value; `*` stands for any text, and capitals do not count."""

_STANDARD_MINIMUM = 20
_STANDARD_MINIMUM_PER_CLASS = 10


class MaskSettings(Section):
    """Which label values and names of segments the site's masks use."""

    ich: tuple[Label, ...] = Field(default=(1,), min_length=1)
    """Labels of the intracerebral hemorrhage."""
    ivh: tuple[Label, ...] = (2,)
    """Labels of the intraventricular hemorrhage; empty if the masks hold none."""
    ignored: tuple[Label, ...] = ()
    """Known labels that are neither, such as edema; a patient with any other label is refused."""

    ich_names: tuple[LabelName, ...] = ()
    """Names or codes of segments (DICOM SEG, RTSTRUCT, 3D Slicer) that are the intracerebral hemorrhage."""
    ivh_names: tuple[LabelName, ...] = ()
    """The same of the intraventricular hemorrhage."""
    ignored_names: tuple[LabelName, ...] = ()
    """The same of what is neither; "*" ignores whatever `ich_names` and `ivh_names` do not name."""

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        shared = sorted(set(self.ich) & set(self.ivh))
        if shared:
            raise ValueError(f"labels {shared} stand for both ICH and IVH -> each label has one meaning")
        lost = sorted({*self.ich, *self.ivh} & set(self.ignored))
        if lost:
            raise ValueError(f"labels {lost} are a hemorrhage and ignored -> each label has one meaning")
        names = [name.casefold() for name in (*self.ich_names, *self.ivh_names, *self.ignored_names)]
        double = sorted({name for name in names if names.count(name) > 1})
        if double:
            raise ValueError(f"the names {double} occur twice -> each name has one meaning")
        return self


class Policy(Section):
    """What may be asked of this site; whatever is not allowed here is refused."""

    profiles: tuple[Profile, ...] = Field(default=("standard",), min_length=1)
    """Plan profiles that the site takes part in; a synthetic site also takes part in simulations."""
    model_release: bool = False
    """Whether a model trained on this site's patients alone may leave it."""
    min_patients: int | None = Field(default=None, ge=1)
    """Fewest patients with which the site takes part; by default 20, or 1 at a synthetic site."""
    min_per_class: int | None = Field(default=None, ge=1)
    """Fewest patients with and without expansion; by default 10, or 1 at a synthetic site."""
    phases: tuple[Phase, ...] | None = None
    """Phases of a study that the site takes part in; by default any that it approves."""
    hidden_sums: bool = False
    """Whether a simulated site, too, refuses plans that show its numbers to the coordinator
    (`privacy.secure = false`); a site with patients refuses them always."""
    min_sites: int = Field(default=2, ge=2)
    """Fewest sites in a sum with this site that is opened: of the plan's groups, and of the roster."""
    answers_per_day: int = Field(default=50_000, ge=1)
    """Answers with numbers on one day; more is refused."""


class SiteSettings(Section):
    """One hospital's folder."""

    name: Name
    """As in the study plan."""
    table: str = Field(min_length=1)
    """The cohort table (.csv or .xlsx), relative to this file."""
    synthetic: bool = False
    """True only for simulated patients; such a folder also carries the simulator's marker."""
    device: Annotated[str, Field(pattern=DEVICE_PATTERN)] = "auto"
    """Where networks train: "auto", "cpu", "cuda", "cuda:1" or "mps"."""
    mask: MaskSettings = MaskSettings()
    """The masks' labels."""
    mapping: TableMapping | None = None
    """How the hospital's own table is read; by default it is one as the documentation describes it."""
    series: SeriesRule = SeriesRule()
    """Which of several CT series in a DICOM folder is read; by default a folder of several is refused."""
    policy: Policy = Policy()
    """What the site allows."""

    @field_validator("table")
    @classmethod
    def _check_table(cls, table: str) -> str:
        path = PurePosixPath(table)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError("must be a path inside the site's folder -> move or link the table into it")
        return table

    @model_validator(mode="after")
    def _check_profiles(self) -> Self:
        if "simulation" in self.policy.profiles and not self.synthetic:
            raise ValueError(
                'policy.profiles has "simulation" but synthetic is not true -> patients take no part in '
                "simulations: remove it"
            )
        return self

    def locate_table(self, folder: Path) -> Path:
        """The table's file, as the disk spells its name."""
        return settle_path(folder / self.table, folder)

    @property
    def min_patients(self) -> int:
        """Fewest patients with which the site takes part."""
        return self.policy.min_patients or (1 if self.synthetic else _STANDARD_MINIMUM)

    @property
    def min_per_class(self) -> int:
        """Fewest patients of each outcome with which the site takes part."""
        return self.policy.min_per_class or (1 if self.synthetic else _STANDARD_MINIMUM_PER_CLASS)


def load_site(folder: Path) -> SiteSettings:
    """The settings in a site's folder.

    Raises
    ------
    SiteError
        If the folder has no `site.toml`, or with line, key and value of each violation.
    """
    path = folder / SITE_FILE
    if not folder.is_dir():
        raise SiteError(f"{folder}: no such folder -> give the folder that holds {SITE_FILE}")
    if not path.exists():
        raise SiteError(
            f"{path}: no such file -> write one with at least `name` and `table`, as rhe-client new does"
        )
    return load_settings(path, SiteSettings, SiteError)


def find_site_file(table: Path) -> Path | None:
    """The site.toml of the folder that holds a table, or of the nearest one above; None if there is none."""
    above = table.absolute().parents
    return next((folder / SITE_FILE for folder in above if (folder / SITE_FILE).is_file()), None)


def is_marked_synthetic(folder: Path) -> bool:
    """Whether the folder carries the simulator's marker.

    Raises
    ------
    SiteError
        If there is a marker that cannot be read.
    """
    path = folder / MARKER
    try:
        marker = json.loads(read_settings_text(path))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, RecursionError) as failure:
        raise SiteError(
            f"{path}: is not the simulator's marker ({failure}) -> simulate the site again"
        ) from None
    if not isinstance(marker, dict) or not marker:
        raise SiteError(f"{path}: is not the simulator's marker -> simulate the site again")
    return True


def check_profile(settings: SiteSettings, folder: Path, plan: StudyPlan) -> None:
    """Refuse a plan of a profile in whose studies the site takes no part.

    Raises
    ------
    PolicyError
        If the policy does not list the profile, or if the plan is a simulation and the site's data are not
        declared and marked as synthetic.
    """
    if plan.profile == "simulation":
        if not settings.synthetic:
            raise PolicyError(
                f'the plan has profile = "simulation", site {settings.name} has patients -> simulations '
                "run on synthetic sites only (synthetic = true in site.toml, written by rhe-simulate centres)"
            )
        if not is_marked_synthetic(folder):
            raise PolicyError(
                f"site {settings.name} says synthetic = true, but its folder has no {MARKER} -> only folders "
                "that rhe-simulate made are synthetic"
            )
    elif plan.profile not in settings.policy.profiles:
        raise PolicyError(
            f'the plan has profile = "{plan.profile}", site {settings.name} accepts '
            f"{', '.join(settings.policy.profiles)} -> change the plan, or policy.profiles in site.toml"
        )


def check_release(settings: SiteSettings, plan: StudyPlan) -> None:
    """Refuse a plan that asks for a model of this site's patients alone, unless the site allows its release.

    Raises
    ------
    PolicyError
        If the plan wants the model and the policy does not allow it.
    PlanError
        If the plan does not name this site.
    """
    if plan.site(settings.name).model_release and not settings.policy.model_release:
        raise PolicyError(
            f"the plan lets the model trained at {settings.name} alone leave it, the site does not -> "
            "model_release = false in the plan, or true under [policy] in site.toml"
        )


def is_synthetic(settings: SiteSettings, folder: Path) -> bool:
    """Whether all patients are simulated: site.toml says so, and the folder has the simulator's marker.

    Only then may drawings over CT slices leave the site, or numbers of its own in a study of several sites.

    Raises
    ------
    SiteError
        If there is a marker that cannot be read.
    """
    return settings.synthetic and is_marked_synthetic(folder)
