"""Sites whose linear algebra rounds otherwise admit the same honest study."""

import pytest
from sites.attacked import ROLES, conduct_table_models, make_cases, plan_table_models
from sites.crafted import CraftedStudy
from sites.kernel_site import open_site

from common.messages.catalogue import Operation

KERNELS = {"a": ("Haswell", 1), "b": ("Nehalem", 2)}


class KernelStudy(CraftedStudy):
    """Two of whose sites are processes of their own."""

    remote: dict[str, object]

    def start(self, name, cases, state=None):
        return self.remote[name] if name in self.remote else super().start(name, cases, state)


@pytest.mark.slow
def test_a_study_is_admitted_under_two_kernels_and_thread_counts(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: None)
    plan = plan_table_models(ROLES)
    study = KernelStudy(plan, tmp_path)
    seeds = {name: seed for seed, name in enumerate(ROLES)}
    sites = {name: open_site(tmp_path, (name, seeds[name]), *KERNELS[name]) for name in KERNELS}
    with sites["a"] as first, sites["b"] as second:
        study.remote = {"a": first, "b": second}
        exchange = study.open({name: make_cases(seed) for name, seed in seeds.items()})
        conduct_table_models(exchange, study.run)

    assert {reply.header.code for _, reply in study.answers} == {"OK"}
    asked = {heard.request.header.operation for heard, _ in study.answers}
    assert asked >= {
        Operation.NEWTON,
        Operation.RIDGE,
        Operation.SCORE,
        Operation.CALIBRATE,
        Operation.COMPARE,
    }
