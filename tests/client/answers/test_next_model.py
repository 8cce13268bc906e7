"""The next model at a site: a coordinator's weight must be possible, stay the same, and be the proved one."""

from __future__ import annotations

import numpy as np
import pytest

from client.answers.next_model import ModelDeriver
from common.hiding.next_weights import derive_weights, list_returned, make_stepper
from common.hiding.phases import name_training_phase
from common.secagg.codes import SecAggError
from common.secagg.site.rules import OpenedRound
from common.secagg.wire.messages import RoundRequest
from tests.common.hiding.test_next_weights import LAYOUT, PATIENTS, open_round, plan_of

WEIGHTS = np.linspace(0, 1, LAYOUT.size, dtype=np.float32)
TOTAL = sum(PATIENTS)
ADAM = {"server_optimiser": "adam", "server_learning_rate": 0.1}


def an_opened_round(plan, weight=TOTAL, earlier=None, memory=b"", number=1):
    sums = open_round(plan, 1)
    phase = name_training_phase(plan, plan.networks[0], plan.all_arms()[0])
    request = RoundRequest.model_construct(phase=phase, round=number)
    told = {name: sums[name] for name in list_returned(plan, LAYOUT)}
    return OpenedRound(request, told, weight, earlier, memoryview(WEIGHTS.tobytes()), memory)


def derive(plan, opened, known=None):
    pieces = []
    memory = ModelDeriver(plan, lambda _: LAYOUT, lambda _: known)(
        opened, lambda piece: pieces.append(bytes(piece))
    )
    return b"".join(pieces), memory


@pytest.mark.parametrize(("weight", "earlier", "known"), [(TOTAL, None, None), (TOTAL, TOTAL, TOTAL)])
def test_the_mean_is_written(weight, earlier, known):
    plan = plan_of({})
    opened = an_opened_round(plan, weight, earlier)

    written, memory = derive(plan, opened, known)

    expected = np.concatenate(list(derive_weights((plan, LAYOUT, None), opened.sums, TOTAL, WEIGHTS)))
    assert written == expected.tobytes()
    assert memory == b""


def test_the_optimiser_goes_on_from_its_memory():
    plan = plan_of(ADAM)
    _, memory = derive(plan, an_opened_round(plan))
    first, again = (derive(plan, an_opened_round(plan, memory=memory, number=2)) for _ in range(2))
    stepper = make_stepper(plan, LAYOUT)

    for _ in range(2):
        steps = list(derive_weights((plan, LAYOUT, stepper), an_opened_round(plan).sums, TOTAL, WEIGHTS))

    assert first == again
    assert first[0] == np.concatenate(steps).tobytes()
    assert derive(plan, an_opened_round(plan))[0] != first[0]
    with pytest.raises(SecAggError, match="is gone") as refused:
        derive(plan, an_opened_round(plan, number=2))
    assert refused.value.code == "E_STATE_CORRUPT"


@pytest.mark.parametrize(
    ("weight", "earlier", "known"),
    [
        (0, None, None),
        (TOTAL + 1, TOTAL, None),
        (TOTAL, None, TOTAL - 1),
        (3 * 10_000 + 1, None, None),
    ],
)
def test_a_weight_that_is_not_the_sites_is_refused(weight, earlier, known):
    plan = plan_of({}, largest_site=10_000)

    with pytest.raises(SecAggError, match="not the sites'") as refused:
        derive(plan, an_opened_round(plan, weight, earlier), known)
    assert refused.value.code == "E_NOT_THE_PLAN"


def test_where_the_weight_is_of_each_round_the_sum_says_it():
    plan = plan_of({}, weights="per-round")

    assert derive(plan, an_opened_round(plan, 0))[0] == derive(plan, an_opened_round(plan, TOTAL))[0]
    with pytest.raises(SecAggError, match="not the sites'"):
        derive(plan, an_opened_round(plan, TOTAL + 1))
    with pytest.raises(SecAggError, match="not the sites'"):
        derive(plan, an_opened_round(plan, 0), TOTAL + 1)


@pytest.mark.parametrize(
    ("weight", "earlier", "known", "is_allowed"),
    [
        (3, None, 3, True),
        (3, 3, 3, True),
        (2, None, 3, False),
        (3, None, 2, False),
        (3, None, None, False),
        # A training that began before the number of sites was asked for goes on as it began
        (3, 3, None, True),
        (2, 3, None, False),
    ],
)
def test_equal_sites_divide_by_their_proved_number(weight, earlier, known, is_allowed):
    plan = plan_of({}, weights="equal")
    opened = an_opened_round(plan, weight, earlier)

    if is_allowed:
        written, _ = derive(plan, opened, known)
        expected = np.concatenate(list(derive_weights((plan, LAYOUT, None), opened.sums, 3, WEIGHTS)))
        assert written == expected.tobytes()
    else:
        with pytest.raises(SecAggError) as refused:
            derive(plan, opened, known)
        assert refused.value.code == "E_NOT_THE_PLAN"
