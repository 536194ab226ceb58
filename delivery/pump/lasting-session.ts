import type pg from 'pg';
import { SluiceError } from '../../contracts/error-codes.ts';
import { classifyDatabaseError } from '../../target/map-database-error.ts';
import { closeSession, openSession } from '../../target/open-session.ts';

export interface LastingSessionOptions {
  /** Connection string; never logged. */
  readonly url: string;
  readonly applicationName: string;
  /** Schema of IU Core. */
  readonly schema: string;
  /** Milliseconds. */
  readonly lockTimeoutMs: number;
  /** Milliseconds, per statement. */
  readonly statementTimeoutMs: number;
  /** Called once for each connection that was lost, as soon as that is known. */
  readonly onLost?: () => void;
}

type Statement = pg.QueryConfig | pg.QueryArrayConfig;

/** A session that is opened when it is needed, and opened again after it was lost. */
export interface LastingSession {
  /**
   * Runs one statement as a transaction of its own, after those that were asked before. Nothing is repeated: after an
   * error of the connection the caller does not know whether it was committed, and what waited behind it was not asked.
   *
   * @throws the error of `pg`, or a SluiceError where no connection can be made
   */
  ask<R>(statement: Statement): Promise<readonly R[]>;
  close(): Promise<void>;
}

/** How much longer than its `statement_timeout` an answer may take before the connection counts as lost. */
const ANSWER_GRACE_MS = 5_000;

export function lastingSession(options: LastingSessionOptions): LastingSession {
  let opening: Promise<pg.Client> | undefined;
  let losses = 0;
  let last: Promise<unknown> = Promise.resolve();

  async function connect(): Promise<pg.Client> {
    const client = await openSession(options);
    try {
      await client.query(
        `set search_path = ${client.escapeIdentifier(options.schema)}, pg_temp;
         set default_transaction_isolation = 'read committed';
         set lock_timeout = ${Math.trunc(options.lockTimeoutMs)};
         set statement_timeout = ${Math.trunc(options.statementTimeoutMs)};
         set idle_session_timeout = 0;
         set client_min_messages = warning`,
      );
    } catch (error) {
      await closeSession(client);
      throw error;
    }
    client.once('end', () => lose(client));
    return client;
  }

  function open(): Promise<pg.Client> {
    if (opening === undefined) {
      const mine = connect();
      opening = mine;
      mine.catch(() => {
        if (opening === mine) opening = undefined;
      });
    }
    return opening;
  }

  const lost = new WeakSet<pg.Client>();
  function lose(client: pg.Client): void {
    if (lost.has(client)) return;
    lost.add(client);
    opening = undefined;
    losses += 1;
    options.onLost?.();
    void closeSession(client);
  }

  async function askNow<R>(statement: Statement, lossesBefore: number): Promise<readonly R[]> {
    if (losses !== lossesBefore) throw lostMeanwhile();
    const client = await open();
    try {
      const limited = { ...statement, query_timeout: options.statementTimeoutMs + ANSWER_GRACE_MS };
      return (await client.query(limited)).rows as R[];
    } catch (error) {
      if (isConnectionLost(error)) lose(client);
      throw error;
    }
  }

  return {
    ask<R>(statement: Statement) {
      const lossesBefore = losses;
      const answer = last.then(() => askNow<R>(statement, lossesBefore));
      last = answer.catch(() => undefined);
      return answer;
    },
    async close() {
      const client = await opening?.catch(() => undefined);
      if (client === undefined) return;
      lost.add(client);
      opening = undefined;
      await closeSession(client);
    },
  };
}

function lostMeanwhile(): SluiceError {
  return new SluiceError('target_unreachable', {
    what: 'The connection was lost before this was asked.',
    expected: 'A connection that lasts.',
    safe: 'Nothing was sent.',
  });
}

/** Whether an error says that there is no connection any more; what it was about may or may not have been committed. */
export function isConnectionLost(error: unknown): boolean {
  const code = error instanceof SluiceError ? error.code : classifyDatabaseError(error);
  return code === 'target_unreachable' || (error instanceof Error && error.message === 'Query read timeout');
}
