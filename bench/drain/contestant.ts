import type pg from 'pg';

/** One way to get events handled: filled into a database of its own, then measured until none is left. */
export interface Contestant {
  readonly name: string;
  /** The database that its own is a copy of; an empty one when absent. */
  readonly template?: string;
  /** What was tuned, as the output shows it. */
  readonly settings: Readonly<Record<string, string | number>>;
  /** Adds the events, which is not measured. */
  fill(url: string, events: number): Promise<void>;
  /** Handles them all; answers the seconds it took, by a clock that starts when everything is connected. */
  work(url: string, events: number): Promise<number>;
  /** How many events are handled, counted in its own tables. */
  done(client: pg.Client): Promise<number>;
}
