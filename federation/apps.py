from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class FederationConfig(AppConfig):
    name = "federation"
    verbose_name = "Federation"


class AdminConfig(DjangoAdminConfig):
    """Django's admin with the rules of the pages."""

    default_site = "dashboard.administration.Site"
