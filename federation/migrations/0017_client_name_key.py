from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('federation', '0016_fill_kinds'),
    ]

    operations = [
        migrations.AddConstraint(
            model_name='client',
            constraint=models.UniqueConstraint(condition=models.Q(('removed_at', None)), fields=('name_key',), name='client_name_once'),
        ),
    ]
