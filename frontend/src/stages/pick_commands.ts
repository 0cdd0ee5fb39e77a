/** The commands of stage 2: what can be done, under which key, and when. */
import type { Command, Commands } from "../core/commands";
import { t } from "../core/language";
import type { Outcome } from "../tools/tournament";
import { viewCommands } from "./view_commands";
import type { ViewActions } from "./view_commands";

const MOST_CANDIDATES = 8;
export const OPACITY_STEP = 0.25;

/** What the commands ask of the stage; candidates go by their number on the screen, from 1. */
export interface PickActions extends ViewActions {
  exists: (number: number) => boolean;
  mayPick: (number: number) => boolean;
  pick: (number: number) => void;
  inspect: (number: number) => void;
  mayJudge: () => boolean;
  judge: (outcome: Outcome) => void;
  mayTakeBack: () => boolean;
  takeBack: () => void;
  mayChangeMode: () => boolean;
  changeMode: () => void;
  hasPhotoCamera: () => boolean;
  togglePhotoCamera: () => void;
  changeOpacity: (by: number) => void;
  stopInspecting: () => void;
  unpick: () => void;
}

export function addPickCommands(commands: Commands, actions: PickActions): void {
  const row = (make: (number: number) => Command) => Array.from({ length: MOST_CANDIDATES }, (_, i) => make(i + 1));
  const judge = (outcome: Outcome, label: string, key: string): Command => ({ id: `king.${outcome}`, label, keys: [key], scope: "king", enabled: actions.mayJudge, run: () => actions.judge(outcome) });
  commands.add([
    ...row((n) => ({ id: `pick.${n}`, label: t("Pick a candidate"), inHelp: n === 1, helpKeys: "1 … 8", keys: [`${n}`], scope: "grid", enabled: () => actions.mayPick(n), run: () => actions.pick(n) })),
    ...row((n) => ({ id: `inspect.${n}`, label: t("Look at one large, beside the photo"), inHelp: n === 1, helpKeys: "Shift+1 … 8", keys: [`Shift+${n}`], scope: "pick", enabled: () => actions.exists(n), run: () => actions.inspect(n) })),
    judge("left", t("Left is better"), "ArrowLeft"), judge("right", t("Right is better"), "ArrowRight"), judge("equal", t("Equally good"), "ArrowDown"),
    { id: "king.back", label: t("Back one comparison"), keys: ["Backspace"], scope: "king", enabled: actions.mayTakeBack, run: actions.takeBack },
    { id: "mode", label: t("Two at a time / all at once"), keys: ["K"], scope: "pick", enabled: actions.mayChangeMode, run: actions.changeMode },
    ...viewCommands("pick", actions),
    { id: "photo.camera", label: t("See all from the photo's camera"), keys: ["0"], scope: "pick", enabled: actions.hasPhotoCamera, run: actions.togglePhotoCamera },
    { id: "photo.less", label: t("Less of the photo over the candidates"), keys: ["["], scope: "pick", enabled: actions.hasPhotoCamera, run: () => actions.changeOpacity(-OPACITY_STEP) },
    { id: "photo.more", label: t("More of the photo over the candidates"), keys: ["]"], scope: "pick", enabled: actions.hasPhotoCamera, run: () => actions.changeOpacity(OPACITY_STEP) },
    { id: "inspect.end", label: t("Back to all"), keys: ["Escape"], scope: "inspect", run: actions.stopInspecting },
    { id: "unpick", label: t("Take the pick back"), keys: ["Escape"], scope: "rating", run: actions.unpick },
  ]);
}
