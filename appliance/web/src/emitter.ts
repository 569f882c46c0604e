/**
 * Listeners by event name.
 * Must not know what the events mean.
 */

export type Listener = (payload: unknown) => void;

export class Emitter {
  readonly #listeners = new Map<string, Set<Listener>>();

  add(event: string, listener: Listener): void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
  }

  remove(event: string, listener: Listener): void {
    this.#listeners.get(event)?.delete(listener);
  }

  /** Returns whether anybody listened. What a listener throws goes to `report`, and the others are still called. */
  emit(event: string, payload: unknown, report: (error: unknown) => void): boolean {
    const listeners = [...(this.#listeners.get(event) ?? [])];
    for (const listener of listeners) {
      try {
        listener(payload);
      } catch (error) {
        report(error);
      }
    }
    return listeners.length > 0;
  }
}
