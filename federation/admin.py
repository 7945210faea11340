"""Every model in Django's admin: to be searched and read. What would break an invariant cannot be edited here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from federation import models, tasks
from federation.errors import Refused
from federation.services import apikeys, clients, sessions
from federation.services.clients import invitations


class ReadOnly(admin.ModelAdmin):
    """Rows that services write. Deleting goes through services too, where it is possible at all."""

    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class Actions(ReadOnly):
    """Read-only rows with actions; an action needs the permission to change them."""

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return super(ReadOnly, self).has_change_permission(request)

    def each(self, request: HttpRequest, rows: QuerySet[Any], act: Any, done: str) -> None:
        """Do something to each row and say how it went; a refusal of one does not stop the others."""
        count = 0
        for row in rows:
            try:
                act(row)
                count += 1
            except Refused as refusal:
                self.message_user(request, str(refusal), messages.WARNING)
        if count:
            self.message_user(request, f"{count} {done}.", messages.SUCCESS)
        transaction.on_commit(tasks.advance_all.delay)


@admin.register(models.Client)
class ClientAdmin(Actions):
    list_display = ("name", "enabled", "last_seen", "num_examples", "enrolled_at", "removed_at")
    list_filter = ("enabled", ("removed_at", admin.EmptyFieldListFilter), "enrolled_at")
    search_fields = ("name",)
    exclude = ("token_hash",)
    actions = ("disable", "enable", "remove")

    @admin.action(description="Disable: drop its open seats and refuse its calls", permissions=["steer"])
    def disable(self, request: HttpRequest, rows: QuerySet[models.Client]) -> None:
        by = request.user.get_username()
        self.each(request, rows, lambda row: clients.set_enabled(row, False, by=by), "disabled")

    @admin.action(description="Enable", permissions=["steer"])
    def enable(self, request: HttpRequest, rows: QuerySet[models.Client]) -> None:
        by = request.user.get_username()
        self.each(request, rows, lambda row: clients.set_enabled(row, True, by=by), "enabled")

    @admin.action(description="Remove: forget its token and free its name", permissions=["steer"])
    def remove(self, request: HttpRequest, rows: QuerySet[models.Client]) -> None:
        by, now = request.user.get_username(), timezone.now()
        self.each(request, rows, lambda row: clients.remove(row, by=by, now=now), "removed")


@admin.register(models.Invitation)
class InvitationAdmin(Actions):
    list_display = ("__str__", "uses", "used", "expires_at", "revoked_at", "created_by", "created_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "expires_at")
    search_fields = ("hint", "created_by__username")
    exclude = ("code_hash",)
    actions = ("revoke",)

    @admin.action(description="Revoke: nobody joins by it any more", permissions=["steer"])
    def revoke(self, request: HttpRequest, rows: QuerySet[models.Invitation]) -> None:
        now = timezone.now()
        self.each(
            request, rows, lambda row: invitations.revoke(row, now=now, by=request.user.get_username()), "revoked"
        )


@admin.register(models.ApiKey)
class ApiKeyAdmin(Actions):
    list_display = (
        "__str__", "name", "user", "may_administer", "created_at", "last_used_at", "expires_at", "revoked_at",
    )  # fmt: skip
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "may_administer", "user")
    search_fields = ("hint", "name", "user__username")
    exclude = ("key_hash",)
    actions = ("revoke",)

    @admin.action(description="Revoke: it opens nothing any more", permissions=["steer"])
    def revoke(self, request: HttpRequest, rows: QuerySet[models.ApiKey]) -> None:
        now = timezone.now()
        self.each(request, rows, lambda row: apikeys.revoke(row, now=now), "revoked")


@admin.register(models.SignIn)
class SignInAdmin(ReadOnly):
    list_display = ("time", "outcome", "username", "address", "browser")
    list_filter = ("outcome", "time")
    search_fields = ("username", "address")


@admin.register(models.TrainingSession)
class SessionAdmin(Actions):
    list_display = (
        "name",
        "status",
        "workload",
        "strategy",
        "rounds",
        "quorum",
        "created_by",
        "created_at",
        "ended_at",
    )
    list_filter = ("status", "workload", "strategy", "created_at")
    search_fields = ("name", "reason")
    list_select_related = ("created_by",)
    raw_id_fields = ("start_from",)
    actions = ("cancel", "pause", "resume")

    @admin.action(description="Cancel: stop at once", permissions=["steer"])
    def cancel(self, request: HttpRequest, rows: QuerySet[models.TrainingSession]) -> None:
        by, now = request.user, timezone.now()
        self.each(request, rows, lambda row: sessions.cancel(row, by=by, now=now), "cancelled")  # type: ignore[arg-type]

    @admin.action(description="Pause after the open round", permissions=["steer"])
    def pause(self, request: HttpRequest, rows: QuerySet[models.TrainingSession]) -> None:
        self.each(request, rows, lambda row: sessions.pause(row, by=request.user), "paused")  # type: ignore[arg-type]

    @admin.action(description="Resume", permissions=["steer"])
    def resume(self, request: HttpRequest, rows: QuerySet[models.TrainingSession]) -> None:
        by, now = request.user, timezone.now()
        self.each(request, rows, lambda row: sessions.resume(row, by=by, now=now), "resumed")  # type: ignore[arg-type]


@admin.register(models.Round)
class RoundAdmin(ReadOnly):
    list_display = ("session", "number", "attempt", "status", "opened_at", "deadline", "closed_at", "reason")
    list_filter = ("status", "opened_at")
    search_fields = ("session__name", "reason")
    list_select_related = ("session",)
    exclude = ("lease_token",)


@admin.register(models.Participation)
class ParticipationAdmin(ReadOnly):
    list_display = ("client", "round", "seat", "status", "phase", "num_examples", "reported_at", "reason")
    list_filter = ("status", "client")
    search_fields = ("client__name", "round__session__name", "digest", "reason")
    list_select_related = ("client", "round")


@admin.register(models.GlobalModel)
class GlobalModelAdmin(ReadOnly):
    list_display = ("session", "version", "digest", "num_bytes", "metrics", "created_at")
    list_filter = ("session__workload", "created_at")
    search_fields = ("session__name", "digest")
    list_select_related = ("session",)


@admin.register(models.Metric)
class MetricAdmin(ReadOnly):
    list_display = ("participation", "name", "step", "value", "time")
    list_filter = ("name",)
    search_fields = ("participation__client__name", "session__name")
    list_select_related = ("participation__client", "participation__round")


@admin.register(models.Event)
class EventAdmin(ReadOnly):
    list_display = ("session", "seq", "kind", "time", "payload")
    list_filter = ("kind", "time")
    search_fields = ("session__name", "kind")
    list_select_related = ("session",)


@admin.register(models.ServerEvent)
class ServerEventAdmin(ReadOnly):
    list_display = ("seq", "kind", "time", "payload")
    list_filter = ("kind", "time")
    search_fields = ("kind",)


@admin.register(models.ModelTag)
class ModelTagAdmin(ReadOnly):
    list_display = ("name", "model", "workload", "added_by", "added_at")
    list_filter = ("name", "workload")
    search_fields = ("name", "model__session__name")
    list_select_related = ("model",)


@admin.register(models.ModelUpload)
class ModelUploadAdmin(ReadOnly):
    list_display = ("name", "digest", "num_bytes", "file_status", "created_by", "created_at")
    list_filter = ("file_status", "created_at")
    search_fields = ("name", "digest")
    list_select_related = ("created_by",)


@admin.register(models.ServedWorkload)
class ServedWorkloadAdmin(ReadOnly):
    list_display = ("client", "name", "version", "digest", "num_examples")
    list_filter = ("name",)
    search_fields = ("client__name", "name", "digest")
    list_select_related = ("client",)


@admin.register(models.ClientLog)
class ClientLogAdmin(ReadOnly):
    list_display = ("client", "updated_at")
    search_fields = ("client__name",)
    list_select_related = ("client",)


@admin.register(models.AlertRule)
class AlertRuleAdmin(ReadOnly):
    list_display = ("kind", "enabled", "minutes", "factor", "created_by", "created_at")
    list_filter = ("kind", "enabled")
    search_fields = ("emails",)


@admin.register(models.Alert)
class AlertAdmin(ReadOnly):
    list_display = ("sentence", "rule", "raised_at", "acknowledged_at", "acknowledged_by")
    list_filter = ("rule__kind", "raised_at")
    search_fields = ("sentence", "cause")
    list_select_related = ("rule",)


@admin.register(models.Delivery)
class DeliveryAdmin(ReadOnly):
    list_display = ("alert", "channel", "status", "tries", "next_at", "error")
    list_filter = ("channel", "status")
    search_fields = ("alert__sentence",)
    list_select_related = ("alert",)


@admin.register(models.Server)
class ServerAdmin(ReadOnly):
    exclude = ("key_fingerprint",)
    list_display = ("__str__", "ticked_at", "worker_silent", "last_seq")
    search_fields = ("id",)
    list_filter = ("worker_silent",)
