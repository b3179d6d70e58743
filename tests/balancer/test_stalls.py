"""When moves, and what holds them up, have lasted for too long."""

from __future__ import annotations

from kafka_facade.core.balancer.stalls import Ground, Patience, Stand, StepClock, ground_after, stand_after

_LIMIT = 600.0


def _stand(*looks: int | None) -> Stand:
    """The stand of a move after looks at 0, 1, 2 and so on."""
    stand = None
    for now, lacking in enumerate(looks):
        stand = stand_after(stand, lacking, now)
    assert stand is not None
    return stand


def test_a_move_that_lacks_less_at_each_look_makes_progress() -> None:
    assert _stand(9, 8, 7) == Stand(7, 2)


def test_a_move_that_was_set_back_makes_progress_again() -> None:
    """Records were written in a burst, another replica leads, or the new one has lost its disk."""
    assert _stand(500, 100, 900, 800, 700) == Stand(700, 4)


def test_a_partition_that_is_written_faster_than_it_is_copied_makes_no_progress() -> None:
    assert _stand(500, 400, 450, 500, 550) == Stand(550, 1)


def test_a_move_that_nobody_tells_of_makes_no_progress() -> None:
    assert _stand(None, None, None).since == 0
    assert _stand(None, 9, None, None) == Stand(9, 1)
    assert _stand(9, 8, None, 8) == Stand(8, 1)


def _ground(*looks: int | None) -> Ground:
    """The ground of a move after looks at 0, 1, 2 and so on."""
    ground = None
    for now, lacking in enumerate(looks):
        ground = ground_after(ground, lacking, now)
    assert ground is not None
    return ground


def test_a_move_that_begins_anew_again_and_again_does_not_end() -> None:
    """Retention deletes what has not been copied yet."""
    teeth = [1000, 700, 400, 100] * 6
    ground = _ground(*teeth)
    assert (ground.least, ground.losses) == (100, 5)
    assert _stand(*teeth).since == len(teeth) - 1
    assert not ground.is_lost(len(teeth), 4)
    assert ground.is_lost(len(teeth), 3)


def test_a_move_that_lost_ground_once_has_time() -> None:
    """However long the loss lasted, and however long it takes to get it back."""
    ground = _ground(900, 100, *range(200, 20_000, 100), *range(20_000, 200, -100))
    assert ground.losses == 1
    assert not ground.is_lost(1e9, 1)
    assert _ground(900, 100, 800, None, 94) == Ground(94, 4, last=94)


class _Time:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def _steps(time: _Time, clock: StepClock, count: int, seconds: float) -> None:
    for _ in range(count):
        time.seconds += seconds
        clock.step()


def test_what_lasts_for_the_limit_is_over() -> None:
    time = _Time()
    clock = StepClock(_LIMIT, time)
    patience = Patience(_LIMIT, clock.now)
    assert not patience.is_over()
    _steps(time, clock, 120, 5)
    assert not patience.is_over()
    _steps(time, clock, 1, 5)
    assert patience.is_over()
    patience.end()
    assert not patience.is_over()


def test_time_without_steps_hardly_counts() -> None:
    """Kafka was away for longer than the limit."""
    time = _Time()
    clock = StepClock(_LIMIT, time)
    patience = Patience(_LIMIT, clock.now)
    assert not patience.is_over()
    _steps(time, clock, 1, 10 * _LIMIT)
    assert not patience.is_over()
    _steps(time, clock, 117, 5)
    assert not patience.is_over()
    _steps(time, clock, 2, 5)
    assert patience.is_over()


def test_slow_steps_do_not_end_a_short_limit_early() -> None:
    time = _Time()
    clock = StepClock(4, time)
    patience = Patience(4, clock.now)
    assert not patience.is_over()
    _steps(time, clock, 4, 60)
    assert not patience.is_over()
    _steps(time, clock, 1, 60)
    assert patience.is_over()
