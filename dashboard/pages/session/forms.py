"""How many more rounds."""

from __future__ import annotations

from typing import Any

from django import forms

from dashboard.kit.fields import Whole


class MoreForm(forms.Form):
    """How many more rounds."""

    rounds = Whole(label="Rounds to train", help_text="One after the other, as soon as clients are free.", initial=5)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        attrs = {"class": "input", "aria-describedby": "id_rounds-e id_rounds-h", "autofocus": True}
        self.fields["rounds"].widget.attrs |= attrs
