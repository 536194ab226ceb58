import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MacroStatus } from '../../contracts/macro-run.ts';
import { type TestEngine, testEngine } from '../support/engine.ts';
import { waitFor } from '../support/wait-for.ts';
import { type Documents, documents } from './support/documents.ts';
import { checksOf, configuration, counts, verdictsOf, verifiedEvidence } from './support/iu-facts.ts';
import { type OwnServer, ownServer } from './support/own-server.ts';
import { runShipped, type ShippedMacro } from './support/shipped-macros.ts';

const ids = (letter: string, from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => `${letter}${from + index} pass`);
const PROBE = [
  ...ids('P', 0, 9),
  'POST-ROLLBACK pass',
  'POST-ROLLBACK gates pass',
  'POST-ROLLBACK guard pass',
];
const INSTALLED = ids('W', 1, 9);
const LIVE = ids('L', 1, 9);

const short = (verdicts: readonly string[]) =>
  verdicts.map((line) => line.replace(/^([A-Z]\d+) .* (\w+)$/, '$1 $2'));
const states = ({ steps }: MacroStatus) => steps.map(({ id, state }) => `${id} ${state}`);
const changed = (status: MacroStatus) =>
  status.steps
    .filter(({ kind }) => kind === 'migrate' || kind === 'enable')
    .map(({ state }) => state)
    .filter((state, index, all) => all.indexOf(state) === index);

