/** The page's configuration, which the server writes into the page as JSON. */

export interface Config {
  apiBase: string;
  wsBase: string;
  csrfToken: string;
  project: { id: number; slug: string; name: string; roles?: string[] };
  user: { id: number; name: string; username?: string };
  page: "work" | "home" | "arena" | "artists" | "artist-case" | "guidelines" | "console";
  stage?: "object" | "pick" | "pose";
  caseId?: number;
  testHandle: boolean;
  /** How the person wants their pages, and the language that follows from it. */
  settings?: { keys?: Record<string, string[]>; single_keys: boolean; language: string; theme: string; motion: string };
  language?: string;
  /** The largest uploads that the server takes. */
  limits?: { imageBytes: number; pointMapBytes: number; meshBytes: number };
}

export function readConfig(): Config {
  const element = document.getElementById("candid8-config");
  if (!element?.textContent) throw new Error("The page carries no candid8-config.");
  return JSON.parse(element.textContent) as Config;
}

export const pageUrl = {
  home: (slug: string) => `/p/${slug}/`,
  work: (slug: string, stage: string) => `/p/${slug}/work/${stage}`,
  arena: (slug: string) => `/p/${slug}/arena`,
  guidelines: (slug: string) => `/p/${slug}/guidelines/`,
  artists: (slug: string) => `/p/${slug}/artists/`,
  artistCase: (slug: string, id: number) => `/p/${slug}/artists/${id}`,
  console: () => "/admin/",
};
