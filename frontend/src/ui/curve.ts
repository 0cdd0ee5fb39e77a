/** A plot of a run's metrics that follows the run until it ends. */
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { h } from "../core/dom";
import { token } from "./theme";

export interface CurveData {
  series: { name: string; x: number[]; y: (number | null)[] }[];
  x_label?: string;
  y_label?: string;
  status: string;
  phase?: string;
  log_tail?: string;
  progress?: { step: number; total: number } | null;
}

const ENDED = new Set(["SUCCEEDED", "FAILED", "CANCELLED"]);
const HEIGHT_PX = 240;
const SLOWEST_MS = 15_000;
/** There is no half step. */
const WHOLE_STEPS = [1, 2, 5].flatMap((digit) => Array.from({ length: 8 }, (_, power) => digit * 10 ** power)).sort((a, b) => a - b);

/** Polls ``data-url`` every ``data-interval`` milliseconds and draws what comes. */
export function mountCurve(box: HTMLElement): void {
  const url = box.dataset.url;
  if (!url) return;
  box.classList.add("candid8", "curve");
  const status = h("span", { class: "badge", text: "loading…" });
  const progress = h("span", { class: "caption" });
  const bar = h("div");
  const place = h("div");
  const nothing = h("p", { class: "caption", text: "Nothing yet." });
  // A server that tells the status has drawn its own.
  if (!box.dataset.status) box.append(h("div", { class: "row spread" }, status, progress), h("div", { class: "progress" }, bar));
  box.append(nothing, place);
  const interval = Number(box.dataset.interval) || 2000;
  let plot: uPlot | null = null, names = "", wait = interval;
  const poll = async () => {
    try {
      const response = await fetch(url, { headers: { Accept: "application/json" }, credentials: "same-origin" });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      const data = (await response.json()) as CurveData;
      wait = interval;
      // Its buttons and badges are the server's: a run that moved on is asked for again.
      if (box.dataset.status && box.dataset.status !== data.status) return location.reload();
      showLive(data);
      status.textContent = data.status.toLowerCase();
      status.className = `badge ${data.status.toUpperCase() === "SUCCEEDED" ? "success" : data.status.toUpperCase() === "FAILED" ? "danger" : "accent"}`;
      progress.textContent = data.progress ? `${data.x_label ?? "step"} ${data.progress.step} of ${data.progress.total}` : "";
      bar.style.transform = `scaleX(${data.progress?.total ? data.progress.step / data.progress.total : 0})`;
      const aligned = align(data);
      nothing.hidden = data.series.length > 0;
      const now = data.series.map(({ name }) => name).join("\n");
      if (data.series.length === 0) names = "";
      else if (!plot || now !== names) {
        plot?.destroy();
        plot = draw(place, data, aligned);
        names = now;
      } else plot.setData(aligned);
      if (ENDED.has(data.status.toUpperCase())) return;
    } catch (error) {
      status.textContent = `no answer (${error instanceof Error ? error.message : "?"}), tries again`;
      status.className = "badge warning";
      wait = Math.min(SLOWEST_MS, wait * 2);
    }
    setTimeout(() => void poll(), wait);
  };
  void poll();
  new ResizeObserver(() => plot?.setSize({ width: place.clientWidth, height: HEIGHT_PX })).observe(place);
}

/** The rest of the page that follows the run: its phase, its bar, its log. */
function showLive({ phase, progress, log_tail }: CurveData): void {
  const write = (name: string, text: string | undefined) => {
    const place = document.querySelector<HTMLElement>(`[data-candid8-${name}]`);
    if (!place || !text || place.textContent === text) return;
    const isAtEnd = place.scrollTop + place.clientHeight >= place.scrollHeight - 8;
    place.textContent = text;
    if (isAtEnd) place.scrollTop = place.scrollHeight;
  };
  write("phase", phase);
  write("log", log_tail);
  if (!progress) return;
  write("steps", `${progress.step} / ${progress.total}`);
  const bar = document.querySelector<HTMLProgressElement>("progress[data-candid8-progress]");
  if (bar) Object.assign(bar, { max: progress.total, value: progress.step });
}

/** uPlot wants one x for all series; where a series has no value it gets null. */
export function align(data: CurveData): [number[], ...(number | null)[][]] {
  const xs = [...new Set(data.series.flatMap(({ x }) => x))].sort((a, b) => a - b);
  const at = new Map(xs.map((x, i) => [x, i]));
  const columns = data.series.map(({ x, y }) => {
    const column = new Array<number | null>(xs.length).fill(null);
    x.forEach((value, i) => { column[at.get(value) as number] = y[i] ?? null; });
    return column;
  });
  return [xs, ...columns];
}

function draw(place: HTMLElement, data: CurveData, aligned: uPlot.AlignedData): uPlot {
  const colours = ["--accent", "--success", "--warning", "--danger", "--text-dim"] as const;
  const axis = (label: string | undefined): uPlot.Axis => ({
    ...(label ? { label } : {}), stroke: token("--text-dim"), grid: { stroke: token("--line"), width: 1 }, ticks: { stroke: token("--line"), width: 1 }, labelSize: 22,
  });
  return new uPlot({
    width: Math.max(200, place.clientWidth), height: HEIGHT_PX,
    scales: { x: { time: false } },
    axes: [{ ...axis(data.x_label ?? "step"), incrs: WHOLE_STEPS }, { ...axis(data.y_label), size: 58 }],
    series: [{ label: data.x_label ?? "step" }, ...data.series.map(({ name }, i) => ({ label: name, stroke: token(colours[i % colours.length] as `--${string}`), width: 2, spanGaps: true, points: { show: aligned[0].length < 40 } }))],
  }, aligned, place);
}
