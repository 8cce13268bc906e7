"""The text format of Prometheus, read back by a strict parser of its rules."""

from __future__ import annotations

import math

import pytest
from studies.metrics_text import read_exposition

from common.runtime.watch.exposition import MetricFamily, Sample, gauge_of, write_exposition


def test_every_metric_has_help_type_and_numbers():
    metrics = [
        gauge_of("rhe_disk_free_bytes", "Free\nspace \\ here.", 71_612_874_752),
        MetricFamily("rhe_messages_total", "Messages.", (Sample(3, {}),), "counter"),
        gauge_of("rhe_loss", "Loss.", 0.25, model='a "b"\\', arm="line\nbreak"),
        gauge_of("rhe_unknown", "Nobody knows.", None),
    ]

    read = read_exposition(write_exposition(metrics))

    assert read == {
        "rhe_disk_free_bytes": ("gauge", {(): 71_612_874_752.0}),
        "rhe_messages_total": ("counter", {(): 3.0}),
        "rhe_loss": ("gauge", {(("arm", "line\nbreak"), ("model", 'a "b"\\')): 0.25}),
    }


@pytest.mark.parametrize(("value", "written"), [(math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "-Inf")])
def test_numbers_that_are_none_have_their_own_words(value, written):
    assert write_exposition([gauge_of("rhe_x", "X.", value)]).splitlines()[-1] == f"rhe_x {written}"


@pytest.mark.parametrize(
    ("name", "kind"), [("Rhe_x", "gauge"), ("rhe-x", "gauge"), ("rhe_x", "counter"), ("rhe_x_total", "gauge")]
)
def test_a_name_against_the_convention_cannot_be_made(name, kind):
    with pytest.raises(ValueError, match="is no name"):
        MetricFamily(name, "X.", (), kind)
