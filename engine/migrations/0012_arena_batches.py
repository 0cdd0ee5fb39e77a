"""An arena asks for candidates of its own, each of one checkpoint; and what the database refuses of them."""

import django.db.models.deletion
from django.db import migrations, models


NO_WORK = """
CREATE FUNCTION candid8_refuse_work_of_arena() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM engine_candidatebatch WHERE id = NEW.batch_id AND arena_id IS NOT NULL) THEN
        RAISE EXCEPTION '%: the candidates of an arena are compared there alone', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""
NO_POSE = """
CREATE FUNCTION candid8_refuse_pose_of_arena() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM engine_candidate made JOIN engine_candidatebatch batch ON batch.id = made.batch_id
        WHERE made.id = NEW.candidate_id AND batch.arena_id IS NOT NULL
    ) THEN
        RAISE EXCEPTION '%: the candidates of an arena are compared there alone', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""
TRUE_MAKER = """
CREATE FUNCTION candid8_refuse_other_maker() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM engine_candidatebatch
        WHERE id = NEW.batch_id AND checkpoint_id IS NOT NULL AND checkpoint_id IS DISTINCT FROM NEW.checkpoint_id
    ) THEN
        RAISE EXCEPTION '%: the batch was asked of another checkpoint', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""


def refuse(table, what, function, columns):
    return migrations.RunSQL(
        f"CREATE TRIGGER {table}_{what} BEFORE INSERT OR UPDATE OF {columns} ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {function}()",
        f"DROP TRIGGER {table}_{what} ON {table}",
    )


class Migration(migrations.Migration):

    dependencies = [
        ('engine', '0011_hidden_gold_bias_sampling'),
    ]

    operations = [
        migrations.AddField(
            model_name='arena',
            name='target_ids',
            field=models.JSONField(default=list, help_text='Where they meet, frozen; empty for an arena that was drawn as a whole.'),
        ),
        migrations.AddField(
            model_name='arena',
            name='votes',
            field=models.PositiveSmallIntegerField(default=1, help_text='Matches of each pair on each target.'),
        ),
        migrations.AddField(
            model_name='candidatebatch',
            name='arena',
            field=models.ForeignKey(blank=True, help_text='Which asked for it: nobody picks from it, and no figure and no dataset counts it.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='batches', to='engine.arena'),
        ),
        migrations.AddField(
            model_name='candidatebatch',
            name='checkpoint',
            field=models.ForeignKey(blank=True, help_text="Of an arena's: the one that must make it, whatever serves.", null=True, on_delete=django.db.models.deletion.PROTECT, related_name='batches', to='engine.checkpoint'),
        ),
        migrations.AlterField(
            model_name='arena',
            name='seed',
            field=models.BigIntegerField(help_text='Of the order of matches, of their sides, of which targets, and of candidates.'),
        ),
        migrations.AddConstraint(
            model_name='candidatebatch',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('arena__isnull', True), ('checkpoint__isnull', True)), models.Q(('arena__isnull', False), ('checkpoint__isnull', False), ('num_draws__isnull', True), ('round__isnull', True), ('source_mix', {})), _connector='OR'), name='batch_of_arena_is_of_one_checkpoint'),
        ),
        migrations.AddConstraint(
            model_name='candidatebatch',
            constraint=models.UniqueConstraint(fields=('arena', 'target', 'checkpoint'), name='batch_once_per_arena'),
        ),
        migrations.RunSQL(NO_WORK, "DROP FUNCTION candid8_refuse_work_of_arena()"),
        migrations.RunSQL(NO_POSE, "DROP FUNCTION candid8_refuse_pose_of_arena()"),
        migrations.RunSQL(TRUE_MAKER, "DROP FUNCTION candid8_refuse_other_maker()"),
        refuse("engine_annotationtask", "no_arena_pick", "candid8_refuse_work_of_arena", "batch_id"),
        refuse("engine_annotationtask", "no_arena_pose", "candid8_refuse_pose_of_arena", "candidate_id"),
        refuse("engine_selection", "no_arena", "candid8_refuse_work_of_arena", "batch_id"),
        refuse("engine_candidate", "maker", "candid8_refuse_other_maker", "batch_id"),
        migrations.RunSQL(
            "CREATE TRIGGER engine_candidatebatch_asked BEFORE UPDATE ON engine_candidatebatch FOR EACH ROW "
            "WHEN (OLD.arena_id IS DISTINCT FROM NEW.arena_id OR OLD.checkpoint_id IS DISTINCT FROM NEW.checkpoint_id) "
            "EXECUTE FUNCTION candid8_refuse_update()",
            "DROP TRIGGER engine_candidatebatch_asked ON engine_candidatebatch",
        ),
    ]
