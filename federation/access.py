"""Who may do what. Pages, buttons, the API, the admin and websockets all ask here. Nothing here uses the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

VIEWERS = "viewers"  # the group whose members see everything and change nothing
RECENT = timedelta(minutes=10)  # how long an entered password is valid for administrative acts


class Act(StrEnum):
    """What somebody may want to do. Templates use the values: {% if may.invite %}."""

    SEE = "see"
    OWN_ACCOUNT = "own_account"
    STEER_SESSIONS = "steer_sessions"
    MANAGE_CLIENTS = "manage_clients"
    TAG_MODELS = "tag_models"
    MANAGE_ALERTS = "manage_alerts"
    OWN_KEYS = "own_keys"
    DELETE_SESSIONS = "delete_sessions"
    REISSUE_TOKENS = "reissue_tokens"
    REMOVE_CLIENTS = "remove_clients"
    INVITE = "invite"
    TAG_PRODUCTION = "tag_production"
    SET_WEBHOOKS = "set_webhooks"
    MANAGE_PEOPLE = "manage_people"


WORDS = {
    Act.SEE: "see this",
    Act.OWN_ACCOUNT: "change this account",
    Act.STEER_SESSIONS: "launch or steer sessions",
    Act.MANAGE_CLIENTS: "change clients",
    Act.TAG_MODELS: "tag models or change their notes",
    Act.MANAGE_ALERTS: "change alerts and their rules",
    Act.OWN_KEYS: "make or revoke API keys",
    Act.DELETE_SESSIONS: "delete sessions",
    Act.REISSUE_TOKENS: "give a client a new token",
    Act.REMOVE_CLIENTS: "remove clients",
    Act.INVITE: "make or revoke invitations",
    Act.TAG_PRODUCTION: "decide which model is in production",
    Act.SET_WEBHOOKS: "change or use a rule with a webhook",
    Act.MANAGE_PEOPLE: "manage other people, their API keys and their sign-ins",
}
FOR_EVERYBODY = frozenset({Act.SEE, Act.OWN_ACCOUNT})
# They hand over an identity, destroy records or admit others. They need staff and the password again.
ADMINISTRATIVE = frozenset(
    {
        Act.DELETE_SESSIONS,
        Act.REISSUE_TOKENS,
        Act.REMOVE_CLIENTS,
        Act.INVITE,
        Act.TAG_PRODUCTION,
        Act.SET_WEBHOOKS,
        Act.MANAGE_PEOPLE,
    }
)


@dataclass(frozen=True, slots=True)
class Caller:
    """What decides about somebody who signed in or sent an API key.

    by_key: an API key acts for the user. may_administer: it was made for administrative acts, too.
    """

    is_staff: bool
    is_viewer: bool
    by_key: bool = False
    may_administer: bool = False


def allowed(caller: Caller, act: Act) -> bool:
    """Whether somebody may do this. Membership of the viewers comes first."""
    if act in FOR_EVERYBODY:
        return True
    if caller.is_viewer:
        return False
    if act in ADMINISTRATIVE:
        return caller.is_staff and (caller.may_administer or not caller.by_key)
    return True


def refusal(caller: Caller, act: Act) -> str:
    """Why somebody may not do this, and who can."""
    if caller.is_viewer:
        return f"This account is in the group {VIEWERS}: it sees everything and changes nothing."
    if not caller.is_staff:
        return f"Only staff may {WORDS[act]}. Ask an administrator of this server."
    return f"This API key may not {WORDS[act]}. Make one with *May administer* on the page *API keys*."


def is_recent(entered: datetime | None, now: datetime) -> bool:
    """Whether a password was entered lately enough for an administrative act."""
    return entered is not None and timedelta(0) <= now - entered < RECENT
