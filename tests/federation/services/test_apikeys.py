from federation.models import ApiKey
from federation.services import apikeys


def test_a_key_speaks_for_its_user_and_is_kept_only_as_a_hash(alice):
    key, secret = apikeys.create(alice)
    key.refresh_from_db()
    assert apikeys.user_of(secret) == alice
    assert secret not in str(vars(key))


def test_an_unknown_key_speaks_for_nobody(alice):
    apikeys.create(alice)
    assert apikeys.user_of("flk_guessed") is None


def test_a_revoked_key_speaks_for_nobody_and_others_of_the_same_user_go_on(alice, now):
    key, secret = apikeys.create(alice)
    _, other = apikeys.create(alice)
    apikeys.revoke(key, now=now)
    assert apikeys.user_of(secret) is None
    assert apikeys.user_of(other) == alice


def test_the_key_of_a_user_who_may_not_sign_in_opens_nothing(alice):
    _, secret = apikeys.create(alice)
    alice.is_active = False
    alice.save(update_fields=["is_active"])
    assert apikeys.user_of(secret) is None


def test_keys_go_with_their_user(alice):
    apikeys.create(alice)
    alice.delete()
    assert not ApiKey.objects.exists()
