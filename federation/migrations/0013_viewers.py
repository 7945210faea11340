from django.db import migrations

VIEWERS = "viewers"


def make_the_group(apps, schema_editor):
    apps.get_model("auth", "Group").objects.get_or_create(name=VIEWERS)


def keep_what_keys_of_staff_could_do(apps, schema_editor):
    keys = apps.get_model("federation", "ApiKey").objects
    keys.filter(user__is_staff=True).update(may_administer=True)


class Migration(migrations.Migration):
    dependencies = [
        ("federation", "0012_access"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]
    operations = [
        migrations.RunPython(make_the_group, migrations.RunPython.noop),
        migrations.RunPython(keep_what_keys_of_staff_could_do, migrations.RunPython.noop),
    ]
