"""Whatever order messages come in, twice or never: the right sum or a named error, and never a wrong one."""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from secagg.world import World, check_sums

from common.errors import RheError
from common.secagg.codes import SecAggError

SITES = [1, 2, 3, 4]
CODES = {"E_MIN", "E_SET_CHANGE", "E_SET_INCOMPLETE", "E_ATTEMPTS"}

steps = st.lists(
    st.sampled_from(
        ["deliver", "deliver", "deliver", "lose answer", "twice", "old", "proceed", "retry", "restart"]
    ),
    max_size=40,
)


@contextmanager
def allowing(*codes):
    """Lets these refusals pass, and no other."""
    try:
        yield
    except RheError as refused:
        if refused.code not in codes:
            raise


class Chaos:
    """A network that loses, repeats and reorders, and a server that restarts."""

    def __init__(self, folder, draw):
        self.world = World(folder, len(SITES))
        self.server = self.world.round()
        self.draw = draw
        self.sent, self.answers = [], []

    def act(self, action):
        if action == "proceed" and self.server.stage in {"joining", "collecting"}:
            self.server.proceed()
        elif action == "retry" and self.server.stage == "collecting":
            self.server.retry()
        elif action == "restart":
            self.server = self.world.round()
        elif action == "old" and self.answers:
            self.receive(*self.draw(st.sampled_from(self.answers)))
        elif action in {"deliver", "lose answer", "twice"} and self.server.make_requests():
            name, message = self.draw(st.sampled_from(sorted(self.server.make_requests().items())))
            answer = self.world.handle(name, message)
            self.answers.append((name, answer))
            for _ in range({"deliver": 1, "lose answer": 0, "twice": 2}[action]):
                self.receive(name, answer)

    def receive(self, name, answer):
        with allowing("S_CONTEXT", "S_STALE", "E_CONTEXT", "E_ATTEMPTS"):
            self.server.receive(name, answer)

    def finish(self):
        """Everybody is well again."""
        for _ in range(20):
            for name, message in self.server.make_requests().items():
                self.receive(name, self.world.handle(name, message))
            if self.server.stage == "revealing":
                return self.server.open()
            if self.server.list_missing():
                raise SecAggError("", code="E_ATTEMPTS")
            self.server.proceed()
        raise AssertionError("the round goes on for ever")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(steps, st.data())
def test_any_order_ends_in_the_sum_or_a_named_error(actions, data):
    folder = Path(tempfile.mkdtemp())
    try:
        chaos = Chaos(folder, data.draw)
        for action in actions:
            with allowing(*CODES):
                chaos.act(action)
        with allowing(*CODES):
            sums = chaos.finish()
            members = [int(name.removeprefix("centre")) for name in chaos.server.members]
            assert len(members) >= chaos.world.roster.minimum
            check_sums(sums, members)
    finally:
        shutil.rmtree(folder)


PARAMETERS = [b"a", b"bc", b"def"]

session_steps = st.lists(
    st.sampled_from(["deliver", "deliver", "deliver", "lose answer", "twice", "old", "restart"]), max_size=40
)


class SessionChaos(Chaos):
    """The same for a session of three iterations."""

    def __init__(self, folder, draw):
        super().__init__(folder, draw)
        self.server = self.world.session()

    def act(self, action):
        if action == "restart":
            self.server = self.world.session()
        elif self.server.stage in {"joining", "admitting"} and not self.server.list_missing():
            self.server.proceed()
        elif self.server.stage in {"ready", "iterating"}:
            self.run(lambda: super(SessionChaos, self).act(action))
        else:
            super().act(action)

    def run(self, between):
        """The procedure from its beginning, as far as it comes."""
        found = []
        for parameters in PARAMETERS:
            sums = self.server.ask(parameters)
            if sums is None:
                between()
                if self.server.list_missing():
                    break
                sums = self.server.open()
            found.append(sums)
        return found

    def deliver_all(self):
        for name, message in self.server.make_requests().items():
            self.receive(name, self.world.handle(name, message))

    def finish(self):
        while self.server.stage in {"joining", "admitting"}:
            self.deliver_all()
            self.server.proceed()
        return self.run(self.deliver_all)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(session_steps, st.data())
def test_any_order_of_a_session_ends_in_the_sums(actions, data):
    folder = Path(tempfile.mkdtemp())
    try:
        chaos = SessionChaos(folder, data.draw)
        for action in actions:
            chaos.act(action)
        for parameters, sums in zip(PARAMETERS, chaos.finish(), strict=True):
            check_sums(sums, SITES, factor=1 + len(parameters))
    finally:
        shutil.rmtree(folder)
