"""Gold hidden among work, what the database refuses of it; what versions hold back; shapes in numbers; sampling."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


REFUSE = """
CREATE OR REPLACE FUNCTION candid8_refuse_quiz_judgement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM engine_assignment WHERE id = NEW.assignment_id AND {asked}) THEN
        RAISE EXCEPTION '%: the answer to {what} is no judgement', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""
REFUSE_GOLD = REFUSE.format(
    asked="(question_id IS NOT NULL OR gold_id IS NOT NULL)", what="a question of a quiz or to hidden gold"
)
REFUSE_QUIZ = REFUSE.format(asked="question_id IS NOT NULL", what="a question of a quiz")


class Migration(migrations.Migration):

    dependencies = [
        ('engine', '0010_canary_and_mix'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='assignment',
            name='assignment_once_per_person',
        ),
        migrations.AddField(
            model_name='assignment',
            name='gold',
            field=models.ForeignKey(blank=True, help_text='Hidden among work: takes no slot, its answer is no judgement, and the person is not told.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='assignments', to='engine.golditem'),
        ),
        migrations.AddField(
            model_name='goldanswer',
            name='sent',
            field=models.JSONField(default=dict, help_text="Of hidden gold: the answer, for the person's own list and for taking it back."),
        ),
        migrations.AddField(
            model_name='project',
            name='gold_ceiling',
            field=models.FloatField(default=0.5, help_text='Largest share, for people nothing is known of.'),
        ),
        migrations.AddField(
            model_name='project',
            name='gold_floor',
            field=models.FloatField(default=0.05, help_text="Least share of a person's new work that is hidden gold, however well known."),
        ),
        migrations.AlterField(
            model_name='goldanswer',
            name='question',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='answer', to='engine.quizquestion'),
        ),
        migrations.AddIndex(
            model_name='assignment',
            index=models.Index(condition=models.Q(('gold__isnull', False)), fields=['annotator', 'project', 'stage'], name='assignment_hidden_gold'),
        ),
        migrations.AddConstraint(
            model_name='assignment',
            constraint=models.UniqueConstraint(condition=models.Q(models.Q(('status', 'RETRACTED'), _negated=True), ('gold__isnull', True), ('question__isnull', True)), fields=('task', 'annotator'), name='assignment_once_per_person'),
        ),
        migrations.AddConstraint(
            model_name='assignment',
            constraint=models.UniqueConstraint(condition=models.Q(models.Q(('status', 'RETRACTED'), _negated=True), ('gold__isnull', False)), fields=('gold', 'annotator'), name='assignment_gold_once_per_person'),
        ),
        migrations.AddConstraint(
            model_name='assignment',
            constraint=models.CheckConstraint(condition=models.Q(('question__isnull', True), ('gold__isnull', True), _connector='OR'), name='assignment_gold_asked_one_way'),
        ),
        migrations.AddConstraint(
            model_name='project',
            constraint=models.CheckConstraint(condition=models.Q(('gold_ceiling__lte', 0.5), ('gold_floor__gte', 0), ('gold_floor__lte', models.F('gold_ceiling'))), name='project_gold_share'),
        ),
        migrations.RunSQL(REFUSE_GOLD, REFUSE_QUIZ),
        migrations.CreateModel(
            name='ShapeDescriptor',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveSmallIntegerField(help_text='Of the way the numbers are made.')),
                ('values', models.JSONField(default=list)),
                ('detail', models.CharField(blank=True, max_length=200)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.AddField(
            model_name='project',
            name='audit_share',
            field=models.FloatField(default=0.0, help_text='Share of the hard targets that no version trains on, for auditing.'),
        ),
        migrations.AddField(
            model_name='project',
            name='brake',
            field=models.CharField(choices=[('cap', 'Leave the least rated of our own out'), ('refuse', 'Refuse to freeze')], default='cap', max_length=8),
        ),
        migrations.AddField(
            model_name='project',
            name='easy_first',
            field=models.BooleanField(default=False, help_text='Within a class, large unhidden objects come before small and hidden ones.'),
        ),
        migrations.AddField(
            model_name='project',
            name='least_foreign',
            field=models.FloatField(default=0.0, help_text="Least share of a version's demonstrations that our own model did not make."),
        ),
        migrations.AddField(
            model_name='project',
            name='sampling',
            field=models.CharField(choices=[('arrival', 'As it came in'), ('balanced', 'Classes in turn, rare and poorly solved ones first')], default='balanced', max_length=8),
        ),
        migrations.AddConstraint(
            model_name='project',
            constraint=models.CheckConstraint(condition=models.Q(('audit_share__gte', 0), ('audit_share__lte', 0.5), ('least_foreign__gte', 0), ('least_foreign__lt', 1)), name='project_held_back'),
        ),
        migrations.AddField(
            model_name='shapedescriptor',
            name='candidate',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='descriptors', to='engine.candidate'),
        ),
        migrations.AddField(
            model_name='shapedescriptor',
            name='project',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='engine.project'),
        ),
        migrations.AddConstraint(
            model_name='shapedescriptor',
            constraint=models.UniqueConstraint(fields=('candidate', 'version'), name='descriptor_once_per_candidate'),
        ),
    ]
