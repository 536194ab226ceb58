import pg from 'pg';
import { mapDatabaseError } from './map-database-error.ts';

/** How long a connection may take to be made, in milliseconds. */
const CONNECT_TIMEOUT_MS = 10_000;
/** Idle time after which the system asks whether the server still lives, in milliseconds. */
const KEEP_ALIVE_AFTER_MS = 10_000;
/** How long a connection may take to say goodbye before it is cut, in milliseconds. */
const CLOSE_WITHIN_MS = 3_000;

export interface SessionOptions {
  /** Connection string; never logged. */
  readonly url: string;
  /** Shown in `pg_stat_activity`, so that on-call sees whose session it is; at most 63 bytes count. */
  readonly applicationName: string;
}

/**
 * Opens one session of the engine. The server checks every second that this client still lives
 * (`client_connection_check_interval`), because the backend of a killed worker otherwise works on; and a commit waits
 * until it is safe (`synchronous_commit`), whatever the role or the database says.
 *
 * @throws SluiceError `target_unreachable`, `target_authentication`, `target_not_found`, `target_permission`
 */
export async function openSession(options: SessionOptions): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: withSettings(options.url),
    application_name: options.applicationName.slice(0, 63),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
  });
  // A connection that breaks while idle reports here; the next query reports it to its caller.
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    await closeSession(client);
    throw mapDatabaseError(error, 'Connecting to the target');
  }
  return client;
}

/** Runs `work` with a session and closes it, whatever happens. */
export async function withSession<T>(
  options: SessionOptions,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = await openSession(options);
  try {
    return await work(client);
  } finally {
    await closeSession(client);
  }
}

/** Ends a session. One whose server no longer answers is cut, so that nobody waits for a goodbye that never comes. */
export async function closeSession(client: pg.Client): Promise<void> {
  const cut = setTimeout(() => streamOf(client)?.destroy(), CLOSE_WITHIN_MS);
  await client.end().catch(() => undefined);
  clearTimeout(cut);
}

/**
 * Options that the connection string brings are kept. Settings given here count before those of a role or database, so
 * that none of them makes a commit that was answered one that a crash may forget.
 */
function withSettings(url: string): string {
  if (!URL.canParse(url)) return url;
  const asked = new URL(url);
  const given = asked.searchParams.get('options');
  asked.searchParams.set(
    'options',
    `${given ?? ''} -c client_connection_check_interval=1000 -c synchronous_commit=on`.trim(),
  );
  return asked.href;
}

function streamOf(client: pg.Client): { destroy(): void } | undefined {
  return (client as pg.Client & { connection?: { stream?: { destroy(): void } } }).connection?.stream;
}
