"""The console's forms: their limits and defaults come from the services they call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from engine.errors import BadInput
from engine.models import Checkpoint, GuidelineExample, Project
from engine.models.mix import Reward
from engine.selectors.rewards import MeasuredReward, measured_rewards
from engine.services.arena_targets import MOST_TARGETS
from engine.services.mix import MOST_DRAWS, OWN, mix_of
from engine.services.runs import SETTINGS, Choice, Setting
from engine.states import Stage

ALPHA_HELP = "A winner's rating must reach it: (mean of the two marks, less 1) / 4. Marks 3 and 3 give 0.5."


class OpenRoundForm(forms.Form):
    """Alpha, N, the mix and the pre-filter of the next round."""

    alpha = forms.FloatField(min_value=0, max_value=1, help_text=ALPHA_HELP)
    num_candidates = forms.IntegerField(
        min_value=2, max_value=64, label="Candidates per target", help_text="N of best-of-N; 8 by default."
    )

    source_mix = forms.CharField(
        required=False,
        max_length=300,
        label="From which sources",
        help_text="They add up, as in: candid8 6, retrieval 2. Empty: our own model alone.",
    )
    num_draws = forms.IntegerField(
        required=False,
        min_value=2,
        max_value=MOST_DRAWS,
        label="Drawn by our model",
        help_text="A pre-filter keeps the best of so many; empty: none.",
    )
    reward = forms.ChoiceField(
        required=False, label="Kept by", choices=[("", "no pre-filter"), *Reward.choices]
    )

    @classmethod
    def of(cls, project: Project) -> OpenRoundForm:
        return cls(
            initial={
                "alpha": project.alpha,
                "num_candidates": project.num_candidates,
                # Our own model alone is what an empty field means, for whatever number of candidates.
                "source_mix": "" if set(project.source_mix) <= {OWN} else mix_of(project).text(),
                "num_draws": project.num_draws,
                "reward": project.reward,
            }
        )

    @property
    def measured(self) -> list[MeasuredReward]:
        """What the rewards on offer were measured to recover."""
        return list(measured_rewards().values())


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


class DraftForm(forms.Form):
    """The text of a stage's guidelines."""

    markdown = forms.CharField(
        label="Guidelines in Markdown",
        strip=False,
        required=False,
        widget=forms.Textarea(attrs={"rows": 22}),
        help_text="Headings make the table of contents. A photograph of the project: ![caption](photo:12).",
    )
    summary = forms.CharField(
        label="What changed", required=False, max_length=300, help_text="One sentence; everybody is told it."
    )


