import type pg from 'pg';
import type { QueuedPost } from './queued-posts.ts';

/** What a contestant is to do, beside its database. */
export interface PostWork {
  /** The same for every contestant, in the same order. */
  readonly posts: readonly QueuedPost[];
  readonly url: string;
  /** Requests in flight. */
  readonly concurrency: number;
}

/** One way to get events posted: filled into a database of its own, then measured until each is accounted for. */
export interface PostContestant {
  readonly name: string;
  /** The database that its own is a copy of; null for one that needs none. */
  readonly template: string | null;
  /** What was tuned, as the output shows it. */
  readonly settings: Readonly<Record<string, string | number>>;
  /** Adds what is to be posted, which is not measured. */
  fill(url: string, posts: readonly QueuedPost[]): Promise<void>;
  /** Posts everything; answers the seconds it took. */
  work(url: string, work: PostWork): Promise<number>;
  /** How many are done, counted in its own tables. */
  done(client: pg.Client): Promise<number>;
}
