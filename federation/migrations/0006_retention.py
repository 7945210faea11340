from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('federation', '0005_stragglers'),
    ]

    operations = [
        migrations.AddField(
            model_name='trainingsession',
            name='compacted_at',
            field=models.DateTimeField(blank=True, help_text='When its curves and its log were thinned.', null=True),
        ),
        migrations.AddField(
            model_name='trainingsession',
            name='points_reported',
            field=models.PositiveBigIntegerField(blank=True, help_text='How many points it had before.', null=True),
        ),
    ]
