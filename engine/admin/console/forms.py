"""The console's forms: their limits and defaults come from the services they call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from engine.errors import BadInput
from engine.models import Checkpoint, Project
from engine.services.runs import SETTINGS, Setting

ALPHA_HELP = "A winner's rating must reach it: (mean of the two marks, less 1) / 4. Marks 3 and 3 give 0.5."


class OpenRoundForm(forms.Form):
    """Alpha and N of the next round."""

    alpha = forms.FloatField(min_value=0, max_value=1, help_text=ALPHA_HELP)
    num_candidates = forms.IntegerField(
        min_value=2, max_value=64, label="Candidates per target", help_text="N of best-of-N; 8 by default."
    )

    @classmethod
    def of(cls, project: Project) -> OpenRoundForm:
        return cls(initial={"alpha": project.alpha, "num_candidates": project.num_candidates})


class FreezeForm(forms.Form):
    """The bar of the version to be frozen."""

    alpha = forms.FloatField(min_value=0, max_value=1, help_text="Raise it from round to round.")


class StartRunForm(forms.Form):
    """Base, seed and the settings of one objective."""

    base_checkpoint = forms.TypedChoiceField(
        coerce=int, label="Base checkpoint", help_text="Where the run starts; DPO holds on to it."
    )
    seed = forms.IntegerField(
        min_value=0, max_value=2**53, initial=0, help_text="Same data, same seed: same result."
    )

    def __init__(self, *args: Any, objective: str, bases: Iterable[Checkpoint], **kwargs: Any) -> None:
        kwargs["auto_id"] = f"{objective}-%s"  # two of these forms stand on one page
        super().__init__(*args, **kwargs)
        choice = self.fields["base_checkpoint"]
        assert isinstance(choice, forms.TypedChoiceField)
        choice.choices = [(base.pk, f"{base.name} ({base.status.lower()})") for base in bases]
        for setting in SETTINGS[objective]:
            self.fields[setting.name] = _field(setting)

    def settings(self) -> dict[str, Any]:
        """What was chosen for the objective."""
        return {
            name: value
            for name, value in self.cleaned_data.items()
            if name not in {"base_checkpoint", "seed"}
        }


def _field(setting: Setting) -> forms.Field:
    said: dict[str, Any] = {"label": setting.label, "initial": setting.default, "help_text": setting.help}
    if setting.kind is int:
        return forms.IntegerField(min_value=int(setting.low), max_value=int(setting.high), **said)
    return forms.FloatField(min_value=setting.low, max_value=setting.high, **said)


class ReasonForm(forms.Form):
    """Whom it concerns, and why."""

    user = forms.IntegerField(min_value=1, widget=forms.HiddenInput)
    reason = forms.CharField(max_length=300, help_text="The person and the journal will keep it.")


class DrawForm(forms.Form):
    """How many judgements to look at again."""

    number = forms.IntegerField(
        min_value=1,
        max_value=200,
        initial=20,
        label="Judgements",
        help_text="Of the last week; risky ones first.",
    )


class NoteForm(forms.Form):
    """What a reviewer says when sending back."""

    note = forms.CharField(max_length=300, label="What is wrong", help_text="Its next judge starts anew.")


class FixForm(forms.Form):
    """The reviewer's own pick."""

    winner = forms.TypedChoiceField(coerce=int, label="Winner")
    shape_rating = forms.IntegerField(min_value=1, max_value=5, initial=4, label="Shape, 1 to 5")
    texture_rating = forms.IntegerField(min_value=1, max_value=5, initial=4, label="Texture, 1 to 5")

    def __init__(self, *args: Any, candidates: Iterable[tuple[int, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice = self.fields["winner"]
        assert isinstance(choice, forms.TypedChoiceField)
        choice.choices = list(candidates)


class ArenaForm(forms.Form):
    """Who meets, and how often."""

    name = forms.CharField(max_length=120, initial="New against serving")
    checkpoints = forms.TypedMultipleChoiceField(
        coerce=int,
        widget=forms.CheckboxSelectMultiple,
        help_text="They meet on every target of which each has made a candidate, as a canary beside what serves does.",
    )
    votes = forms.IntegerField(
        min_value=1,
        max_value=20,
        initial=1,
        label="Votes per pair and target",
        help_text="Each by another person.",
    )

    def __init__(self, *args: Any, known: Iterable[Checkpoint], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice = self.fields["checkpoints"]
        assert isinstance(choice, forms.TypedMultipleChoiceField)
        choice.choices = [(each.pk, each.name) for each in known]


def require_valid(form: forms.Form) -> dict[str, Any]:
    """The form's clean values; raises BadInput that names the first field at fault."""
    if form.is_valid():
        return form.cleaned_data
    name, errors = next(iter(form.errors.items()))
    label = form[name].label if name in form.fields else "The form"
    raise BadInput(f"{label}: {errors[0]}")
