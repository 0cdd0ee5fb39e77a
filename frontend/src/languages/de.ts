/**
 * What the pages say in German, with "Sie", part by part.
 *
 * The console of Django's admin speaks English, and so do its plots (console.ts, ui/curve.ts); so do sentences that
 * come from the server's API. Words: Foto, Maske, Objekt, Kandidat, auswählen, Lage (pose), Reservierung (lease),
 * Entwurf (draft), Punktwolke, Runde, Stufe (stage), Richtlinien.
 */
import { OBJECT } from "./de/object";
import { PAGES } from "./de/pages";
import { PICK } from "./de/pick";
import { POSE } from "./de/pose";
import { SHELL } from "./de/shell";

const GERMAN: Readonly<Record<string, string>> = { ...SHELL, ...PAGES, ...OBJECT, ...PICK, ...POSE };

export default GERMAN;
