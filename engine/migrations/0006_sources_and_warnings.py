"""A target says what proposed it; a submitted mask says which checks of it stood."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('engine', '0005_guidelines_and_quiz'),
    ]

    operations = [
        migrations.AddField(
            model_name='maskedit',
            name='warnings',
            field=models.JSONField(blank=True, default=list, help_text='Which checks of the mask stood when the person submitted it.'),
        ),
        migrations.AddField(
            model_name='targetobject',
            name='source',
            field=models.CharField(blank=True, help_text='What proposed this mask; empty when a person drew it.', max_length=60),
        ),
    ]
