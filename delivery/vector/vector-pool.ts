import pg from 'pg';

/** How long a connection, new or another's, is waited for, in milliseconds. */
const CONNECT_WITHIN_MS = 10_000;
const IDLE_MS = 30_000;
/** In a transaction here nothing takes longer, in milliseconds. */
const STATEMENT_TIMEOUT_MS = 15_000;
const LOCK_TIMEOUT_MS = 5_000;

/** Transaction-local, so that a pooler between may hand the connection to somebody else. */
const BEGIN = `begin isolation level read committed;
  set local statement_timeout = ${STATEMENT_TIMEOUT_MS};
  set local lock_timeout = ${LOCK_TIMEOUT_MS};
  set local idle_in_transaction_session_timeout = ${STATEMENT_TIMEOUT_MS};
  set local synchronous_commit = on`;

/** A few connections to the database of the vectors, anew when its URL has changed. */
export class VectorPool {
  readonly #connections: number;
  #open: { readonly url: string; readonly pool: pg.Pool } | null = null;
  readonly #closing = new Set<Promise<void>>();

  constructor(connections: number) {
    this.#connections = connections;
  }

  /**
   * Runs the work in a short transaction, which ends as `end` says. When the signal is aborted, the connection is cut in
   * the middle of it.
   */
  async inTransaction<Result>(
    url: string,
    signal: AbortSignal,
    work: (client: pg.ClientBase) => Promise<Result>,
    end: 'commit' | 'rollback' = 'commit',
  ): Promise<Result> {
    const client = await this.#poolOf(url).connect();
    let isHeld = true;
    const release = (cut: boolean) => {
      if (isHeld) client.release(cut);
      isHeld = false;
    };
    const onAbort = () => release(true);
    if (signal.aborted) release(false);
    signal.throwIfAborted();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await client.query(BEGIN);
      const result = await work(client);
      await client.query(end);
      release(false);
      return result;
    } catch (error) {
      const isClean = isHeld && (await client.query('rollback').then(Boolean, () => false));
      release(!isClean);
      throw error;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async close(): Promise<void> {
    this.#retire();
    await Promise.all(this.#closing);
  }

  #poolOf(url: string): pg.Pool {
    if (this.#open?.url === url) return this.#open.pool;
    this.#retire();
    const pool = new pg.Pool({
      connectionString: url,
      application_name: 'sluice:vector',
      max: this.#connections,
      connectionTimeoutMillis: CONNECT_WITHIN_MS,
      idleTimeoutMillis: IDLE_MS,
      keepAlive: true,
    });
    // A connection that breaks leaves the pool by itself; who uses it hears of it from the query.
    pool.on('error', () => undefined);
    pool.on('connect', (client) => client.on('error', () => undefined));
    this.#open = { url, pool };
    return pool;
  }

  #retire(): void {
    if (this.#open === null) return;
    const ended = this.#open.pool.end().catch(() => undefined);
    this.#open = null;
    this.#closing.add(ended);
    void ended.finally(() => this.#closing.delete(ended));
  }
}
