import { setTimeout as delay } from 'node:timers/promises';
import { type ChaosLine, chaosLine } from './chaos-line.ts';
import type { EmittedEvent, Oracle } from './oracle.ts';
import type { SeededRandom } from './seeded-random.ts';
import { isExpected, type Surprises } from './surprises.ts';
import { draftTransaction, type Step, type TransactionPlan } from './transaction-plan.ts';
import { wasCommitted } from './was-committed.ts';

export interface WriterTally {
  transactions: number;
  committed: number;
  rolledBack: number;
  /** Cut off before COMMIT was sent: by a kill, a crash, a deadlock. */
  cutOff: number;
  savepoints: number;
  savepointsRolledBack: number;
  prepared: number;
  /** COMMIT without an answer, resolved afterwards. */
  unanswered: number;
  unansweredCommitted: number;
}

export function emptyWriterTally(): WriterTally {
  return {
    transactions: 0,
    committed: 0,
    rolledBack: 0,
    cutOff: 0,
    savepoints: 0,
    savepointsRolledBack: 0,
    prepared: 0,
    unanswered: 0,
    unansweredCommitted: 0,
  };
}

export interface Writer {
  readonly name: string;
  readonly url: () => string;
  readonly random: SeededRandom;
  readonly oracle: Oracle;
  readonly tally: WriterTally;
  readonly surprises: Surprises;
  readonly isOver: () => boolean;
}

/** What a transaction has done so far. */
interface Progress {
  readonly emitted: EmittedEvent[];
  readonly savepoints: number[];
  xid: string | undefined;
}

/** Writes transaction after transaction until it is told to stop, and tells the oracle which events are committed. */
export async function runWriter(writer: Writer): Promise<void> {
  let line = await chaosLine(writer.url, writer.name);
  for (let serial = 1; !writer.isOver(); serial += 1) {
    if (line.isBroken()) line = await chaosLine(writer.url, writer.name);
    line = await write(writer, line, draftTransaction(writer.random), `${writer.name} ${serial}`);
  }
  await line.close();
}

async function write(
  writer: Writer,
  line: ChaosLine,
  plan: TransactionPlan,
  token: string,
): Promise<ChaosLine> {
  const { tally, oracle } = writer;
  const progress: Progress = { emitted: [], savepoints: [], xid: undefined };
  tally.transactions += 1;
  try {
    await line.query('begin');
    for (const step of plan.steps) await take(step, { writer, line, token, progress });
    if (plan.ending === 'roll back') {
      await line.query('rollback');
      tally.rolledBack += 1;
      return line;
    }
  } catch (error) {
    writer.surprises.note(error, isExpected(error));
    tally.cutOff += 1;
    if (!line.isBroken()) await line.query('rollback').catch(() => line.hangUp());
    return line;
  }
  if (plan.ending === 'hang up') {
    line.hangUp();
    tally.cutOff += 1;
    return line;
  }
  let resolvedBy = line;
  if (!(await end(writer, line, plan, token))) {
    tally.unanswered += 1;
    resolvedBy = await afterwards(writer, { xid: progress.xid ?? '', token }, progress.emitted);
    line.hangUp();
  } else {
    tally.committed += 1;
    oracle.note(progress.emitted);
  }
  return resolvedBy;
}

/** Ends the transaction; resolves to whether COMMIT was acknowledged. */
async function end(writer: Writer, line: ChaosLine, plan: TransactionPlan, token: string): Promise<boolean> {
  try {
    if (plan.ending === 'prepare') {
      writer.tally.prepared += 1;
      await line.query(`prepare transaction '${token}'`);
      await delay(plan.preparedMs);
      await line.query(`commit prepared '${token}'`);
      return true;
    }
    const answer = line.query('commit');
    if (plan.ending === 'commit and hang up') {
      answer.catch(() => undefined);
      // The query is on its way once this turn of the loop is over.
      setImmediate(() => setImmediate(() => line.hangUp()));
    }
    await answer;
    return plan.ending !== 'commit and hang up' || !line.isBroken();
  } catch (error) {
    writer.surprises.note(error, isExpected(error));
    return false;
  }
}

/** Finds out what became of a COMMIT without an answer, on new connections for as long as these break. */
async function afterwards(
  writer: Writer,
  question: { xid: string; token: string },
  emitted: readonly EmittedEvent[],
): Promise<ChaosLine> {
  for (;;) {
    const line = await chaosLine(writer.url, writer.name);
    try {
      if (await wasCommitted(line, question)) {
        writer.tally.committed += 1;
        writer.tally.unansweredCommitted += 1;
        writer.oracle.note(emitted);
      }
      return line;
    } catch (error) {
      line.hangUp();
      if (!isExpected(error)) throw error;
    }
  }
}

interface At {
  readonly writer: Writer;
  readonly line: ChaosLine;
  readonly token: string;
  readonly progress: Progress;
}

async function take(step: Step, { writer, line, token, progress }: At): Promise<void> {
  switch (step.do) {
    case 'pause':
      await delay(step.ms);
      return;
    case 'take number':
      await line.query('select pg_current_xact_id()');
      return;
    case 'write witness': {
      const [row] = await line.query<{ xid: string }>(
        'insert into chaos_witness (token) values ($1) returning xact_id::text as xid',
        [token],
      );
      progress.xid = row?.xid;
      return;
    }
    case 'savepoint':
      await line.query('savepoint part');
      progress.savepoints.push(progress.emitted.length);
      writer.tally.savepoints += 1;
      return;
    case 'release savepoint':
      await line.query('release savepoint part');
      progress.savepoints.pop();
      return;
    case 'roll back to savepoint':
      await line.query('rollback to savepoint part; release savepoint part');
      progress.emitted.length = progress.savepoints.pop() ?? 0;
      writer.tally.savepointsRolledBack += 1;
      return;
    case 'emit': {
      const rows = await line.query<{ id: string }>(
        `select fn_iu_emit_event('chaos', kind, subject, null, payload, $4) as id
           from unnest($1::text[], $2::text[], $3::jsonb[]) as draft (kind, subject, payload)`,
        [
          step.events.map(({ kind }) => kind),
          step.events.map(({ subject }) => subject),
          step.events.map(({ payload }) => JSON.stringify(payload)),
          writer.name,
        ],
      );
      for (const [place, draft] of step.events.entries()) {
        const id = rows[place]?.id;
        if (id === undefined) throw new Error(`${rows.length} ids for ${step.events.length} events`);
        progress.emitted.push({ id, draft });
      }
    }
  }
}
