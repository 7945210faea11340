"""Which address leads where."""

from django.contrib import admin
from django.urls import include, path, register_converter


class IdConverter:
    """A row's key: digits, and few enough for the database."""

    regex = "[0-9]{1,18}"

    def to_python(self, value: str) -> int:
        return int(value)

    def to_url(self, value: int) -> str:
        return str(value)


register_converter(IdConverter, "id")

from federation.api.urls import api  # noqa: E402  its paths use the converter

urlpatterns = [
    path("api/v1/", api.urls),
    path("admin/", admin.site.urls),
    path("", include("dashboard.urls")),
]
