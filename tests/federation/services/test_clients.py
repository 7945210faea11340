from datetime import timedelta

import pytest
from django.db.models.signals import pre_save

from federation.errors import Conflict, Forbidden, Invalid, Unauthorized
from federation.lifecycle import SeatStatus
from federation.models import Client, Invitation, ServerEvent
from federation.services import clients
from federation.services.clients import enrolling, invitations
from tests.federation.cast import at_once, kinds, seat_of, send, server_kinds, settle, token_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def join(now):
    """An agent asks to be let in."""

    def join(code, name="anna", token=None, info=None, at=now):
        return clients.enroll(join_code=code, name=name, info=info or {}, token=token, now=at)

    return join


def used():
    return Invitation.objects.get().used


# ---- enrolling


def test_a_client_gets_a_token_that_is_kept_only_as_a_hash(invite, join, now):
    client, token = join(invite())
    assert clients.authenticate(token, now=now) == client
    assert token not in str(vars(Client.objects.get()))
    assert server_kinds() == ["client.enrolled"]


def test_a_client_is_online_from_its_enrolment_on(invite, join, now):
    client, _ = join(invite())
    assert client.is_online(now) and list(Client.objects.online(now)) == [client]


def test_a_code_may_be_typed_in_small_letters_with_spaces(invite, join):
    code = invite()
    assert join(code.lower().replace("-", " "))[0].name == "anna"


def test_an_unknown_code_is_refused(invite, join):
    invite()
    with pytest.raises(Forbidden, match="not known"):
        join("AAAA-AAAA-AAAA-AAAA")
    assert used() == 0


def test_a_used_up_code_is_refused(invite, join):
    code = invite(uses=1)
    join(code)
    with pytest.raises(Forbidden, match="used up"):
        join(code, "ben")


def test_an_expired_code_is_refused(invite, join, now):
    code = invite(expires_in_seconds=60)
    with pytest.raises(Forbidden, match="expired"):
        join(code, at=now + timedelta(seconds=60))
    assert join(code, at=now + timedelta(seconds=59))


def test_a_revoked_code_is_refused(invite, join, now):
    code = invite()
    invitations.revoke(Invitation.objects.get(), now=now)
    with pytest.raises(Forbidden, match="revoked"):
        join(code)


@pytest.mark.parametrize("name", ["anna", "ANNA", "Anna ", " anna"])
def test_a_taken_name_is_refused_in_any_case_and_uses_nothing_up(invite, join, name):
    code = invite(uses=2)
    join(code)
    with pytest.raises(Conflict, match=r"taken.*\*New token\* on the client's page"):
        join(code, name)
    assert used() == 1
    assert join(code, "ben")[0].name == "ben"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "a" * 65,
        "-anna",
        "an\nna\x00",
        "a/b",
        "<script>",
        "anna;",
        "an\u202ena",
        "an\u200bna",
        "an\u2066na",
        "\ud800",
        "\u0301a",
        "\U0001d15e" * 64,
    ],
)
def test_a_name_that_cannot_be_is_refused(invite, join, name):
    code = invite()
    with pytest.raises(Invalid) as refused:
        join(code, name)
    assert [field for field, _ in refused.value.errors] == ["name"]
    assert used() == 0


@pytest.mark.parametrize(
    "name", ["anna", "Klinik Süd 2", "site.a@example+b-c", "東京", "x" * 64, "हिन्दी", "ไทย", "தமிழ்", "বাংলা", "_a"]
)
def test_names_of_all_languages_are_welcome(invite, join, name):
    assert join(invite(), name)[0].name == name


@pytest.mark.parametrize("pair", [("Zürich", "ZÜRICH"), ("Straße", "STRASSE"), ("ΑΘΗΝΑ", "αθηνα"), ("Ёлка", "ёлка")])
def test_names_that_differ_by_case_alone_are_the_same_in_every_script(invite, join, pair):
    code = invite(uses=2)
    join(code, pair[0])
    with pytest.raises(Conflict, match="taken"):
        join(code, pair[1])
    assert used() == 1


@pytest.mark.parametrize("alike", ["аnna", "ann\u0430", "\u0430nn\u0430", "ａｎｎａ", "ANNΑ"])
def test_a_name_that_looks_like_another_may_join_and_is_told(invite, join, alike):
    code = invite(uses=3)
    join(code, "anna")
    join(code, alike)
    assert ServerEvent.objects.latest("seq").payload["looks_like"] == ["anna"]
    join(code, "ben")
    assert "looks_like" not in ServerEvent.objects.latest("seq").payload


def test_a_name_is_kept_in_one_way_of_writing_its_letters(invite, join):
    code = invite(uses=2)
    assert join(code, "Zu\u0308rich")[0].name == "Z\u00fcrich"
    with pytest.raises(Conflict, match="taken"):
        join(code, "Z\u00fcrich")


