/** Live news of a project for pages that only read: what changed is fetched again, not more than a few times a second. */
import type { ServerEvent } from "./contract";
import { ProjectSocket, socketUrl } from "./socket";

const GATHER_MS = 250;

/** Calls ``refresh`` soon after any event that ``concerns`` it, and after each reconnect. */
export function onNews(wsBase: string, projectId: number, concerns: (event: ServerEvent) => boolean, refresh: () => Promise<void>): ProjectSocket {
  let timer = 0;
  const soon = () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => void refresh().catch(() => undefined), GATHER_MS);
  };
  return new ProjectSocket(socketUrl(wsBase, projectId), { event: (event) => { if (concerns(event)) soon(); }, refetch: soon, online: () => undefined });
}
