"""Judgements, candidates and the journal cannot be changed, not even by raw SQL."""

from django.db import migrations

APPEND_ONLY = (
    "engine_candidate",
    "engine_layoutproposal",
    "engine_maskedit",
    "engine_comparison",
    "engine_selection",
    "engine_alignment",
    "engine_statechange",
)

FUNCTION = """
CREATE FUNCTION candid8_refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: make a new row instead', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("engine", "0001_initial")]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION candid8_refuse_update()"),
        *[
            migrations.RunSQL(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION candid8_refuse_update()",
                f"DROP TRIGGER {table}_append_only ON {table}",
            )
            for table in APPEND_ONLY
        ],
    ]
