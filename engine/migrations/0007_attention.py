"""A selection says how the person looked at the candidates, and which of them could not be shown."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("engine", "0006_sources_and_warnings")]

    operations = [
        migrations.AddField(
            model_name="selection",
            name="attention",
            field=models.JSONField(
                default=dict,
                help_text="How the person looked at them: dwell, orbits, looks, the photograph's camera.",
            ),
        ),
        migrations.AddField(
            model_name="selection",
            name="not_loaded",
            field=models.JSONField(
                default=list, help_text="Candidate ids that this person's browser could not show."
            ),
        ),
        migrations.RunSQL(
            "ALTER TABLE engine_selection ADD CONSTRAINT selection_winner_was_shown "
            "CHECK (winner_id IS NULL OR NOT not_loaded @> to_jsonb(winner_id))",
            "ALTER TABLE engine_selection DROP CONSTRAINT selection_winner_was_shown",
        ),
    ]
