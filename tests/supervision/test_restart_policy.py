"""When to give up: pure decisions over times."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import FINAL
from appliance.supervision.supervisor import RestartPolicy

gaps = st.lists(st.floats(0, 200), max_size=60)
codes = st.one_of(st.none(), st.integers(0, 255).filter(lambda code: code not in FINAL))


@given(gaps, codes)
def test_it_gives_up_exactly_when_so_many_ends_fall_into_the_window(
    pauses: list[float], code: int | None
) -> None:
    policy, now, ends = RestartPolicy(limit=5, window_s=60), 0.0, []
    for pause in pauses:
        now += pause
        ends.append(now)
        recent = [end for end in ends if end > now - 60]
        assert policy.gives_up("api", code, now) == (len(recent) >= 5)


@given(gaps)
def test_a_final_exit_code_gives_up_at_once(pauses: list[float]) -> None:
    policy, now = RestartPolicy(), 0.0
    for pause in pauses:
        now += pause
        assert policy.gives_up("api", min(FINAL), now)


@given(st.lists(st.sampled_from(["postgres", "api", "agent"]), max_size=30))
def test_each_program_is_counted_for_itself(names: list[str]) -> None:
    policy, counts = RestartPolicy(limit=4), dict.fromkeys(names, 0)
    for number, name in enumerate(names):
        counts[name] += 1
        assert policy.gives_up(name, 1, number / 1000) == (counts[name] >= 4)


@given(st.integers(61, 10_000))
def test_a_program_that_dies_once_in_a_window_is_started_for_ever(pause: int) -> None:
    policy = RestartPolicy(limit=2, window_s=60)
    assert not any(policy.gives_up("api", None, float(n * pause)) for n in range(50))
