"""What is lent goes to whoever asked first, and comes back whatever happens."""

import threading

import pytest

from clientagent.crowd.lending import Closed, Lending


def test_who_asked_first_is_served_first():
    lending = Lending(["only"])
    first, second, third = (lending.ask() for _ in range(3))
    assert first.wait(0) and not second.wait(0) and not third.wait(0)
    first.give_up()
    assert second.thing == "only" and not third.wait(0)
    second.give_up()
    assert third.wait(0)


def test_who_leaves_the_line_is_passed_over():
    lending = Lending([1])
    holder, leaver, last = (lending.ask() for _ in range(3))
    leaver.give_up()
    holder.give_up()
    assert last.thing == 1


def test_a_ticket_that_is_given_up_twice_gives_back_once():
    lending = Lending([1])
    ticket = lending.ask()
    ticket.give_up()
    ticket.give_up()
    first, second = lending.ask(), lending.ask()
    assert first.wait(0) and not second.wait(0)


def test_a_thing_comes_back_from_a_block_that_fails():
    lending = Lending(["thing"])
    with pytest.raises(ValueError), lending.one():
        raise ValueError
    with lending.one() as thing:
        assert thing == "thing"


def test_what_came_back_last_is_lent_first():
    """So that open connections are used again, and others are never opened."""
    lending = Lending([1, 2, 3])
    with lending.one() as first, lending.one():
        pass
    with lending.one() as again:
        assert again == first


def test_who_waits_is_sent_away_when_nothing_is_lent_any_more():
    lending = Lending(["thing"])
    holder, waiting = lending.ask(), lending.ask()
    threading.Timer(0.05, lending.close).start()
    with pytest.raises(Closed):
        waiting.wait(10)
    assert holder.thing == "thing"
    with pytest.raises(Closed), lending.one():
        pass


def test_no_two_threads_have_the_same_thing():
    lending, held, most = Lending([0, 1]), [0, 0], 0
    lock = threading.Lock()

    def use() -> None:
        nonlocal most
        for _ in range(200):
            with lending.one() as thing:
                with lock:
                    held[thing] += 1
                    most = max(most, *held)
                with lock:
                    held[thing] -= 1

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 1 and held == [0, 0]
