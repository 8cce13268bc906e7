"""The plan reference and the plan's JSON Schema, as docs/ holds them."""

from __future__ import annotations

from common.plan.study import StudyPlan
from common.runtime.setting_reference import write_reference
from common.runtime.setting_schema import write_schema
from server.planning.key_sources import KEY_SOURCES

_INTRODUCTION = """\
Every key that a study plan (TOML) can have. Written by `rhe-server plan reference`; do not edit it.

A key that a plan leaves out has its default, which counts in the plan's SHA-256. `rhe-server plan check PLAN`
checks a plan and says in plain words what it will do. An editor with Even Better TOML completes and checks a
plan that begins with `#:schema plan.schema.json` (the [schema](plan.schema.json) is by `rhe-server plan
schema`). Examples are in [deploy/plans](../deploy/plans).

"The paper" is Ning et al. 2025, Scientific Reports. Where the column *source* is empty, the default is a
choice of this software."""


def write_plan_reference() -> str:
    """docs/plan-reference.md."""
    return write_reference(StudyPlan, "The plan reference", _INTRODUCTION, KEY_SOURCES)


def write_plan_schema() -> str:
    """docs/plan.schema.json."""
    return write_schema(StudyPlan, "Study plan of rhe")
