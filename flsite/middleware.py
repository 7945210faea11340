"""What every answer keeps: a Content-Security-Policy on pages, problem details on the API's errors, 503 for now."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import unquote

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from federation import database
from federation.api import problems
from federation.errors import Unavailable
from flsite import hosts
from flsite.gate import answers

log = logging.getLogger(__name__)

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)


class KnownHost:
    """Refuses an unknown host and names the setting. Adds the headers of every answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._refusal(request) or self.get_response(request)
        names = {name.lower().encode() for name in response.headers}
        for name, value in answers.missing(request.path, names):
            response.headers[name.decode()] = value.decode()
        return response

    def _refusal(self, request: HttpRequest) -> HttpResponse | None:
        try:
            request.get_host()
        except DisallowedHost:
            unknown = hosts.UnknownHost(request.META.get("HTTP_HOST", ""))
            if answers.is_api(request.path):
                return problems.response(unknown)
            return HttpResponse(f"{unknown.title}. {unknown}\n", status=400, content_type="text/plain; charset=utf-8")
        return None


class ContentSecurityPolicy:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response


class WithoutNul:
    """400 for an address or a cookie with a NUL: PostgreSQL accepts none, and we make none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        address = f"{request.path_info}?{unquote(request.META.get('QUERY_STRING', ''))}"
        if "\0" in address or any("\0" in value for value in request.COOKIES.values()):
            return render(request, "400.html", status=400)
        return self.get_response(request)


class ApiProblems:
    """Errors that Django answers by itself (an unknown address, a wrong method, a bug) in the API's own form."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        known = response.headers.get("Content-Type", "") == problems.CONTENT_TYPE
        if response.status_code < 400 or known or not request.path.startswith("/api/"):
            return response
        detail = f"{request.method} {request.path}: {HTTPStatus(response.status_code).description or 'refused'}."
        response.content = problems.body(response.status_code, detail)
        response.headers["Content-Type"] = problems.CONTENT_TYPE
        response.headers["Content-Length"] = str(len(response.content))  # it was set for what stood here before
        return response


class DatabaseAway:
    """503 and when to come again where the database was locked or restarting: nothing is wrong with the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not database.is_away(error):
            return None
        log.warning("%s %s: the database does not answer: %s", request.method, request.path, error)
        later = Unavailable("The database does not answer now; try again.", headers={"Retry-After": "1"})
        if request.path.startswith("/api/"):
            return problems.response(later)
        response = render(request, "503.html", status=later.status)
        response["Retry-After"] = later.headers["Retry-After"]
        return response
