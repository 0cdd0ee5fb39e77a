/** The project's WebSocket: reconnects by itself, and says so, because what happened meanwhile must be fetched again. */
import type { ServerEvent } from "./contract";

export interface SocketListener {
  event: (event: ServerEvent) => void;
  /** After a gap (reconnect or missed sequence numbers): fetch the truth again. */
  refetch: () => void;
  online: (isOnline: boolean) => void;
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

export class ProjectSocket {
  private socket: WebSocket | null = null;
  private wait_ms = FIRST_WAIT_MS;
  private timer = 0;
  private hasConnected = false;
  private lastSeq: number | null = null;
  private closed = false;

  constructor(private readonly url: string, private readonly listener: SocketListener) {
    this.connect();
    addEventListener("online", () => this.retryNow());
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket?.close();
  }

  private retryNow(): void {
    if (this.closed || (this.socket && this.socket.readyState <= WebSocket.OPEN)) return;
    clearTimeout(this.timer);
    this.connect();
  }

  private connect(): void {
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.addEventListener("open", () => {
      this.wait_ms = FIRST_WAIT_MS;
      this.listener.online(true);
      if (this.hasConnected) this.listener.refetch();
      this.hasConnected = true;
      this.lastSeq = null;
    });
    socket.addEventListener("message", (message) => this.receive(JSON.parse(String(message.data)) as ServerEvent));
    socket.addEventListener("close", () => {
      if (this.closed) return;
      this.listener.online(false);
      // Spread the return of many pages after a restart of the server.
      this.timer = window.setTimeout(() => this.connect(), this.wait_ms * (0.5 + Math.random()));
      this.wait_ms = Math.min(LONGEST_WAIT_MS, this.wait_ms * 2);
    });
  }

  private receive(event: ServerEvent): void {
    const hasGap = this.lastSeq !== null && typeof event.seq === "number" && event.seq > this.lastSeq + 1;
    if (typeof event.seq === "number") this.lastSeq = event.seq;
    if (hasGap) this.listener.refetch();
    if (event.type !== "hello") this.listener.event(event);
  }
}

export function socketUrl(wsBase: string, projectId: number): string {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${wsBase}/projects/${projectId}`;
}
