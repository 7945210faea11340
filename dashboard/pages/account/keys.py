"""API keys: people make and revoke their own, and staff revoke those of others."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dashboard.kit import parameters, responses
from dashboard.kit.frame import following
from dashboard.kit.signin import Request, caller
from federation import access
from federation.access import Act
from federation.errors import Conflict, Invalid
from federation.models import ApiKey
from federation.services import apikeys


class KeyForm(forms.Form):
    """What a new key is for, how long it is valid, and whether it may administer."""

    name = forms.CharField(
        label="What for", max_length=apikeys.NAME_CHARACTERS, help_text="A name to recognise the key by."
    )
    days = forms.IntegerField(
        label="Days",
        min_value=apikeys.DAYS[0],
        max_value=apikeys.DAYS[1],
        initial=apikeys.USUAL_DAYS,
        help_text="The key stops working after this many days.",
    )
    may_administer = forms.BooleanField(
        label="May administer",
        required=False,
        help_text="Invite, remove and reissue clients, and delete sessions, without a password.",
    )

    def __init__(self, *args: Any, administers: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not administers:
            del self.fields["may_administer"]
        for name, field in self.fields.items():
            tag = self[name].auto_id
            kind = "check" if name == "may_administer" else "input"
            field.widget.attrs |= {"class": kind, "aria-describedby": f"{tag}-e {tag}-h"}

    def show_refusal(self) -> None:
        """Move the focus to the first invalid field: the form may be far down the page."""
        for name in [name for name in self.fields if name in self.errors][:1]:
            self.fields[name].widget.attrs["autofocus"] = True


def act_of_new_key(request: HttpRequest, *_: object, **__: object) -> Act:
    """A key that may administer outlives a password entry, so making one is an administrative act itself."""
    return Act.MANAGE_PEOPLE if parameters.form(request).text("may_administer") else Act.OWN_KEYS


def act_of_key(request: HttpRequest, key_id: int) -> Act:
    """People revoke their own keys; staff revoke those of others."""
    mine = ApiKey.objects.filter(pk=key_id, user=request.user.pk).exists()
    return Act.OWN_KEYS if mine else Act.MANAGE_PEOPLE


def _index(*_: object, **__: object) -> str:
    return reverse("keys")


@require_GET
def page(request: Request) -> HttpResponse:
    return _show(request, KeyForm(administers=_administers(request)))


def _administers(request: Request) -> bool:
    return access.allowed(caller(request), Act.MANAGE_PEOPLE)


def _show(request: Request, form: KeyForm, *, secret: str = "", status: int = 200) -> HttpResponse:
    now = timezone.now()
    form.show_refusal()
    context = {
        "form": form,
        "secret": secret,
        "now": now,
        "mine": apikeys.of(request.user, now=now),
        "others": apikeys.of_others(request.user, now=now) if _administers(request) else [],
    }
    response = render(request, "account/keys.html", context | following(""), status=status)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@responses.act(back=_index)
def create(request: Request) -> HttpResponse:
    """Make a key for this user. Only this answer shows it."""
    form = KeyForm(request.POST, administers=_administers(request))
    if not form.is_valid():
        return _show(request, form, status=422)
    try:
        _, secret = apikeys.create(request.user, **form.cleaned_data)
    except Invalid as refusal:
        for field, sentence in refusal.errors:
            form.add_error(field, sentence)
        return _show(request, form, status=422)
    return _show(request, KeyForm(administers=_administers(request)), secret=secret, status=201)


@require_http_methods(["GET", "POST"])
@responses.act(back=_index)
def revoke(request: Request, key_id: int) -> HttpResponse:
    key = get_object_or_404(ApiKey.objects.select_related("user"), pk=key_id)
    if key.revoked_at is not None:
        raise Conflict(f"The key {key} is already revoked.")
    if request.method == "POST":
        apikeys.revoke(key, now=timezone.now())
        return responses.done(request, f"The key {key} is revoked.", to=_index(), icon="ban", tone="idle", leave=True)
    about: dict[str, object] = {
        "title": f"Revoke the key {key.name or key}?",
        "lead": "Scripts that use it are refused from now on. Their open connections end within a second.",
        "lost": [],
        "kept": "Kept: what they did.",
        "stay": "Keep it",
        "act": "Revoke it",
        "action": reverse("key_revoke", args=[key.pk]),
        "back": _index(),
    }
    return responses.ask(request, about)
