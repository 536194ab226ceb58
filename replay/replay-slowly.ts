import type pg from 'pg';
import { askFunction } from '../target/ask-function.ts';
import { isStatementTimeout, repeatLostTransaction } from '../target/repeat-lost-transaction.ts';
import { sqlstateOf } from '../target/sqlstate-of.ts';
import type { Transact } from '../target/transact.ts';

/** Letters of one transaction at most. */
const LETTERS_PER_TRANSACTION = 100;
/** After so long a transaction takes no further letter: an open one holds back the high-water mark of everybody. */
const TRANSACTION_MS = 5_000;

export interface SlowReplay {
  readonly planHash: string;
  readonly runId: string;
  readonly until: 'canary' | 'end';
  /** The `statement_timeout` that `transact` sets, in milliseconds. */
  readonly statementTimeoutMs: number;
  /** How long one letter may take, in milliseconds. */
  readonly letterTimeoutMs: number;
  /** Ends it after the transaction at work. */
  readonly signal: AbortSignal;
}

/**
 * Tries up to `limit` letters one by one, each between SAVEPOINT and RELEASE under a `statement_timeout` of its own, so that
 * a letter that hangs fails alone. Transactions are small, and one ends with the letter that fails, so that limits, holds
 * and gates are looked at again before the next.
 *
 * @returns how many letters were tried
 * @throws the error where it says nothing about the letter: connection, resources, a person's cancellation; and after the
 * last try, a deadlock, a serialization failure, a lock or statement timeout. The transaction is rolled back then
 */
export async function replaySlowly(
  client: pg.Client,
  transact: Transact,
  replay: SlowReplay,
  limit: number,
): Promise<number> {
  const doing = `Replaying plan ${replay.planHash.slice(0, 12)} letter by letter`;
  let tried = 0;
  let now = 0;
  do {
    now = await repeatLostTransaction({ doing, statementTimeoutMs: replay.statementTimeoutMs }, () =>
      transact('read write', () => tryLetters(client, replay, limit - tried)),
    );
    tried += now;
  } while (now > 0 && tried < limit && !replay.signal.aborted);
  return tried;
}

/** Each letter is picked alone: what is picked has to be tried in the same transaction. */
async function tryLetters(client: pg.Client, replay: SlowReplay, limit: number): Promise<number> {
  const { planHash, runId, until } = replay;
  const startedAt = performance.now();
  let tried = 0;
  while (tried < Math.min(limit, LETTERS_PER_TRANSACTION)) {
    if (performance.now() - startedAt > TRANSACTION_MS) return tried;
    const next = 'fn_iu_replay_next($1, $2, $3, 1)';
    const places = await askFunction<readonly number[]>(client, next, [planHash, runId, until]);
    const [place] = places;
    if (place === undefined) return tried;
    tried += 1;
    const failure = await tryLetter(client, replay, place);
    if (failure !== null) {
      const fail = 'fn_iu_replay_fail($1, $2, $3, $4, $5)';
      await askFunction(client, fail, [planHash, runId, place, failure.sqlstate, failure.message]);
      return tried;
    }
  }
  return tried;
}

interface Failure {
  readonly sqlstate: string;
  readonly message: string;
}

/** Null where the letter was tried, however that went; what it did is undone where its try broke off. */
async function tryLetter(client: pg.Client, replay: SlowReplay, place: number): Promise<Failure | null> {
  const { planHash, runId, letterTimeoutMs, statementTimeoutMs } = replay;
  await client.query(
    `savepoint sluice_letter; set local statement_timeout = ${Math.max(1, Math.trunc(letterTimeoutMs))}`,
  );
  const startedAt = performance.now();
  try {
    await askFunction<number>(client, 'fn_iu_replay_try($1, $2, $3)', [planHash, runId, [place]]);
    await client.query(
      `release savepoint sluice_letter; set local statement_timeout = ${Math.trunc(statementTimeoutMs)}`,
    );
    return null;
  } catch (error) {
    if (!isOfTheLetter(error, performance.now() - startedAt, letterTimeoutMs)) throw error;
    await client.query('rollback to savepoint sluice_letter; release savepoint sluice_letter');
    return { sqlstate: sqlstateOf(error), message: error instanceof Error ? error.message : String(error) };
  }
}

/** Whether an error tells something about this letter; any other would come to every letter, or is gone the next time. */
function isOfTheLetter(error: unknown, tookMs: number, letterTimeoutMs: number): boolean {
  const sqlstate = sqlstateOf(error);
  if (isStatementTimeout(error, tookMs, letterTimeoutMs)) return true;
  return sqlstate !== '' && sqlstate !== '55P03' && !/^(?:25|40|53|57|SL)/.test(sqlstate);
}