class ExampleForm(forms.Form):
    """A candidate or a file as a good or bad example; in stage 2 perhaps for one rating."""

    verdict = forms.ChoiceField(choices=GuidelineExample.Verdict.choices)
    caption = forms.CharField(max_length=300, help_text="What is good or bad in it.")
    candidate_id = forms.IntegerField(
        label="Candidate", required=False, min_value=1, help_text="Its number, as on the page of its target;"
    )
    file = forms.FileField(label="or a GLB", required=False, widget=forms.FileInput(attrs={"accept": ".glb"}))
    aspect = forms.ChoiceField(
        label="Anchor of the rating", required=False, choices=[("", "none"), *GuidelineExample.Aspect.choices]
    )
    value = forms.IntegerField(label="Value", required=False, min_value=1, max_value=5)

    def __init__(self, *args: Any, stage: Stage, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if stage != Stage.PICK:
            del self.fields["aspect"], self.fields["value"]


class QuizForm(forms.Form):
    """The rules of an entry quiz."""

    is_on = forms.BooleanField(label="On", required=False, help_text="Who has not passed it gets no work.")
    num_questions = forms.IntegerField(label="Questions", min_value=1, max_value=50)
    num_needed = forms.IntegerField(label="Right ones needed", min_value=1, max_value=50)
    pause_seconds = forms.IntegerField(
        label="Pause after a failure", min_value=0, max_value=86_400, help_text="In seconds."
    )


class GoldForm(forms.Form):
    """Why the known answer is right; people read it after theirs."""

    why = forms.CharField(max_length=2000, label="Why it is right")


class MaskGoldForm(GoldForm):
    """The overlap that is enough."""

    iou_at_least = forms.FloatField(
        label="Overlap (IoU) needed", min_value=0.05, max_value=0.99, initial=0.85
    )


class PickGoldForm(GoldForm):
    """Which other candidates are as good, and which are clearly wrong."""

    also_best = forms.CharField(
        required=False, label="Also best", help_text="Candidates, with spaces between."
    )
    avoid = forms.CharField(
        required=False, label="Clearly wrong", help_text="Candidates, with spaces between."
    )

    def clean_also_best(self) -> list[int]:
        return _ids(self.cleaned_data["also_best"])

    def clean_avoid(self) -> list[int]:
        return _ids(self.cleaned_data["avoid"])


class PoseGoldForm(GoldForm):
    """How far a pose may be off."""

    rotation_deg = forms.FloatField(label="Degrees allowed", min_value=1, max_value=180, initial=20)
    translation_share = forms.FloatField(
        label="Shift allowed", min_value=0.01, max_value=2, initial=0.25, help_text="As a share of its size."
    )
    add_s_share = forms.FloatField(
        label="Surface distance allowed",
        min_value=0.01,
        max_value=1,
        initial=0.15,
        help_text="Of its diameter.",
    )
    symmetry_order = forms.IntegerField(
        label="Symmetry",
        min_value=0,
        max_value=36,
        initial=1,
        help_text="Turns about up that look alike; 0: round.",
    )


def _ids(text: str) -> list[int]:
    words = text.replace(",", " ").split()
    if not all(word.isascii() and word.isdigit() and len(word) < 19 for word in words):
        raise forms.ValidationError("Numbers of candidates, with spaces between.")
    return [int(word) for word in words]


def _field(setting: Setting | Choice) -> forms.Field:
    said: dict[str, Any] = {"label": setting.label, "initial": setting.default, "help_text": setting.help}
    if isinstance(setting, Choice):
        return forms.ChoiceField(choices=list(setting.options.items()), **said)
    if setting.kind is int:
        return forms.IntegerField(min_value=int(setting.low), max_value=int(setting.high), **said)
    return forms.FloatField(min_value=setting.low, max_value=setting.high, **said)


class ShareForm(forms.Form):
    """A canary's share of the batches."""

    share = forms.FloatField(
        min_value=0.001,
        max_value=0.999,
        initial=0.1,
        label="Share of the batches",
        help_text="Which ones follows from their number: the same share, the same batches.",
    )


class CanaryForm(ShareForm):
    """Which checkpoint is tried beside what serves, and on how much."""

    checkpoint = forms.TypedChoiceField(coerce=int)
    field_order = ("checkpoint", "share")

    def __init__(self, *args: Any, known: Iterable[Checkpoint], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice = self.fields["checkpoint"]
        assert isinstance(choice, forms.TypedChoiceField)
        choice.choices = [(each.pk, each.name) for each in known]


class HeldBackForm(forms.Form):
    """What dataset versions hold back."""

    least_foreign = forms.FloatField(
        min_value=0,
        max_value=0.95,
        label="Least share of others",
        help_text="Of a version's demonstrations: artists' and other sources'. 0: no brake.",
    )
    brake = forms.ChoiceField(choices=Project.Brake.choices, label="When there are fewer")
    audit_share = forms.FloatField(
        min_value=0,
        max_value=0.5,
        label="Kept for auditing",
        help_text="Share of the hard targets that no version trains on. It can only become smaller once one is frozen.",
    )


class SamplingForm(forms.Form):
    """In which order new work comes."""

    sampling = forms.ChoiceField(choices=Project.Sampling.choices, label="Order of new work")
    easy_first = forms.BooleanField(
        required=False, label="Easy ones first", help_text="Large and unhidden before small and hidden."
    )


class GoldShareForm(forms.Form):
    """How much of people's work is hidden gold."""

    floor = forms.FloatField(
        min_value=0,
        max_value=0.5,
        label="At least",
        help_text="Share of new work of people who are known well.",
    )
    ceiling = forms.FloatField(
        min_value=0, max_value=0.5, label="At most", help_text="Of people nobody knows yet. 0 and 0: none."
    )


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
    """Who meets, on how many targets, and how often."""

    name = forms.CharField(max_length=120, initial="New against serving")
    checkpoints = forms.TypedMultipleChoiceField(
        coerce=int,
        widget=forms.CheckboxSelectMultiple,
        help_text="Any two or more that have not failed their check; none of them need ever have served.",
    )
    num_targets = forms.IntegerField(
        min_value=1,
        max_value=MOST_TARGETS,
        required=False,
        initial=40,
        label="Number of targets",
        help_text="Drawn at random. Candidates that a checkpoint lacks on them are made, after all other work. "
        "Empty: all targets of which each has a candidate already.",
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
