/** Speaks HTTP with the server: CSRF, JSON, problem+json, and the server's clock. */
import { t } from "../core/language";

export class Problem extends Error {
  constructor(readonly status: number, readonly code: string, readonly title: string, readonly detail: string, readonly fields: Record<string, string[]> = {}) {
    super(detail || title);
  }
}

/** The server could not be reached; trying again later may help. */
export class Unreachable extends Error {}

export interface Reply<T> { status: number; headers: Headers; body: T }

/** ``outliving``: the request goes on when the page is closed; browsers take little of these (see OUTLIVING_CHARS). */
export interface SendOptions { headers?: Record<string, string>; signal?: AbortSignal; outliving?: boolean }

/** Browsers refuse requests that outlive their page above 64 KiB in all. */
export const OUTLIVING_CHARS = 50_000;

export class Api {
  private clockSkew_ms = 0;

  constructor(private readonly base: string, private readonly csrfToken: string) {}

  get = async <T>(path: string): Promise<T> => (await this.send<T>("GET", path)).body;

  post = async <T>(path: string, body: object = {}, options: SendOptions = {}): Promise<T> =>
    (await this.send<T>("POST", path, body, options)).body;

  /** Raises Problem for an answer of 400 or more, Unreachable when there is none or ``signal`` gave it up. */
  async send<T>(method: string, path: string, body?: object, { headers, signal, outliving = false }: SendOptions = {}): Promise<Reply<T>> {
    let response: Response;
    const text = body ? JSON.stringify(body) : undefined;
    try {
      response = await fetch(this.base + path, {
        method,
        credentials: "same-origin",
        headers: { Accept: "application/json", ...(body ? { "Content-Type": "application/json" } : {}), ...this.csrf(method), ...headers },
        body: text,
        keepalive: outliving && (text?.length ?? 0) < OUTLIVING_CHARS,
        signal: signal ?? null,
      });
    } catch (error) {
      throw new Unreachable(error instanceof Error ? error.message : String(error));
    }
    this.readClock(response.headers.get("Date"));
    const answer = await response.text().catch((error: unknown) => { throw new Unreachable(String(error)); });
    // A gateway that answers for a dead server is as good as no answer.
    if (response.status >= 502 && response.status <= 504) throw new Unreachable(`HTTP ${response.status}`);
    if (!response.ok) throw problemFrom(response.status, answer);
    return { status: response.status, headers: response.headers, body: (answer ? JSON.parse(answer) : null) as T };
  }

  /** Sends a form with progress from 0 to 1. fetch() cannot tell how far an upload is, so this is the older way. */
  upload<T>(path: string, form: FormData, onProgress: (part: number) => void): Promise<Reply<T>> {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", this.base + path);
      request.setRequestHeader("Accept", "application/json");
      request.setRequestHeader("X-CSRFToken", this.csrfToken);
      request.upload.addEventListener("progress", (event) => event.lengthComputable && onProgress(event.loaded / event.total));
      request.addEventListener("error", () => reject(new Unreachable(t("The upload was cut off."))));
      request.addEventListener("load", () => {
        if (request.status >= 400) reject(problemFrom(request.status, request.responseText));
        else resolve({ status: request.status, headers: new Headers(), body: JSON.parse(request.responseText || "null") as T });
      });
      request.send(form);
    });
  }

  /** Now by the server's clock, in milliseconds. */
  now(): number {
    return Date.now() + this.clockSkew_ms;
  }

  private csrf(method: string): Record<string, string> {
    return method === "GET" ? {} : { "X-CSRFToken": this.csrfToken };
  }

  private readClock(date: string | null): void {
    const server = date ? Date.parse(date) : NaN;
    if (Number.isFinite(server)) this.clockSkew_ms = server - Date.now();
  }
}

/** The session is over: the person must log in again, and what they did must wait for that. */
export const isLoggedOut = (error: unknown): boolean => error instanceof Problem && (error.status === 401 || error.code === "csrf_failed");

function problemFrom(status: number, text: string): Problem {
  try {
    const body = JSON.parse(text) as { code?: string; title?: string; detail?: string; errors?: Record<string, string[]> };
    return new Problem(status, body.code ?? "error", body.title ?? `HTTP ${status}`, body.detail ?? "", body.errors);
  } catch {
    return new Problem(status, "error", `HTTP ${status}`, t("The server answered in a way this page does not understand."));
  }
}

/** What to tell the person about any failure. */
export function failureText(error: unknown): string {
  if (error instanceof Problem) {
    const fields = Object.entries(error.fields).map(([field, messages]) => `${field}: ${messages.join(" ")}`);
    return [error.detail || error.title, ...fields].join(" ");
  }
  if (error instanceof Unreachable) return t("The server cannot be reached.");
  return error instanceof Error ? error.message : String(error);
}
