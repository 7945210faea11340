"""The API under /api/v1/: Django Ninja for JSON, raw routes for polls and weights."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.parser import Parser

from federation.api import agents, downloads, limits, openapi, operators, problems, progress, tables, uploads, work
from federation.api.uploads import model_files
from federation.errors import NotFound, Refused, Unauthorized

RAW_ROUTES = {
    r"/api/v1/work": {"GET": work.get_work},
    r"/api/v1/models/(?P<digest>[0-9a-f]{64})": {"GET": downloads.get_model, "HEAD": downloads.get_model},
    r"/api/v1/models/(?P<digest>[0-9a-f]{64})/state_dict": {"GET": downloads.get_state_dict},
    r"/api/v1/models/uploads": {"POST": model_files.create, "OPTIONS": model_files.options},
    r"/api/v1/models/uploads/(?P<upload_id>[0-9]{1,18})": {
        "HEAD": model_files.head,
        "GET": model_files.get,
        "PATCH": model_files.patch,
        "DELETE": model_files.delete,
        "OPTIONS": model_files.options,
    },
    r"/api/v1/participations/(?P<seat_id>[0-9]{1,18})/progress": {"POST": progress.post},
    r"/api/v1/participations/(?P<seat_id>[0-9]{1,18})/update": {
        "PUT": uploads.put,
        "POST": uploads.create,
        "HEAD": uploads.head,
        "PATCH": uploads.patch,
        "OPTIONS": uploads.options,
    },
}


class BoundedParser(Parser):
    def parse_body(self, request: HttpRequest) -> Any:
        return problems.json_of(request.body, limits.of(request.method or "", request.path))


# Routes of which only one form of the answer is raw.
TABLES = {r"/api/v1/sessions/(?P<session_id>[0-9]{1,18})/metrics": {"GET": tables.get_metrics}}


class Api(NinjaAPI):
    """Ninja's API whose OpenAPI document names the raw routes too."""

    def get_openapi_schema(self, **kwargs: Any) -> Any:
        return openapi.document(super().get_openapi_schema(**kwargs))


api = Api(
    title="Federated learning control room",
    version="1",
    urls_namespace="api",
    docs_url="/docs",
    parser=BoundedParser(),
    description="Client agents call it with their token; operators with an API key or signed in.",
)
api.add_router("", agents.router)
api.add_router("", operators.router)


@api.exception_handler(Refused)
def refused(request: HttpRequest, error: Refused) -> HttpResponse:
    return problems.response(error)


@api.exception_handler(AuthenticationError)
def unauthenticated(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return problems.response(Unauthorized("This needs a valid token in the header Authorization: Bearer <token>."))


@api.exception_handler(ValidationError)
def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    return problems.response(problems.invalid(error.errors))


@api.exception_handler(Http404)
def not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return problems.response(NotFound("There is nothing at this address."))


@api.exception_handler(HttpError)
def http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    if isinstance(error.__cause__, Refused):  # Ninja turns whatever its parser raises into one 400
        return problems.response(error.__cause__)
    body = problems.body(error.status_code, str(error))
    return HttpResponse(body, status=error.status_code, content_type=problems.CONTENT_TYPE)