describe.each([15, 18] as const)('on PostgreSQL %i', { timeout: 120_000 }, (major) => {
  let engine: TestEngine;
  let library: Documents;
  let server: OwnServer;
  beforeAll(async () => {
    server = await ownServer(major);
    engine = await testEngine({ database: await server.create() });
    library = await documents();
  });
  afterAll(async () => {
    await engine.abandon();
    await engine.close();
    await library.remove();
    await server.stop();
  });

  /** A macro that succeeds, with an outcome that says why where it does not. */
  const succeeds = async (macro: ShippedMacro, onObserve?: () => Promise<unknown>) => {
    const status = await runShipped(engine, macro, onObserve === undefined ? {} : { onObserve });
    expect([status.outcome, status.cause, status.held, states(status).join(', ')]).toEqual([
      'succeeded',
      '',
      null,
      expect.not.stringMatching(/failed|pending|undo/),
    ]);
    const evidence = await verifiedEvidence(engine, status.runId);
    expect(evidence.run.outcome).toBe('succeeded');
    return { status, evidence };
  };
  const detailsOf = async (status: MacroStatus, stepId: string) =>
    Object.fromEntries(
      (await checksOf(engine, status.runId, stepId)).map(({ checkId, detail }) => [
        checkId.replace(/^([A-Z]\d+) .*/, '$1'),
        detail,
      ]),
    );

  test('a fresh database: installed, inert, live, organic events drained', async () => {
    const base = await succeeds('iu-core-base');
    expect(changed(base.status)).toEqual(['done']);
    expect(await library.edit(engine.sql)).toMatchObject({ created: 6, versionsAdded: 0, events: 0 });

    const { status: install } = await succeeds('event-worker');
    expect(changed(install)).toEqual(['done']);
    expect(short(await verdictsOf(engine, install.runId, 'verify'))).toEqual(INSTALLED);
    expect(await configuration(engine)).toMatchObject({
      'iu_core.outbound_enabled': 'true',
      'iu_core.route_worker_enabled': 'false',
    });

    const { status: live, evidence } = await succeeds('worker-live-dry-run', () => library.edit(engine.sql));
    expect(changed(live)).toEqual(['done']);
    expect(short(await verdictsOf(engine, live.runId, 'verify-live'))).toEqual(LIVE);
    expect(short(await verdictsOf(engine, live.runId, 'probe'))).toEqual(PROBE);
    expect(await detailsOf(live, 'verify-live')).toMatchObject({
      L6: expect.stringMatching(/keyset still NULL$/),
      L7: '0/0',
      L9: 'backlog 0',
    });
    expect(await detailsOf(live, 'probe')).toMatchObject({
      P0: 'iu_events 0 / attempts 0 / dead_letters 0',
      P9: 'iu_events 1 / attempts 4 / dead_letters 1',
      'POST-ROLLBACK': expect.stringMatching(
        /is aborted; left of it: iu_events 0 \/ attempts 0 \/ dead_letters 0; in the tables: 0 \/ 0 \/ 0$/,
      ),
      'POST-ROLLBACK gates': 'master gate true, worker gate true',
    });
    expect(await counts(engine)).toEqual({
      units: 6,
      versions: 12,
      events: 6,
      attempts: 6,
      dryRuns: 6,
      deadLetters: 0,
      markers: 0,
      cursors: 1,
    });
    const backup = evidence.steps.find((step) => step.kind === 'backup');
    expect(backup?.detail).toMatch(
      major === 15
        ? /^custom \d+ B, .*, restored: \d+ of \d+ tables equal$/
        : /^(custom|scoped-snapshot) \d+ B, .*, restored: \d+ of \d+ tables equal$/,
    );
    expect(evidence.atCollection.conservation?.verdict).toBe('pass');
  });

  test('again on the same database: what holds is left as it is, the figures are those of this run', async () => {
    for (const macro of ['iu-core-base', 'event-worker'] as const) {
      const { status } = await succeeds(macro);
      expect(changed(status)).toEqual(['already_applied']);
    }
    const { status: live } = await succeeds('worker-live-dry-run', () => library.edit(engine.sql));
    expect(changed(live)).toEqual(['already_applied']);
    expect(short(await verdictsOf(engine, live.runId, 'verify-live'))).toEqual(LIVE);
    expect(short(await verdictsOf(engine, live.runId, 'probe'))).toEqual(PROBE);
    expect(await detailsOf(live, 'probe')).toMatchObject({
      P0: 'iu_events 0 / attempts 0 / dead_letters 0 (history before it: 6 / 6 / 0)',
      P9: 'iu_events 1 / attempts 4 / dead_letters 1',
      'POST-ROLLBACK': expect.stringMatching(/in the tables: 6 \/ 6 \/ 0$/),
    });
    expect(await counts(engine)).toMatchObject({ versions: 18, events: 12, attempts: 12, dryRuns: 12 });
  });

  test('beside organic writers and a running drain', async () => {
    const drain = await engine.client.workflow.start('drain', {
      workflowId: `drain/${engine.target}`,
      taskQueue: engine.taskQueue,
      args: [
        {
          target: engine.target,
          cursorCode: 'iu_outbound_default',
          batchSize: 100,
          forMs: 600_000,
          idleMs: 50,
        },
      ],
    });
    const writing = new AbortController();
    const { rows } = await engine.sql.query<{ unit_code: string }>(
      'select unit_code from information_unit order by unit_code',
    );
    const writers = await Promise.all(
      [0, 1, 2].map(async (number) => ({ number, client: await engine.database.connect() })),
    );
    const written = Promise.all(
      writers.map(({ number, client }) =>
        write(
          client,
          rows.map((row) => row.unit_code),
          number,
          writing.signal,
        ),
      ),
    );
    try {
      for (const macro of ['iu-core-base', 'event-worker', 'worker-live-dry-run'] as const) {
        const { status } = await succeeds(macro);
        if (macro !== 'worker-live-dry-run') continue;
        expect(short(await verdictsOf(engine, status.runId, 'verify-live'))).toEqual(LIVE);
        expect(short(await verdictsOf(engine, status.runId, 'probe'))).toEqual(PROBE);
        expect((await detailsOf(status, 'probe')).P9).toBe('iu_events 1 / attempts 4 / dead_letters 1');
      }
    } finally {
      writing.abort();
      await written;
    }
    const all = await waitFor(async () => {
      const now = await counts(engine);
      return now.attempts === now.events ? now : null;
    });
    await drain.cancel();
    await drain.result().catch(() => undefined);
    expect(all.events).toBeGreaterThan(100);
    expect(all).toMatchObject({
      versions: all.events + 6,
      dryRuns: all.events,
      deadLetters: 0,
      markers: 0,
      cursors: 1,
    });
  });
});

/** Adds versions, one transaction each, until the signal; some of the transactions take their time. */
async function write(client: pg.Client, units: readonly string[], writer: number, signal: AbortSignal) {
  for (let edit = 1; !signal.aborted; edit += 1) {
    const unit = units[(edit + writer) % units.length];
    await client.query('begin');
    await client.query('select fn_iu_add_version($1, $2, $3)', [unit, `${writer} ${edit}`, 'a writer']);
    await client.query('select pg_sleep($1)', [edit % 10 === 0 ? 0.1 : 0.02]);
    await client.query('commit');
  }
}
