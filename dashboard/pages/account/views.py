"""Signing in and out, and changing one's password."""

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.contrib.auth import views as auth
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse_lazy
from django.utils import timezone

from dashboard.kit import parameters
from dashboard.kit.frame import following
from federation import passwords
from federation.errors import Refused
from federation.services import first_account, signins


class SignIn(auth.LoginView):
    template_name = "account/sign_in.html"
    redirect_authenticated_user = True

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        return super().get_context_data(**more) | {"no_account": first_account.is_missing()}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().post(request, *args, **kwargs)
        except Refused as refusal:
            return _not_now(request, refusal)


def locked_out(request: HttpRequest, response: HttpResponse, *_: object) -> HttpResponse:
    """The answer after too many wrong passwords; django-axes calls it."""
    refusal = passwords.locked_out(request, parameters.form(request).text("username", longest=signins.NAME_CHARACTERS))
    if refusal is None:  # the wait has just ended
        return response
    return _not_now(request, refusal)


def _not_now(request: HttpRequest, refusal: Refused) -> HttpResponse:
    """The sign-in page with the reason, and when to try again."""
    context = {
        "form": {"username": {"value": parameters.form(request).text("username", longest=signins.NAME_CHARACTERS)}},
        "next": parameters.form(request).text("next", longest=2000),
        "refusal": str(refusal),
    }
    response = render(request, "account/sign_in.html", context, status=refusal.status)
    return _with(response, {"Cache-Control": "no-store", **refusal.headers})


def _with(response: HttpResponse, headers: Mapping[str, str]) -> HttpResponse:
    for name, value in headers.items():
        response[name] = value
    return response


class SignOut(auth.LogoutView):
    http_method_names = ["post", "options"]


class ChangePassword(auth.PasswordChangeView):
    template_name = "account/password.html"
    success_url = reverse_lazy("overview")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | following("")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Checking the old password allows guessing as a sign-in does, so the same limits apply."""
        refusal = passwords.locked_out(request, request.user.get_username())
        try:
            if refusal:
                raise refusal
            with passwords.a_place():
                return super().post(request, *args, **kwargs)
        except Refused as refused:
            messages.error(request, str(refused), extra_tags="x-circle bad")
            return _with(self.render_to_response(self.get_context_data(), status=refused.status), refused.headers)

    def form_invalid(self, form: Any) -> HttpResponse:
        if "old_password" in form.errors:
            signins.record(signins.Outcome.WRONG, self.request, username=self.request.user.get_username())
        return super().form_invalid(form)

    def form_valid(self, form: Any) -> HttpResponse:
        signins.mark_entered(self.request.session, now=timezone.now())
        messages.success(self.request, "Your password is changed.", extra_tags="check-circle ok")
        return super().form_valid(form)
