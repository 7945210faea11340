"""Alert rules as a person fills them in. The service says what is invalid."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings

from federation.models import AlertRule

KINDS = {
    AlertRule.Kind.LOSS_DIVERGED: "A loss diverges or is not a number",
    AlertRule.Kind.CLIENT_SILENT: "A client is silent",
    AlertRule.Kind.ROUND_FAILED: "A round failed",
    AlertRule.Kind.ROUND_WAITS: "A round waits for long",
    AlertRule.Kind.SESSION_DONE: "A session is done",
}


class RuleForm(forms.ModelForm):
    """A rule as a person fills it in. What cannot be is said by the service."""

    class Meta:
        model = AlertRule
        fields = ("kind", "minutes", "factor", "webhook_url", "emails", "enabled")
        labels = {
            "kind": "When",
            "minutes": "Minutes",
            "factor": "Times the best loss",
            "webhook_url": "Webhook",
            "emails": "E-mail",
            "enabled": "Watch for it",
        }
        help_texts = {
            "kind": "Each cause is told once.",
            "minutes": "For silence and for waiting.",
            "factor": "For a loss that diverges.",
            "webhook_url": 'Gets a POST with {"text": …}, as Slack and Mattermost take it.',
            "emails": "Addresses, separated by commas.",
            "enabled": "Off: it finds nothing until it is on again.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"].widget.choices = list(KINDS.items())
        self.fields["minutes"].widget.attrs |= {"inputmode": "numeric"}
        if not settings.FL_EMAIL_IS_SET_UP:
            self.fields["emails"].help_text += " E-mail is not set up on this server (FL_EMAIL_URL)."
        for name, field in self.fields.items():
            kind = {"kind": "select", "enabled": "check"}.get(name, "input")
            tag = self[name].auto_id
            field.widget.attrs |= {"class": kind, "aria-describedby": f"{tag}-e {tag}-h"}
