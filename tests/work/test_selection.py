"""The choice of the node that gives the work: most work wins at once, equals do not drag it to and fro.

By example, and by a machine of random looks compared with what the rules say in plain words.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from solominer.work.events import NodeHealth
from solominer.work.instant import Instant
from solominer.work.selection import NodeChooser
from tests.work.builders import T0, WALL, health

RETURN_SECS = 30.0


def chooser(*names: str) -> NodeChooser:
    """A chooser over nodes in order of preference."""
    return NodeChooser(names, RETURN_SECS)


def gone(node: str) -> NodeHealth:
    """A look at a node that could not be reached."""
    return health(node, reachable=False, work=0)


def test_the_first_usable_node_gives_the_work() -> None:
    nodes = chooser("a", "b")
    assert nodes.see(gone("a"), T0) is None
    assert nodes.see(health("b"), T0) == "b"


def test_a_node_with_a_problem_gives_none() -> None:
    nodes = chooser("a")
    assert nodes.see(health("a", problem="it is behind"), T0) is None
    assert nodes.see(health("a"), T0 + 1) == "a"


def test_at_the_start_equals_are_taken_as_they_come_and_the_preferred_one_gets_its_turn() -> None:
    nodes = chooser("a", "b")
    assert nodes.see(health("b"), T0) == "b"
    assert nodes.see(health("a"), T0 + 0.1) == "b", "not yet: a has only just been seen"
    assert nodes.see(health("a"), T0 + 0.1 + RETURN_SECS) == "a"


def test_a_lost_node_is_left_at_once() -> None:
    nodes = chooser("a", "b")
    nodes.see(health("a"), T0)
    nodes.see(health("b"), T0)
    assert nodes.see(gone("a"), T0 + 0.01) == "b"


def test_more_work_wins_at_once_also_against_preference() -> None:
    nodes = chooser("a", "b")
    nodes.see(health("a", work=10), T0)
    assert nodes.see(health("b", work=11), T0) == "b"
    assert nodes.see(health("a", work=11), T0 + 1) == "b"
    assert nodes.see(health("a", work=12), T0 + 2) == "a"


def test_the_preferred_node_gets_the_work_back_only_when_it_has_been_steady() -> None:
    nodes = chooser("a", "b")
    nodes.see(health("a"), T0)
    nodes.see(health("b"), T0)
    nodes.see(gone("a"), T0 + 1)
    assert nodes.see(health("a"), T0 + 2) == "b"
    assert nodes.see(health("a"), T0 + 2 + RETURN_SECS + -0.1) == "b"
    assert nodes.see(health("a"), T0 + 2 + RETURN_SECS) == "a"


def test_one_that_comes_and_goes_does_not_drag_the_work_along() -> None:
    nodes = chooser("a", "b")
    nodes.see(health("b"), T0)
    for turn in range(20):
        at = T0 + turn * RETURN_SECS * 0.9
        assert nodes.see(health("a"), at) == "b"
        assert nodes.see(gone("a"), at + RETURN_SECS * 0.5) == "b"


def test_waiting_for_one_block_less_does_not_count_as_steady() -> None:
    nodes = chooser("a", "b")
    nodes.see(health("b", work=10), T0)
    nodes.see(health("a", work=9), T0)
    assert nodes.see(health("a", work=10), T0 + 2 * RETURN_SECS) == "b"
    assert nodes.see(health("a", work=10), T0 + 3 * RETURN_SECS) == "a"


def test_when_all_are_gone_there_is_none_and_the_first_back_is_taken() -> None:
    nodes = chooser("a", "b")
    nodes.see(health("a"), T0)
    nodes.see(health("b"), T0)
    nodes.see(gone("a"), T0 + 1)
    assert nodes.see(gone("b"), T0 + 1) is None
    assert nodes.see(health("b"), T0 + 2) == "b"


def test_a_steadier_node_of_less_preference_does_not_take_the_work() -> None:
    nodes = chooser("a", "b", "c")
    nodes.see(health("c"), T0)
    nodes.see(health("b"), T0)
    nodes.see(health("a"), T0 + RETURN_SECS + -1)
    assert nodes.see(gone("c"), T0 + RETURN_SECS + -1) == "a"
    assert nodes.see(health("b"), T0 + 2 * RETURN_SECS + -2) == "a"


def test_a_clock_that_is_set_back_does_not_keep_the_preferred_node_waiting() -> None:
    nodes = chooser("a", "b")
    nodes.see(health("b"), T0)
    nodes.see(health("a"), T0)
    set_back = Instant(WALL - 7200, T0.mono)
    assert nodes.see(health("a"), set_back + RETURN_SECS) == "a"


NAMES = ("a", "b", "c")


class Choices(RuleBasedStateMachine):
    """Random looks, and the rules in plain words."""

    @initialize()
    def begin(self) -> None:
        self.at = T0
        self.nodes = chooser(*NAMES)
        self.last: dict[str, NodeHealth] = {}
        self.level_since: dict[str, Instant] = {}
        self.before: str | None = None
        self.now: str | None = None

    @rule(
        name=st.sampled_from(NAMES),
        work=st.integers(1, 3),
        trouble=st.sampled_from(["", "", "", "behind", "gone"]),
        secs=st.sampled_from([0.0, 0.5, 10.0, 31.0]),
    )
    def look(self, name: str, work: int, trouble: str, secs: float) -> None:
        self.at += secs
        seen = gone(name) if trouble == "gone" else health(name, work=work, problem=trouble)
        self.before, self.now = self.now, self.nodes.see(seen, self.at)
        self.last[name] = seen
        usable = {each: look for each, look in self.last.items() if look.usable}
        most = max((look.chainwork for look in usable.values()), default=0)
        level = [each for each in NAMES if each in usable and usable[each].chainwork == most]
        self.level_since = {each: self.level_since.get(each, self.at) for each in level}

    @invariant()
    def the_choice_is_one_with_most_work(self) -> None:
        assert (self.now is None) == (not self.level_since)
        assert self.now is None or self.now in self.level_since

    @invariant()
    def no_change_without_a_reason(self) -> None:
        if self.now == self.before or self.before is None or self.before not in self.level_since:
            return
        assert self.now is not None
        assert NAMES.index(self.now) < NAMES.index(self.before), "among equals only towards the preferred one"
        assert self.at - self.level_since[self.now] >= RETURN_SECS, "and only when it has been steady"

    @invariant()
    def the_steady_preferred_one_is_not_kept_waiting(self) -> None:
        steady = [name for name in self.level_since if self.at - self.level_since[name] >= RETURN_SECS]
        if steady and self.now is not None:
            assert NAMES.index(self.now) <= NAMES.index(steady[0])


TestChoices = Choices.TestCase
TestChoices.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
