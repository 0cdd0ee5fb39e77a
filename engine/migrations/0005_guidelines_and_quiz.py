"""Guidelines in versions, gold tasks, the entry quiz; what the database itself refuses of them."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


#: Rows that are never changed once they are there.
APPEND_ONLY = (
    "engine_guidelineacknowledgement",
    "engine_guidelineexample",
    "engine_goldanswer",
    "engine_quizquestion",
)
JUDGEMENTS = ("engine_maskedit", "engine_comparison", "engine_selection", "engine_alignment")

REFUSE_QUIZ = """
CREATE FUNCTION candid8_refuse_quiz_judgement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM engine_assignment WHERE id = NEW.assignment_id AND question_id IS NOT NULL) THEN
        RAISE EXCEPTION '%: the answer to a question of a quiz is no judgement', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""


def refuse_update(table, when="TRUE"):
    return migrations.RunSQL(
        f"CREATE TRIGGER {table}_unchanged BEFORE UPDATE ON {table} "
        f"FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION candid8_refuse_update()",
        f"DROP TRIGGER {table}_unchanged ON {table}",
    )


class Migration(migrations.Migration):

    dependencies = [
        ('engine', '0004_undo_and_settings'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='GoldAnswer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('is_right', models.BooleanField()),
                ('figures', models.JSONField(default=dict, help_text='What the mark was given for.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='GoldItem',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stage', models.CharField(choices=[('object', '1 Object'), ('pick', '2 Pick'), ('pose', '3 Pose')], max_length=8)),
                ('answer', models.JSONField()),
                ('prompt', models.CharField(blank=True, help_text='What the person is asked to do.', max_length=200)),
                ('why', models.TextField(help_text='Told after the answer: why it is right.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('retired_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='GuidelineAcknowledgement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='GuidelineExample',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stage', models.CharField(choices=[('object', '1 Object'), ('pick', '2 Pick'), ('pose', '3 Pose')], max_length=8)),
                ('verdict', models.CharField(choices=[('good', 'Good'), ('bad', 'Bad')], max_length=4)),
                ('caption', models.CharField(max_length=300)),
                ('mesh_key', models.CharField(blank=True, max_length=200)),
                ('aspect', models.CharField(blank=True, choices=[('shape', 'Shape'), ('texture', 'Texture')], max_length=8)),
                ('value', models.PositiveSmallIntegerField(blank=True, help_text='1 to 5 of the rating scale.', null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='GuidelineVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stage', models.CharField(choices=[('object', '1 Object'), ('pick', '2 Pick'), ('pose', '3 Pose')], max_length=8)),
                ('number', models.PositiveIntegerField()),
                ('status', models.CharField(choices=[('DRAFT', 'Draft'), ('PUBLISHED', 'Published')], default='DRAFT', max_length=12)),
                ('markdown', models.TextField(blank=True)),
                ('summary', models.CharField(blank=True, help_text='What changed, in a sentence.', max_length=300)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('published_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Quiz',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stage', models.CharField(choices=[('object', '1 Object'), ('pick', '2 Pick'), ('pose', '3 Pose')], max_length=8)),
                ('is_on', models.BooleanField(default=False)),
                ('num_questions', models.PositiveSmallIntegerField(default=5)),
                ('num_needed', models.PositiveSmallIntegerField(default=4)),
                ('pause_seconds', models.PositiveIntegerField(default=300)),
            ],
            options={
                'verbose_name_plural': 'quizzes',
            },
        ),
        migrations.CreateModel(
            name='QuizAttempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('status', models.CharField(choices=[('OPEN', 'Open'), ('PASSED', 'Passed'), ('FAILED', 'Failed')], default='OPEN', max_length=12)),
                ('num_questions', models.PositiveSmallIntegerField()),
                ('num_needed', models.PositiveSmallIntegerField()),
                ('num_right', models.PositiveSmallIntegerField(default=0)),
                ('started_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='QuizQuestion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('order', models.PositiveSmallIntegerField()),
            ],
            options={
                'ordering': ['order'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='assignment',
            name='assignment_once_per_person',
        ),
        migrations.AddField(
            model_name='goldanswer',
            name='assignment',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='gold_answer', to='engine.assignment'),
        ),
        migrations.AddField(
            model_name='golditem',
            name='added_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='golditem',
            name='project',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='gold_items', to='engine.project'),
        ),
        migrations.AddField(
            model_name='golditem',
            name='task',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='gold_items', to='engine.annotationtask'),
        ),
        migrations.AddField(
            model_name='guidelineacknowledgement',
            name='person',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='guidelineexample',
            name='added_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='guidelineexample',
            name='candidate',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='engine.candidate'),
        ),
        migrations.AddField(
            model_name='guidelineexample',
            name='project',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='guideline_examples', to='engine.project'),
        ),
        migrations.AddField(
            model_name='guidelineversion',
            name='project',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='guideline_versions', to='engine.project'),
        ),
        migrations.AddField(
            model_name='guidelineversion',
            name='written_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='guidelineacknowledgement',
            name='version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='acknowledgements', to='engine.guidelineversion'),
        ),
        migrations.AddField(
            model_name='quiz',
            name='project',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='quizzes', to='engine.project'),
        ),
        migrations.AddField(
            model_name='quizattempt',
            name='annotator',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='quiz_attempts', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='quizattempt',
            name='project',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='engine.project'),
        ),
        migrations.AddField(
            model_name='quizattempt',
            name='quiz',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attempts', to='engine.quiz'),
        ),
        migrations.AddField(
            model_name='quizquestion',
            name='attempt',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='questions', to='engine.quizattempt'),
        ),
        migrations.AddField(
            model_name='quizquestion',
            name='gold',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='questions', to='engine.golditem'),
        ),
        migrations.AddField(
            model_name='goldanswer',
            name='question',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='answer', to='engine.quizquestion'),
        ),
        migrations.AddField(
            model_name='assignment',
            name='question',
            field=models.ForeignKey(blank=True, help_text='Of an entry quiz: no work, so it takes no slot and its answer is no judgement.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='assignments', to='engine.quizquestion'),
        ),
        migrations.AddConstraint(
            model_name='assignment',
            constraint=models.UniqueConstraint(condition=models.Q(models.Q(('status', 'RETRACTED'), _negated=True), ('question__isnull', True)), fields=('task', 'annotator'), name='assignment_once_per_person'),
        ),
        migrations.AddConstraint(
            model_name='assignment',
            constraint=models.UniqueConstraint(fields=('question',), name='assignment_once_per_question'),
        ),
        migrations.AddConstraint(
            model_name='golditem',
            constraint=models.UniqueConstraint(condition=models.Q(('retired_at__isnull', True)), fields=('task',), name='gold_one_per_task'),
        ),
        migrations.AddConstraint(
            model_name='golditem',
            constraint=models.CheckConstraint(condition=models.Q(('why', ''), _negated=True), name='gold_says_why'),
        ),
        migrations.AddConstraint(
            model_name='guidelineexample',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('candidate__isnull', False), ('mesh_key', '')), models.Q(('candidate__isnull', True), models.Q(('mesh_key', ''), _negated=True)), _connector='OR'), name='guideline_example_shows_one_shape'),
        ),
        migrations.AddConstraint(
            model_name='guidelineexample',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('aspect', ''), ('value__isnull', True)), models.Q(('stage', 'pick'), ('value__gte', 1), ('value__isnull', False), ('value__lte', 5), models.Q(('aspect', ''), _negated=True)), _connector='OR'), name='guideline_anchor_is_of_the_rating'),
        ),
        migrations.AddConstraint(
            model_name='guidelineexample',
            constraint=models.CheckConstraint(condition=models.Q(('caption', ''), _negated=True), name='guideline_example_says_why'),
        ),
        migrations.AddConstraint(
            model_name='guidelineversion',
            constraint=models.UniqueConstraint(fields=('project', 'stage', 'number'), name='guideline_number_once'),
        ),
        migrations.AddConstraint(
            model_name='guidelineversion',
            constraint=models.UniqueConstraint(condition=models.Q(('status', 'DRAFT')), fields=('project', 'stage'), name='guideline_one_draft'),
        ),
        migrations.AddConstraint(
            model_name='guidelineversion',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('published_at__isnull', True), ('status', 'DRAFT')), models.Q(('published_at__isnull', False), ('status', 'PUBLISHED'), models.Q(('markdown', ''), _negated=True)), _connector='OR'), name='guideline_published_says_something'),
        ),
        migrations.AddConstraint(
            model_name='guidelineacknowledgement',
            constraint=models.UniqueConstraint(fields=('version', 'person'), name='guideline_acknowledged_once'),
        ),
        migrations.AddConstraint(
            model_name='quiz',
            constraint=models.UniqueConstraint(fields=('project', 'stage'), name='quiz_once_per_stage'),
        ),
        migrations.AddConstraint(
            model_name='quiz',
            constraint=models.CheckConstraint(condition=models.Q(('num_needed__gte', 1), ('num_needed__lte', models.F('num_questions')), ('num_questions__lte', 50)), name='quiz_can_be_passed'),
        ),
        migrations.AddConstraint(
            model_name='quizattempt',
            constraint=models.UniqueConstraint(condition=models.Q(('status', 'OPEN')), fields=('quiz', 'annotator'), name='quiz_one_open_attempt'),
        ),
        migrations.AddConstraint(
            model_name='quizattempt',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'PASSED'), _negated=True), ('num_right__gte', models.F('num_needed')), _connector='OR'), name='quiz_passed_by_enough'),
        ),
        migrations.AddConstraint(
            model_name='quizattempt',
            constraint=models.CheckConstraint(condition=models.Q(('status', 'OPEN'), ('ended_at__isnull', False), _connector='OR'), name='quiz_ended_has_an_end'),
        ),
        migrations.AddConstraint(
            model_name='quizquestion',
            constraint=models.UniqueConstraint(fields=('attempt', 'order'), name='quiz_question_order_once'),
        ),
        migrations.AddConstraint(
            model_name='quizquestion',
            constraint=models.UniqueConstraint(fields=('attempt', 'gold'), name='quiz_question_gold_once'),
        ),
        *[refuse_update(table) for table in APPEND_ONLY],
        refuse_update("engine_guidelineversion", "OLD.status = 'PUBLISHED'"),
        refuse_update(
            "engine_golditem", "OLD.answer IS DISTINCT FROM NEW.answer OR OLD.task_id IS DISTINCT FROM NEW.task_id"
        ),
        migrations.RunSQL(REFUSE_QUIZ, "DROP FUNCTION candid8_refuse_quiz_judgement()"),
        *[
            migrations.RunSQL(
                f"CREATE TRIGGER {table}_no_quiz BEFORE INSERT ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION candid8_refuse_quiz_judgement()",
                f"DROP TRIGGER {table}_no_quiz ON {table}",
            )
            for table in JUDGEMENTS
        ],
    ]
