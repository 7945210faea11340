"""An explanation that stands apart from its field names it."""

import re

import pytest
from django.test import Client as Browser

from tests.dashboard.markup import compact


@pytest.mark.parametrize(("field", "label"), [("schedule", "Schedule"), ("selection", "Selection of clients")])
def test_under_rounds_an_explanation_begins_with_its_fields_name(browser: Browser, field: str, label: str) -> None:
    page = compact(browser.get("/sessions/new/").content.decode())
    assert re.search(rf'data-field="{re.escape(field)}"><label [^>]*>{label}</label>', page)
    explanations = re.findall(rf'data-options="{re.escape(field)}"[^>]*><p class="muted">(.*?)</p>', page)
    assert explanations and all(one.startswith(f"<strong>{label}:</strong>") for one in explanations)
