"""People as `federation.access` sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef

from federation import access
from federation.access import Caller

if TYPE_CHECKING:
    from federation.models import ApiKey

IS_VIEWER = "is_viewer"  # an annotation that saves a query


def name_of(by: User | None) -> str:
    """How events name who acted. Empty for nobody: the server itself, or a script of old."""
    return by.get_username() if by else ""


def is_viewer(user: str = "pk") -> Exists:
    """For `annotate`: whether a row's user is a viewer. user: the path to the user's key."""
    members = User.groups.through.objects.filter(user=OuterRef(user), group__name=access.VIEWERS)
    return Exists(members)


def caller(user: User, key: ApiKey | None = None) -> Caller:
    """Who acts: a person, or an API key of a person. One query, or none if the user was annotated."""
    known = getattr(user, IS_VIEWER, None)
    viewer = user.groups.filter(name=access.VIEWERS).exists() if known is None else bool(known)
    may_administer = key is not None and key.may_administer
    return Caller(bool(user.is_staff), viewer, by_key=key is not None, may_administer=may_administer)
