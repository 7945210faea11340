"""The page that makes the first account of a new server."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import login
from django.contrib.auth.forms import BaseUserCreationForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from federation import passwords
from federation.errors import Refused
from federation.services import first_account

CODE_LENGTH = 100


class FirstAccountForm(BaseUserCreationForm):
    code = forms.CharField(max_length=CODE_LENGTH, strip=True)

    def create(self) -> Any:
        """The account. Raises Refused where it may not be made."""
        given = self.cleaned_data
        with passwords.a_place():
            return first_account.create(
                given["code"], username=given["username"], password=given["password1"], now=timezone.now()
            )


@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def first_account_page(request: HttpRequest) -> HttpResponse:
    if not first_account.is_missing():
        return redirect("login")
    form = FirstAccountForm(request.POST) if request.method == "POST" else FirstAccountForm()
    if request.method != "POST" or not form.is_valid():
        return _page(request, form, status=422 if form.is_bound else 200)
    try:
        user = form.create()
    except Refused as refused:
        return _page(request, form, refused=str(refused), status=refused.status)
    login(request, user, backend="federation.passwords.Backend")
    return redirect("overview")


def _page(request: HttpRequest, form: FirstAccountForm, *, refused: str = "", status: int) -> HttpResponse:
    return render(request, "account/first_account.html", {"form": form, "refused": refused}, status=status)
