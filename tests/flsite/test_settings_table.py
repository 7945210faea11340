"""docs/settings.md is what the declarations say."""

from flsite.management.commands.settings_table import FILE, document


def test_the_table_of_settings_is_made_from_the_declarations():
    assert FILE.read_text() == document(), "run manage.py settings_table"
