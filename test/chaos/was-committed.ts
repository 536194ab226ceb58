import { setTimeout as delay } from 'node:timers/promises';
import type { ChaosLine } from './chaos-line.ts';

export interface OpenQuestion {
  /** The transaction's number, asked for inside it. */
  readonly xid: string;
  /** Its row in `chaos_witness`; also the name under which it was prepared, if it was. */
  readonly token: string;
}

/**
 * Whether a transaction was committed whose COMMIT got no answer. `pg_xact_status` says it, also after a crash,
 * with one exception: a number that was given out but had reached no WAL on disk is given out again after a
 * crash. The witness tells whose number it is: it was written by the transaction in question and by no other.
 * What is found prepared is committed.
 * @throws when both contradict each other
 */
export async function wasCommitted(line: ChaosLine, { xid, token }: OpenQuestion): Promise<boolean> {
  for (;;) {
    const prepared = await line.query('select from pg_prepared_xacts where gid = $1', [token]);
    // Its own writer's session may hold it for a moment yet.
    if (prepared.length > 0) await line.query(`commit prepared '${token}'`).catch(() => undefined);
    const status = await statusOf(line, xid);
    if (status === 'in progress') {
      await delay(20);
      continue;
    }
    const there = await line.query('select from chaos_witness where token = $1', [token]);
    if (there.length > 0 && status !== 'committed')
      throw new Error(`transaction ${xid} is ${status}, and its witness ${token} is there`);
    return there.length > 0;
  }
}

/** `null` where the number has not been given out (again) yet: after a crash the server counts on from its WAL. */
async function statusOf(line: ChaosLine, xid: string): Promise<string | null> {
  try {
    const [row] = await line.query<{ status: string | null }>('select pg_xact_status($1::xid8) as status', [
      xid,
    ]);
    return row?.status ?? null;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === '22023') return null;
    throw error;
  }
}
