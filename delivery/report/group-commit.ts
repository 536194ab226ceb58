import { setTimeout as delay } from 'node:timers/promises';

/** What waits to be committed. */
export interface Waiting<Item> {
  readonly item: Item;
  readonly bytes: number;
  /** Aborted while it waits, it is left out. */
  readonly signal: AbortSignal;
}

export interface GroupLimits {
  readonly items: number;
  readonly bytes: number;
  /** Rest between two groups, in milliseconds: others get their turn, and the next group grows. */
  readonly pauseMs: number;
}

interface Place<Item, Result> extends Waiting<Item> {
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** Commits what comes at the same time together, one group after the other, so that many share one sync. */
export class GroupCommit<Item, Result> {
  readonly #commit: (items: readonly Item[]) => Promise<readonly Result[]>;
  readonly #limits: GroupLimits;
  #queue: Place<Item, Result>[] = [];
  #running: Promise<void> | null = null;

  constructor(commit: (items: readonly Item[]) => Promise<readonly Result[]>, limits: GroupLimits) {
    this.#commit = commit;
    this.#limits = limits;
  }

  /** The result that `commit` gave for this item, at its place in the group. */
  add(waiting: Waiting<Item>): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ ...waiting, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Resolves when nothing waits and nothing is being committed. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  async #run(): Promise<void> {
    await null;
    for (let group = this.#nextGroup(); group.length > 0; group = this.#nextGroup()) {
      try {
        const results = await this.#commit(group.map(({ item }) => item));
        group.forEach(({ resolve, reject }, index) => {
          const result = results[index];
          if (result === undefined) reject(new Error('a commit gave fewer results than items'));
          else resolve(result);
        });
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
      await delay(this.#limits.pauseMs);
    }
    // Nothing happens between this and the look at the queue, so nobody who came meanwhile is forgotten.
    this.#running = null;
  }

  #nextGroup(): Place<Item, Result>[] {
    const group: Place<Item, Result>[] = [];
    let bytes = 0;
    while (group.length < this.#limits.items) {
      const next = this.#queue[0];
      if (next === undefined || (group.length > 0 && bytes + next.bytes > this.#limits.bytes)) break;
      this.#queue.shift();
      if (next.signal.aborted) next.reject(next.signal.reason);
      else {
        group.push(next);
        bytes += next.bytes;
      }
    }
    return group;
  }
}
