/** The commands of stage 2: what can be done, under which key, and when. */
import type { Command, Commands } from "../core/commands";
import { t } from "../core/language";
import type { Outcome } from "../tools/tournament";
import type { CellLook } from "../viewer/cell";

const MOST_CANDIDATES = 8;
const ORBIT_STEP = Math.PI / 16;
export const OPACITY_STEP = 0.25;

/** What the commands ask of the stage; candidates go by their number on the screen, from 1. */
export interface PickActions {
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
  setLook: (look: CellLook) => void;
  toggleTurntable: () => void;
  hasPhotoCamera: () => boolean;
  togglePhotoCamera: () => void;
  resetCamera: () => void;
  orbit: (azimuth: number, polar: number, distance?: number) => void;
  flicker: (isOn: boolean) => void;
  changeOpacity: (by: number) => void;
  stopInspecting: () => void;
  unpick: () => void;
  hasFailed: () => boolean;
  reload: () => void;
}

export function addPickCommands(commands: Commands, actions: PickActions): void {
  const row = (make: (number: number) => Command) => Array.from({ length: MOST_CANDIDATES }, (_, i) => make(i + 1));
  const look = (id: CellLook, label: string, key: string): Command => ({ id: `look.${id}`, label, keys: [key], scope: "pick", run: () => actions.setLook(id) });
  const orbit = (id: string, label: string, keys: string[], run: () => void): Command => ({ id: `orbit.${id}`, label, keys, scope: "pick", repeats: true, run });
  const judge = (outcome: Outcome, label: string, key: string): Command => ({ id: `king.${outcome}`, label, keys: [key], scope: "king", enabled: actions.mayJudge, run: () => actions.judge(outcome) });
  commands.add([
    ...row((n) => ({ id: `pick.${n}`, label: t("Pick a candidate"), inHelp: n === 1, helpKeys: "1 … 8", keys: [`${n}`], scope: "grid", enabled: () => actions.mayPick(n), run: () => actions.pick(n) })),
    ...row((n) => ({ id: `inspect.${n}`, label: t("Look at one large, beside the photo"), inHelp: n === 1, helpKeys: "Shift+1 … 8", keys: [`Shift+${n}`], scope: "pick", enabled: () => actions.exists(n), run: () => actions.inspect(n) })),
    judge("left", t("Left is better"), "ArrowLeft"), judge("right", t("Right is better"), "ArrowRight"), judge("equal", t("Equally good"), "ArrowDown"),
    { id: "king.back", label: t("Back one comparison"), keys: ["Backspace"], scope: "king", enabled: actions.mayTakeBack, run: actions.takeBack },
    { id: "mode", label: t("Two at a time / all at once"), keys: ["K"], scope: "pick", enabled: actions.mayChangeMode, run: actions.changeMode },
    look("colour", t("Mesh"), "M"), look("splat", t("Splats"), "G"), look("clay", t("Clay"), "C"), look("normals", t("Normals"), "N"),
    { id: "turntable", label: t("Turntable"), keys: ["T"], scope: "pick", run: actions.toggleTurntable },
    { id: "photo.camera", label: t("See all from the photo's camera"), keys: ["0"], scope: "pick", enabled: actions.hasPhotoCamera, run: actions.togglePhotoCamera },
    { id: "photo.flicker", label: t("Photo at the same place (hold)"), keys: ["Space"], scope: "pick", run: () => actions.flicker(true), release: () => actions.flicker(false) },
    { id: "photo.less", label: t("Less of the photo over the candidates"), keys: ["["], scope: "pick", enabled: actions.hasPhotoCamera, run: () => actions.changeOpacity(-OPACITY_STEP) },
    { id: "photo.more", label: t("More of the photo over the candidates"), keys: ["]"], scope: "pick", enabled: actions.hasPhotoCamera, run: () => actions.changeOpacity(OPACITY_STEP) },
    { id: "camera.reset", label: t("First view"), keys: ["Home"], scope: "pick", run: actions.resetCamera },
    orbit("left", t("Turn left"), ["Shift+ArrowLeft"], () => actions.orbit(-ORBIT_STEP, 0)), orbit("right", t("Turn right"), ["Shift+ArrowRight"], () => actions.orbit(ORBIT_STEP, 0)),
    orbit("up", t("Tilt up"), ["Shift+ArrowUp"], () => actions.orbit(0, -ORBIT_STEP)), orbit("down", t("Tilt down"), ["Shift+ArrowDown"], () => actions.orbit(0, ORBIT_STEP)),
    orbit("in", t("Closer"), ["+"], () => actions.orbit(0, 0, 0.87)), orbit("out", t("Farther"), ["-"], () => actions.orbit(0, 0, 1.15)),
    { id: "cells.reload", label: t("Load again what is missing"), keys: ["L"], scope: "pick", enabled: actions.hasFailed, run: actions.reload },
    { id: "inspect.end", label: t("Back to all"), keys: ["Escape"], scope: "inspect", run: actions.stopInspecting },
    { id: "unpick", label: t("Take the pick back"), keys: ["Escape"], scope: "rating", run: actions.unpick },
  ]);
}
