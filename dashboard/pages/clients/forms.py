"""Invitations as a person fills them in."""

from __future__ import annotations

from typing import Any

from django import forms

from dashboard.kit.fields import Whole
from dashboard.pages.clients import meant


class InviteForm(forms.Form):
    """How many clients may join by a code, until when, and what they will train: that decides the commands."""

    EXPIRES = {"3600": "in an hour", "86400": "in a day", "604800": "in 7 days", "2592000": "in 30 days", "": "never"}

    uses = Whole(label="Clients", help_text="How many may join by this code.", initial=10)
    expires = forms.ChoiceField(
        label="Expires",
        choices=list(EXPIRES.items()),
        initial="604800",
        required=False,
        help_text="Codes end by themselves.",
    )
    workload = forms.ChoiceField(
        label="Workload",
        required=False,
        help_text="The commands fit it. The code lets a client in for every workload.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["workload"].choices = meant.choices()  # type: ignore[attr-defined]
        self.fields["workload"].widget.attrs |= {"class": "select", "aria-describedby": "id_workload-e id_workload-h"}
        self.fields["uses"].widget.attrs |= {"class": "input", "aria-describedby": "id_uses-e id_uses-h"}
        self.fields["expires"].widget.attrs |= {"class": "select", "aria-describedby": "id_expires-e id_expires-h"}

    @property
    def expires_in_seconds(self) -> int | None:
        seconds = self.cleaned_data["expires"]
        return int(seconds) if seconds else None
