"""The JSON of what is a person's own: settings, answers, pace."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotate.api.reading import Body
from engine.models import PersonalSettings
from engine.states import AssignmentStatus, Stage

KEYS_HELP = "Command > its keys, where they are not the usual ones; replaces all keys of one's own."


def _strokes() -> serializers.DictField:
    return serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()), required=False, help_text=KEYS_HELP
    )


class Settings(serializers.Serializer[Any]):
    """How the person wants their pages; an empty text is "as the browser has it"."""

    keys = _strokes()
    single_keys = serializers.BooleanField(help_text="Keys of one character do something.")
    language = serializers.CharField(help_text='"en", "de" or empty.')
    theme = serializers.CharField(help_text='"dark", "light" or empty.')
    motion = serializers.CharField(help_text='"reduced", "full" or empty.')


class SettingsChange(Body):
    """What shall change; what is left out stays."""

    keys = _strokes()
    single_keys = serializers.BooleanField(required=False)
    language = serializers.ChoiceField(choices=PersonalSettings.Language.values, required=False)
    theme = serializers.ChoiceField(choices=PersonalSettings.Theme.values, required=False)
    motion = serializers.ChoiceField(choices=PersonalSettings.Motion.values, required=False)


class PastTask(serializers.Serializer[Any]):
    """One answer of the person's."""

    assignment = serializers.UUIDField()
    stage = serializers.ChoiceField(choices=Stage.choices)
    status = serializers.ChoiceField(choices=AssignmentStatus.choices)
    photo_name = serializers.CharField()
    thumbnail_url = serializers.CharField()
    labels = serializers.ListField(child=serializers.CharField())
    shape_rating = serializers.IntegerField(allow_null=True)
    texture_rating = serializers.IntegerField(allow_null=True)
    mask_iou = serializers.FloatField(allow_null=True)
    reason = serializers.CharField()
    seconds = serializers.FloatField(allow_null=True)
    ended_at = serializers.DateTimeField()
    undo_until = serializers.DateTimeField(allow_null=True, help_text="Null when it stands.")


class Pace(serializers.Serializer[Any]):
    """One stage: answers since midnight, the usual seconds, and those of the last tasks, newest first."""

    today = serializers.IntegerField()
    median_seconds = serializers.FloatField(allow_null=True)
    last_seconds = serializers.ListField(child=serializers.FloatField())


class PaceByStage(serializers.Serializer[Any]):
    """The person's own pace in each stage."""

    object = Pace()
    pick = Pace()
    pose = Pace()


class MyWork(serializers.Serializer[Any]):
    """The person's last answers, newest first, and their pace. Nobody else's."""

    past = PastTask(many=True)
    pace = PaceByStage()


def present_settings(settings: PersonalSettings) -> dict[str, Any]:
    return dict(Settings(settings).data)
