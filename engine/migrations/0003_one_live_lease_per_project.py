"""A person may hold a live lease in each project they work in."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("engine", "0002_append_only"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="assignment", name="assignment_one_live_lease"),
        migrations.AddConstraint(
            model_name="assignment",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status", "LEASED")),
                fields=("project", "annotator", "stage", "prefetched"),
                name="assignment_one_live_lease",
            ),
        ),
    ]
