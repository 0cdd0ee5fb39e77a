"""Answers can be taken back; and how each person wants their pages."""

import django.db.models.deletion
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('engine', '0003_one_live_lease_per_project'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='PersonalSettings',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('keys', models.JSONField(default=dict, help_text='Command > its keys, where they are not the usual ones.')),
                ('single_keys', models.BooleanField(default=True, help_text='Keys of one character do something.')),
                ('language', models.CharField(blank=True, choices=[('', 'As the browser'), ('en', 'English'), ('de', 'Deutsch')], default='', max_length=8)),
                ('theme', models.CharField(blank=True, choices=[('', 'Default'), ('dark', 'Dark'), ('light', 'Light')], default='', max_length=8)),
                ('motion', models.CharField(blank=True, choices=[('', 'As the system'), ('reduced', 'Reduced'), ('full', 'Full')], default='', max_length=8)),
            ],
            options={
                'verbose_name_plural': 'personal settings',
            },
        ),
        migrations.RemoveConstraint(
            model_name='artistcase',
            name='artist_case_one_open_per_target',
        ),
        migrations.RemoveConstraint(
            model_name='assignment',
            name='assignment_once_per_person',
        ),
        migrations.AddField(
            model_name='assignment',
            name='order_seed',
            field=models.UUIDField(default=uuid.uuid4, editable=False, help_text='Fixes the random order in which this person sees candidates.'),
        ),
        # Work in hand keeps the order its candidates are shown in.
        migrations.RunSQL("UPDATE engine_assignment SET order_seed = uuid", migrations.RunSQL.noop),
        migrations.AlterField(
            model_name='artistcase',
            name='status',
            field=models.CharField(choices=[('OPEN', 'Open'), ('CLAIMED', 'Claimed'), ('UPLOADED', 'Uploaded'), ('ACCEPTED', 'Accepted'), ('REWORK', 'Rework'), ('WITHDRAWN', 'Withdrawn')], default='OPEN', max_length=12),
        ),
        migrations.AlterField(
            model_name='assignment',
            name='answer',
            field=models.JSONField(blank=True, help_text='The body returned to the submit, for repeats; what an escalation made.', null=True),
        ),
        migrations.AlterField(
            model_name='assignment',
            name='status',
            field=models.CharField(choices=[('LEASED', 'Leased'), ('SUBMITTED', 'Submitted'), ('SKIPPED', 'Skipped'), ('ESCALATED', 'Escalated'), ('RELEASED', 'Released'), ('EXPIRED', 'Expired'), ('RETRACTED', 'Retracted')], default='LEASED', max_length=12),
        ),
        migrations.AlterField(
            model_name='candidatebatch',
            name='status',
            field=models.CharField(choices=[('REQUESTED', 'Requested'), ('GENERATING', 'Generating'), ('READY', 'Ready'), ('FAILED', 'Failed'), ('WITHDRAWN', 'Withdrawn')], default='REQUESTED', max_length=12),
        ),
        migrations.AddConstraint(
            model_name='artistcase',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ('ACCEPTED', 'WITHDRAWN')), _negated=True), fields=('target',), name='artist_case_one_open_per_target'),
        ),
        migrations.AddConstraint(
            model_name='assignment',
            constraint=models.UniqueConstraint(condition=models.Q(('status', 'RETRACTED'), _negated=True), fields=('task', 'annotator'), name='assignment_once_per_person'),
        ),
        migrations.AddIndex(
            model_name='assignment',
            index=models.Index(fields=['annotator', 'project', '-ended_at'], name='assignment_history'),
        ),
        migrations.AddField(
            model_name='personalsettings',
            name='user',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='personal_settings', to=settings.AUTH_USER_MODEL),
        ),
    ]
