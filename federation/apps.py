from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig
from django.core import checks

from federation import foreign


class FederationConfig(AppConfig):
    name = "federation"
    verbose_name = "Federation"

    def ready(self) -> None:
        foreign.plug_in()
        checks.register(foreign.check)


class AdminConfig(DjangoAdminConfig):
    """Django's admin with the rules of the pages."""

    default_site = "dashboard.administration.Site"
