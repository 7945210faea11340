"""Fields that several forms have."""

from __future__ import annotations

import math
from typing import Any

from django import forms
from django.core.exceptions import ValidationError


class Whole(forms.CharField):
    """A whole number, empty where it is not required."""

    def to_python(self, value: Any) -> Any:
        text = "".join(str(value if value is not None else "").split())
        if not text:
            return None
        try:
            return int(text[:40])
        except ValueError:
            raise ValidationError(f"{text[:40]!r} is not a whole number.") from None

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        return {"inputmode": "numeric", "autocomplete": "off"}


class Number(forms.CharField):
    """A finite number."""

    def to_python(self, value: Any) -> Any:
        text = str(value if value is not None else "").strip()
        if not text:
            return None
        try:
            number = float(text)
        except ValueError:
            raise ValidationError(f"{text[:40]!r} is not a number.") from None
        if not math.isfinite(number):
            raise ValidationError(f"{text[:40]!r} is not a finite number.")
        return number

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        return {"inputmode": "decimal", "autocomplete": "off"}


class Switches(forms.CheckboxSelectMultiple):
    """Check boxes with an empty value beside them, which shows that the form had them although none is on.

    One value may contain several, separated by spaces.
    """

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[str]:
        given = super().value_from_datadict(data, files, name) or ()
        return (given if isinstance(given, str) else " ".join(given)).split()
