import type pg from 'pg';
import { SQLSTATES } from '../contracts/sqlstates.ts';
import { askFunction } from '../target/ask-function.ts';
import { isStatementTimeout } from '../target/repeat-lost-transaction.ts';
import { sqlstateOf } from '../target/sqlstate-of.ts';
import type { Transact } from '../target/transact.ts';
import { reason, type Sample, type TriedSample, untried } from './try-out-sample.ts';
import { sayStanding } from './try-out-standing.ts';

export interface DatabaseTryOut {
  readonly client: pg.Client;
  readonly transact: Transact<'read only' | 'read write'>;
  /** For the record that is taken back, and for functions that read it. */
  readonly actor: string;
  readonly reason: string;
  /** How long one letter may take, in milliseconds. */
  readonly letterTimeoutMs: number;
  /** No letter is begun after this moment of `performance.now()`. */
  readonly until: number;
}

/** Letters of one transaction at most, and after so many milliseconds none more: an open one holds everybody's mark back. */
const LETTERS = 5;
const TRANSACTION_MS = 2_000;

/** Ends a transaction that must leave nothing. */
class TakenBack extends Error {}

/**
 * Replays letters whose target is a function of the database, or that belong to no route, and takes each back. Every
 * transaction is a probe from its first statement on: the database itself refuses its COMMIT. Each letter is a statement
 * of its own under `letterTimeoutMs` between SAVEPOINT and ROLLBACK; constraints that are checked at COMMIT are checked
 * before. What a function does outside of its transaction (a sequence, a session lock) cannot be taken back.
 *
 * @throws the error of a connection that was lost
 */
export async function tryOutInDatabase(
  options: DatabaseTryOut,
  samples: readonly Sample[],
): Promise<ReadonlyMap<Sample, TriedSample>> {
  const tried = new Map<Sample, TriedSample>();
  const left: Sample[] = [];
  for (const sample of samples) {
    if (sample.mode === 'live') left.push(sample);
    else tried.set(sample, untried(sayStanding(sample.mode)));
  }
  while (left.length > 0 && performance.now() < options.until) {
    const end = new TakenBack();
    await options
      .transact('read write', async () => {
        await tryFew(options, left, tried);
        throw end;
      })
      .catch((error: unknown) => {
        if (error === end) return;
        if (sqlstateOf(error) === '') throw error;
        // The server refuses the probe itself; it would refuse the next one, too.
        for (const sample of left.splice(0)) tried.set(sample, untried(told(error)));
      });
  }
  return tried;
}

async function tryFew(
  options: DatabaseTryOut,
  left: Sample[],
  tried: Map<Sample, TriedSample>,
): Promise<void> {
  const { client } = options;
  await askFunction(client, 'fn_iu_probe_begin()', []);
  const check = await checkDeferred(client);
  const startedAt = performance.now();
  for (let count = 0; count < LETTERS; count += 1) {
    const [sample] = left;
    const isOver = performance.now() > Math.min(options.until, startedAt + TRANSACTION_MS);
    if (sample === undefined || (count > 0 && isOver)) return;
    tried.set(sample, await tryLetter(options, sample, check));
    left.shift();
  }
}

/** What `fn_iu_route_dead_letter_replay` answers. */
interface Replayed {
  readonly status: string;
  readonly decision: string | null;
  readonly resolved: boolean;
}

async function tryLetter(
  { client, letterTimeoutMs, ...by }: DatabaseTryOut,
  { dead_letter_id: id }: Sample,
  check: string | null,
): Promise<TriedSample> {
  await client.query(
    `savepoint sluice_try_out; set local statement_timeout = ${Math.max(1, Math.trunc(letterTimeoutMs))}`,
  );
  const startedAt = performance.now();
  let isReplayed = false;
  let found: TriedSample;
  try {
    const replay = 'fn_iu_route_dead_letter_replay($1, $2, $3)';
    const replayed = await askFunction<Replayed>(client, replay, [id, by.actor, by.reason]);
    isReplayed = true;
    found = await judge(client, id, replayed);
    if (found.verdict === 'fixed' && check !== null) await client.query(check);
  } catch (error) {
    const sqlstate = sqlstateOf(error);
    if (sqlstate === '') throw error;
    const isTimeout = isStatementTimeout(error, performance.now() - startedAt, letterTimeoutMs);
    const isOfTheLetter = isTimeout || (isReplayed && !passesOn(sqlstate));
    found = {
      verdict: isOfTheLetter ? 'still_failing' : 'unknown',
      because: isTimeout ? `it takes longer than ${letterTimeoutMs} ms` : told(error),
      isTried: true,
    };
  }
  await client.query('rollback to savepoint sluice_try_out; release savepoint sluice_try_out');
  return found;
}

/** What `fn_iu_replay_failure` answers. */
interface Failure {
  readonly code: string;
  readonly sqlstate: string | null;
  readonly message: string | null;
}

async function judge(client: pg.Client, id: string, replayed: Replayed): Promise<TriedSample> {
  const { status, decision, resolved } = replayed;
  if (status !== 'replayed') return untried(sayStanding(status));
  if (decision === 'dry_run') return untried(sayStanding('dry_run'));
  if (resolved) return { verdict: 'fixed', because: null, isTried: true };
  const { code, sqlstate, message } = await askFunction<Failure>(client, 'fn_iu_replay_failure($1)', [id]);
  if (sqlstate === SQLSTATES.probeOnly) {
    const because = 'it checks constraints itself, which a probe that is never committed does not let pass';
    return { verdict: 'unknown', because, isTried: true };
  }
  const because = message === null ? code : said(message, sqlstate);
  return { verdict: 'still_failing', because, isTried: true };
}

/**
 * The statement that checks now what would be checked at COMMIT; null where nothing is. The probe's own constraint stays
 * as it is, since it is the one that refuses every COMMIT.
 */
async function checkDeferred(client: pg.Client): Promise<string | null> {
  const { rows } = await client.query<{ names: string | null }>(
    `select string_agg(distinct format('%I.%I', n.nspname, c.conname), ', ') as names
       from pg_catalog.pg_constraint as c
       join pg_catalog.pg_namespace as n on n.oid = c.connamespace
      where c.condeferred
        and c.conname <> 'trg_iu_probe_refuse_commit'
        and pg_catalog.has_schema_privilege(n.oid, 'usage')`,
  );
  const names = rows[0]?.names ?? null;
  return names === null ? null : `set constraints ${names} immediate`;
}

/** As `fn_iu_passes_on`: errors that say nothing about the letter. */
function passesOn(sqlstate: string): boolean {
  return sqlstate === '55P03' || /^(?:25|40|53|57)/.test(sqlstate);
}

function told(error: unknown): string {
  return said(error instanceof Error ? error.message : String(error), sqlstateOf(error));
}

function said(message: string, sqlstate: string | null): string {
  return reason(sqlstate === null ? message : `${message.replace(/\.$/, '')} (${sqlstate})`);
}
