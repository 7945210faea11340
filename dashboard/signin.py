"""Who may see the dashboard: people who signed in."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import urlencode
from django_htmx.middleware import HtmxDetails


class Request(HttpRequest):
    """A request of somebody who is signed in."""

    htmx: HtmxDetails
    user: User


View = Callable[..., HttpResponseBase]


def signed_in(view: View) -> View:
    """Send everybody else to the sign-in page, a fragment's request with its whole page."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        htmx: HtmxDetails = getattr(request, "htmx")  # noqa: B009  set by its middleware
        if not htmx:
            return redirect_to_login(request.get_full_path())
        back = htmx.current_url_abs_path or reverse("overview")
        response = HttpResponse(status=401)
        response["HX-Redirect"] = f"{reverse('login')}?{urlencode({'next': back})}"
        return response

    return guarded
