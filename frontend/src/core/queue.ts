/** One queue for asynchronous work: each piece starts when the one before has ended, also when that one failed. */

export class Queue {
  private tail: Promise<unknown> = Promise.resolve();
  private waiting = 0;

  add<T>(work: () => Promise<T>): Promise<T> {
    this.waiting += 1;
    const result = this.tail.then(work, work);
    this.tail = result.then(
      () => { this.waiting -= 1; },
      () => { this.waiting -= 1; },
    );
    return result;
  }

  get isIdle(): boolean {
    return this.waiting === 0;
  }
}
