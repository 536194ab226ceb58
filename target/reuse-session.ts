import type pg from 'pg';
import { closeSession, openSession, type SessionOptions } from './open-session.ts';

/** How long a session waits for the next step, in milliseconds. */
const KEPT_FOR_MS = 1_000;
/** Name of a session that waits. */
const WAITING = 'sluice:between-steps';

/** `DISCARD ALL` but for the cached plans, which the server keeps right by itself and the receipts' triggers need. */
const CLEAN = `close all; set session authorization default; reset role; reset all; deallocate all; unlisten *;
  select pg_advisory_unlock_all(); discard temp; discard sequences`;

interface KeptSession {
  readonly client: pg.Client;
  readonly timer: NodeJS.Timeout;
}

const kept = new Map<string, KeptSession>();

/**
 * Like `withSession`, for work that is soon followed by more of its kind: connecting costs more than a small step.
 * The session is kept for a second, cleaned of all that a step may leave in it, and under a name of its own; one whose work failed,
 * or that `mayKeep` refuses, is closed.
 */
export async function withReusedSession<T>(
  options: SessionOptions,
  work: (client: pg.Client) => Promise<T>,
  mayKeep: () => boolean = () => true,
): Promise<T> {
  const client = (await takeKept(options)) ?? (await openNamed(options));
  let isGood = false;
  try {
    const result = await work(client);
    isGood = mayKeep();
    return result;
  } finally {
    await (isGood ? keep(options.url, client) : closeSession(client));
  }
}

/** Closes what is kept; for a worker that ends. */
export async function closeKeptSessions(): Promise<void> {
  const sessions = [...kept.values()];
  kept.clear();
  for (const { timer } of sessions) clearTimeout(timer);
  await Promise.all(sessions.map(({ client }) => closeSession(client)));
}

async function takeKept(options: SessionOptions): Promise<pg.Client | undefined> {
  const session = kept.get(options.url);
  if (session === undefined) return undefined;
  kept.delete(options.url);
  clearTimeout(session.timer);
  return named(session.client, options).catch(async () => {
    // It broke while it waited, for instance because the server restarted.
    await closeSession(session.client);
    return undefined;
  });
}

async function openNamed(options: SessionOptions): Promise<pg.Client> {
  const client = await openSession({ ...options, applicationName: WAITING });
  try {
    return await named(client, options);
  } catch (error) {
    await closeSession(client);
    throw error;
  }
}

async function named(client: pg.Client, { applicationName }: SessionOptions): Promise<pg.Client> {
  await client.query(`select set_config('application_name', $1, false)`, [applicationName.slice(0, 63)]);
  return client;
}

async function keep(url: string, client: pg.Client): Promise<void> {
  const isClean = await client.query(CLEAN).then(
    () => true,
    () => false,
  );
  if (!isClean || kept.has(url)) return closeSession(client);
  const timer = setTimeout(() => {
    kept.delete(url);
    void closeSession(client);
  }, KEPT_FOR_MS);
  kept.set(url, { client, timer });
}
