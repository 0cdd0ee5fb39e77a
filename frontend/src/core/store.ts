/** A value that tells its listeners when it changes. */

export class Store<T extends object> {
  private readonly listeners = new Set<(state: T) => void>();

  constructor(private state: T) {}

  get(): T {
    return this.state;
  }

  set(change: Partial<T>): void {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener(this.state);
  }

  /** Calls the listener now and on every change. */
  watch(listener: (state: T) => void): () => void {
    this.listeners.add(listener);
    listener(this.state);
    return () => this.listeners.delete(listener);
  }
}
