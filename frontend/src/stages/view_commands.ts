/** How candidates are looked at, wherever they are judged: looks, camera, the photo at their place. */
import type { Command } from "../core/commands";
import { t } from "../core/language";
import type { CellLook } from "../viewer/cell";

const ORBIT_STEP = Math.PI / 16;

export interface ViewActions {
  setLook: (look: CellLook) => void;
  toggleTurntable: () => void;
  resetCamera: () => void;
  orbit: (azimuth: number, polar: number, distance?: number) => void;
  flicker: (isOn: boolean) => void;
  hasFailed: () => boolean;
  reload: () => void;
}

/** The same keys in every scope. */
export function viewCommands(scope: string, actions: ViewActions): Command[] {
  const look = (id: CellLook, label: string, key: string): Command => ({ id: `look.${id}`, label, keys: [key], scope, run: () => actions.setLook(id) });
  const orbit = (id: string, label: string, keys: string[], run: () => void): Command => ({ id: `orbit.${id}`, label, keys, scope, repeats: true, run });
  return [
    look("colour", t("Mesh"), "M"), look("splat", t("Splats"), "G"), look("clay", t("Clay"), "C"), look("normals", t("Normals"), "N"),
    { id: "turntable", label: t("Turntable"), keys: ["T"], scope, run: actions.toggleTurntable },
    { id: "photo.flicker", label: t("Photo at the same place (hold)"), keys: ["Space"], scope, run: () => actions.flicker(true), release: () => actions.flicker(false) },
    { id: "camera.reset", label: t("First view"), keys: ["Home"], scope, run: actions.resetCamera },
    orbit("left", t("Turn left"), ["Shift+ArrowLeft"], () => actions.orbit(-ORBIT_STEP, 0)), orbit("right", t("Turn right"), ["Shift+ArrowRight"], () => actions.orbit(ORBIT_STEP, 0)),
    orbit("up", t("Tilt up"), ["Shift+ArrowUp"], () => actions.orbit(0, -ORBIT_STEP)), orbit("down", t("Tilt down"), ["Shift+ArrowDown"], () => actions.orbit(0, ORBIT_STEP)),
    orbit("in", t("Closer"), ["+"], () => actions.orbit(0, 0, 0.87)), orbit("out", t("Farther"), ["-"], () => actions.orbit(0, 0, 1.15)),
    { id: "cells.reload", label: t("Load again what is missing"), keys: ["L"], scope, enabled: actions.hasFailed, run: actions.reload },
  ];
}
