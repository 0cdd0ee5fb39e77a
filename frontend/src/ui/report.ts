/** A report of a check as people read it: what is wrong as sentences, figures rounded, yes and no as words. */
import { t } from "../core/language";

export interface ReadReport { sentences: string[]; figures: [name: string, value: string][] }

const DIGITS = 3;

export function readReport(report: Record<string, unknown>): ReadReport {
  const sentences: string[] = [];
  const figures: [string, string][] = [];
  for (const [key, value] of Object.entries(report)) {
    const name = key.replaceAll("_", " ");
    if (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === "number")) figures.push([name, value.map(written).join(" × ")]);
    else if (Array.isArray(value)) sentences.push(...value.map((item) => (typeof item === "string" ? item : JSON.stringify(item))));
    else if (value !== null && typeof value !== "object") figures.push([name, written(value)]);
  }
  return { sentences, figures };
}

function written(value: unknown): string {
  if (typeof value === "boolean") return value ? t("yes") : t("no");
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(DIGITS)));
}