@pytest.mark.parametrize("token", ["", "short", "A" * 64, "0" * 63, "g" * 64])
def test_a_token_of_its_own_must_be_32_bytes_in_hexadecimal(invite, join, token):
    with pytest.raises(Invalid, match="64 lower-case hexadecimal"):
        join(invite(), token=token)


def test_the_same_code_name_and_token_again_is_the_same_client(invite, join, now):
    code, token = invite(uses=1), token_of("anna")
    first, _ = join(code, token=token)
    again, same_token = join(code, token=token, at=now + timedelta(days=400))
    assert (again, same_token) == (first, token)
    assert used() == 1 and server_kinds() == ["client.enrolled"]


def test_the_same_name_with_another_token_is_refused(invite, join):
    code = invite(uses=2)
    join(code, token=token_of("anna"))
    with pytest.raises(Conflict, match="taken"):
        join(code, token=token_of("somebody else"))


def test_a_token_that_belongs_to_another_client_is_refused(invite, join):
    code = invite(uses=2)
    join(code, "anna", token=token_of("anna"))
    with pytest.raises(Conflict, match="token"):
        join(code, "ben", token=token_of("anna"))
    assert used() == 1


@pytest.fixture
def faster(now):
    """Each of the first times that a client is about to be stored, somebody else is, under the same number."""
    times = []

    def store(instance, **_):
        times.append(instance.ordinal)
        if len(times) <= enrolling.ENROL_TRIES:
            other = Client(name="ben", name_key="ben", token_hash="b", ordinal=instance.ordinal, enrolled_at=now)
            Client.objects.bulk_create([other])

    pre_save.connect(store, sender=Client)
    yield times
    pre_save.disconnect(store, sender=Client)


def test_who_finds_others_faster_again_and_again_is_asked_to_come_back_and_uses_nothing_up(invite, join, faster):
    code = invite(uses=1)
    with pytest.raises(Conflict, match=r"Too many clients are enrolling at this moment\. Try again\."):
        join(code)
    assert faster == [1] * enrolling.ENROL_TRIES
    assert used() == 0 and server_kinds() == [] and not Client.objects.exists()
    assert join(code)[0].ordinal == 1


@pytest.mark.parametrize("info, expected", [({}, None), ({"num_examples": 7}, 7), ({"num_examples": True}, None),
                                            ({"num_examples": -1}, None), ({"num_examples": "many"}, None),
                                            ({"num_examples": 10**13}, None)])  # fmt: skip
def test_the_number_of_examples_is_taken_from_info_where_it_is_one(invite, join, info, expected):
    assert join(invite(), info=info)[0].num_examples == expected


def test_clients_are_numbered_in_the_order_of_their_enrolment(enrol):
    assert [client.ordinal for client in enrol("zoe", "anna", "ben")] == [1, 2, 3]


@pytest.mark.django_db(transaction=True)
def test_a_code_for_one_lets_one_in_of_many_who_ask_at_once(invite, join):
    code = invite(uses=1)
    results = at_once(*[lambda name=name: join(code, name) for name in ("anna", "ben", "carl")])
    assert sum(isinstance(result, Forbidden) for result in results) == 2
    assert Client.objects.count() == used() == 1


@pytest.mark.django_db(transaction=True)
def test_one_of_two_who_ask_for_a_name_at_once_gets_it(invite, join):
    results = at_once(lambda: join(invite(), "anna"), lambda: join(invite(), "Anna"))
    assert sum(isinstance(result, Conflict) for result in results) == 1
    assert Client.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_all_who_come_at_once_by_codes_of_their_own_are_let_in(invite, join):
    names = ["anna", "ben", "carl", "dora"]
    codes = {name: invite() for name in names}
    results = at_once(*[lambda name=name: join(codes[name], name) for name in names])
    assert [result for result in results if isinstance(result, Exception)] == []
    assert sorted(Client.objects.values_list("ordinal", flat=True)) == [1, 2, 3, 4]


# ---- calling


def test_a_wrong_token_is_refused(enrol, now):
    enrol("anna")
    with pytest.raises(Unauthorized):
        clients.authenticate(token_of("mallory"), now=now)


def test_a_disabled_client_is_told_so(enrol, now):
    (anna,) = enrol("anna")
    clients.set_enabled(anna, False, by="alice")
    with pytest.raises(Forbidden, match="anna is disabled"):
        clients.authenticate(token_of("anna"), now=now)


def test_a_removed_clients_token_is_good_for_nothing(enrol, now):
    (anna,) = enrol("anna")
    clients.remove(anna, by="alice", now=now)
    with pytest.raises(Unauthorized):
        clients.authenticate(token_of("anna"), now=now)


def test_last_seen_is_written_at_most_every_ten_seconds(enrol, now):
    enrol("anna")
    for seconds, noted in [(9, 0), (11, 11), (20, 11), (21, 21)]:
        clients.authenticate(token_of("anna"), now=now + timedelta(seconds=seconds))
        assert Client.objects.get().last_seen == now + timedelta(seconds=noted)


