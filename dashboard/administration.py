"""Django's admin with the rules of the pages: their sign-in page, staff only, the password again before a change."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode

from dashboard.kit import parameters, password
from dashboard.kit.signin import caller
from federation import access
from federation.access import Act

V = TypeVar("V", bound=Callable[..., HttpResponseBase])
WITHOUT = ("logout", "password_change")  # views of the admin that need no password again, or ask for it themselves


class Site(AdminSite):
    site_header = site_title = "Control room: administration"

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and access.allowed(caller(request), Act.MANAGE_PEOPLE)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is one sign-in page. Someone who is signed in and may not enter gets the reason."""
        if request.user.is_authenticated:
            sentence = access.refusal(caller(request), Act.MANAGE_PEOPLE)
            return render(request, "403.html", {"sentence": sentence}, status=403)
        back = parameters.of(request).text("next", longest=2000) or reverse("admin:index")
        return redirect(f"{reverse('login')}?{urlencode({'next': back})}")

    def admin_view(self, view: V, cacheable: bool = False) -> V:
        @wraps(view)
        def confirmed(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            acts = request.method == "POST" and getattr(view, "__name__", "") not in WITHOUT
            if acts and self.has_permission(request) and (question := password.question(request, Act.MANAGE_PEOPLE)):
                return question
            return view(request, *args, **kwargs)

        return super().admin_view(cast(V, confirmed), cacheable)
