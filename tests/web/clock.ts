/**
 * A clock that stands still until a test moves it, in place of the global timers.
 * Must not know who set a timer. (Node's own mock lets timers of an earlier test disturb those of a later one.)
 */

interface Timer {
  readonly run: () => void;
  readonly every: number | undefined;
  due: number;
}

export class Clock {
  readonly #real = {
    setTimeout: globalThis.setTimeout,
    setInterval: globalThis.setInterval,
    clearTimeout: globalThis.clearTimeout,
    clearInterval: globalThis.clearInterval,
  };
  readonly #timers = new Set<Timer>();
  #now = 0;

  constructor() {
    const add = (run: () => void, wait: number, every: number | undefined): Timer => {
      const timer = { run, every, due: this.#now + wait };
      this.#timers.add(timer);
      return timer;
    };
    // A timer that was set before this clock, by a socket that is still closing, runs on the real one.
    const clear = (timer: Timer) => {
      if (!this.#timers.delete(timer)) this.#real.clearTimeout(timer as unknown as NodeJS.Timeout);
    };
    Object.assign(globalThis, {
      setTimeout: (run: () => void, wait = 0) => add(run, wait, undefined),
      setInterval: (run: () => void, wait: number) => add(run, wait, wait),
      clearTimeout: clear,
      clearInterval: clear,
    });
  }

  /** Move on, and run in order what falls due. */
  advance(milliseconds: number): void {
    const end = this.#now + milliseconds;
    for (;;) {
      const [next] = [...this.#timers].filter((timer) => timer.due <= end).sort((one, other) => one.due - other.due);
      if (next === undefined) break;
      this.#now = next.due;
      if (next.every === undefined) this.#timers.delete(next);
      else next.due += next.every;
      next.run();
    }
    this.#now = end;
  }

  restore(): void {
    Object.assign(globalThis, this.#real);
  }
}