def test_last_seen_is_written_more_often_where_clients_go_offline_sooner(enrol, now, settings):
    settings.FL_ONLINE = timedelta(seconds=3)
    enrol("anna")
    clients.authenticate(token_of("anna"), now=now + timedelta(seconds=1))
    assert Client.objects.get().last_seen == now + timedelta(seconds=1)


def test_a_client_is_offline_when_nothing_was_heard_of_it_for_45_seconds(enrol, now):
    (anna,) = enrol("anna")
    assert anna.is_online(now + timedelta(seconds=44)) and not anna.is_online(now + timedelta(seconds=45))
    assert not Client.objects.online(now + timedelta(seconds=45)).exists()


def test_going_and_coming_back_are_logged_once_each(enrol, now):
    (anna,) = enrol("anna")
    later = now + timedelta(seconds=60)
    clients.announce_offline(now=now)
    clients.announce_offline(now=later)
    clients.announce_offline(now=later)
    back = clients.authenticate(token_of("anna"), now=later)
    assert back.came_back
    assert not clients.authenticate(token_of("anna"), now=later).came_back
    assert server_kinds() == ["client.enrolled", "client.offline", "client.online"]


def test_going_offline_takes_no_seat_away(open_round, now):
    open_round("anna")
    clients.announce_offline(now=now + timedelta(seconds=60))
    assert seat_of("anna").status == SeatStatus.INVITED


# ---- leaving, disabling, removing


def test_who_leaves_is_offline_until_its_next_call(enrol, now):
    (anna,) = enrol("anna")
    clients.leave(anna)
    assert not Client.objects.online(now).exists()
    assert clients.authenticate(token_of("anna"), now=now).came_back
    assert Client.objects.online(now).exists()
    assert server_kinds() == ["client.enrolled", "client.left", "client.online"]


@pytest.mark.parametrize(
    "away", [clients.leave, lambda anna: clients.set_enabled(anna, False, by="alice")], ids=["leaving", "disabling"]
)
def test_an_open_seat_is_dropped_at_once(open_round, now, away):
    session = open_round("anna", "ben", quorum=1).session
    send("ben", now=now)
    away(Client.objects.get(name="anna"))
    assert seat_of("anna").status == SeatStatus.DROPPED and seat_of("anna").reason
    assert kinds(session)[-1] == "seat.dropped"
    assert settle(session, now=now).last_model().version == 1


def test_no_other_seat_is_dropped(open_round):
    round_ = open_round("anna", "ben", "carl")
    clients.leave(Client.objects.get(name="anna"))
    clients.set_enabled(Client.objects.get(name="ben"), False, by="alice")
    statuses = dict(round_.seats.values_list("client__name", "status"))
    assert statuses == {"anna": SeatStatus.DROPPED, "ben": SeatStatus.DROPPED, "carl": SeatStatus.INVITED}


def test_removing_drops_the_open_seat_and_frees_the_name(open_round, enrol, now):
    session = open_round("anna", "ben", quorum=1).session
    anna = Client.objects.get(name="anna")
    clients.remove(anna, by="alice", now=now)
    anna.refresh_from_db()
    assert seat_of("anna").status == SeatStatus.DROPPED
    assert [client.name for client in Client.objects.enrolled()] == ["ben"]
    assert session.round_set.get().seats.count() == 2
    enrol("anna")
    assert Client.objects.filter(name="anna").count() == 2


def test_an_update_that_was_accepted_counts_though_its_client_left(open_round, now):
    session = open_round("anna", "ben").session
    send("anna", now=now)
    clients.leave(Client.objects.get(name="anna"))
    send("ben", now=now)
    settle(session, now=now)
    assert seat_of("anna").status == SeatStatus.AGGREGATED


def test_disabling_twice_is_logged_once(enrol):
    (anna,) = enrol("anna")
    for enabled in (False, False, True, True):
        clients.set_enabled(anna, enabled, by="alice")
    assert server_kinds() == ["client.enrolled", "client.disabled", "client.enabled"]
    assert ServerEvent.objects.latest("seq").payload["by"] == "alice"


def test_a_disabled_client_is_not_asked(enrol, running, now):
    anna, _ = enrol("anna", "ben")
    clients.set_enabled(anna, False, by="alice")
    session = settle(running(), now=now)
    assert [seat.client.name for seat in session.active_round().seats.all()] == ["ben"]


def test_removing_twice_is_logged_once(enrol, now):
    (anna,) = enrol("anna")
    for _ in range(2):
        clients.remove(Client.objects.get(pk=anna.pk), by="alice", now=now)
    assert server_kinds() == ["client.enrolled", "client.disabled", "client.left"]


def test_a_poll_that_outlives_its_clients_removal_says_nothing(enrol, now):
    """A held poll notes a sign of life from time to time, with the client as it was when it began."""
    (anna,) = enrol("anna")
    clients.remove(Client.objects.get(), by="alice", now=now)
    clients.touch(anna, now=now + timedelta(seconds=15))
    assert server_kinds()[-1] == "client.left"
    assert Client.objects.get().last_seen is None
