import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { MacroStatus } from '../../contracts/macro-run.ts';
import { startReceiver } from '../delivery-activity/support/receiver.ts';
import type { TestEngine } from '../support/engine.ts';
import {
  AT_REST,
  allow,
  balanced,
  configure,
  LOCAL,
  ledger,
  liveTemplate,
  received,
  reports,
  seamTemplate,
  state,
  targetFunction,
} from './delivery-support/delivering.ts';
import { installedEngine } from './support/installed.ts';
import { verdictsOf, verifiedEvidence } from './support/iu-facts.ts';
import { type OwnServer, ownServer } from './support/own-server.ts';
import { runShipped, type ShippedMacro } from './support/shipped-macros.ts';

const LONG = { timeout: 240_000 };
const ids = (letter: string, from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => `${letter}${from + index} pass`);
const short = (verdicts: readonly string[]) =>
  verdicts.map((line) => line.replace(/^([A-Z]\d+) .* (\w+)$/, '$1 $2'));
const states = ({ steps }: MacroStatus) => steps.map(({ id, state: now }) => `${id} ${now}`);
const GONE = ['POST-ROLLBACK pass', 'POST-ROLLBACK gates pass', 'POST-ROLLBACK guard pass'];

describe.each([15, 18] as const)('on PostgreSQL %i', LONG, (major) => {
  let server: OwnServer;
  /** With the worker live in dry run; and with the seam built. */
  let live: string;
  let seamed: string;
  let engine: Awaited<ReturnType<typeof installedEngine>> | undefined;
  beforeAll(async () => {
    server = await ownServer(major);
    live = await liveTemplate(server);
    seamed = await seamTemplate(server, live);
  }, 240_000);
  afterAll(() => server.stop());
  afterEach(async () => {
    await engine?.abandon();
    await engine?.close();
    engine = undefined;
  });
  const opened = async (template: string) => {
    engine = await installedEngine(server, template);
    return engine;
  };
  const succeeds = async (on: TestEngine, macro: ShippedMacro, onObserve?: () => Promise<unknown>) => {
    const status = await runShipped(on, macro, onObserve === undefined ? {} : { onObserve });
    expect([status.outcome, status.cause, states(status).join(', ')]).toEqual([
      'succeeded',
      '',
      expect.not.stringMatching(/failed|pending|undo/),
    ]);
    const evidence = await verifiedEvidence(on, status.runId);
    expect(evidence.run.outcome).toBe('succeeded');
    return { status, evidence };
  };

  test('delivery-seam is installed inert, and again where it holds', async () => {
    const on = await opened(live);
    const { status } = await succeeds(on, 'delivery-seam');
    expect(short(await verdictsOf(on, status.runId, 'mandatory-gates'))).toEqual(ids('S', 1, 9));
    expect(short(await verdictsOf(on, status.runId, 'probe'))).toEqual([...ids('V', 0, 14), ...GONE]);
    expect(short(await verdictsOf(on, status.runId, 'verify'))).toEqual(ids('A', 1, 9));
    expect(await state(on.sql)).toBe(AT_REST);
    await on.edit();
    expect(await ledger(on.sql)).toEqual({ dry_run: 6, queued: 0, letters: 0, backlog: 6 });

    const { status: again } = await succeeds(on, 'delivery-seam');
    expect(states(again).filter((line) => line.startsWith('install'))).toEqual([
      'install-010 already_applied',
      'install-011 already_applied',
    ]);
    expect(short(await verdictsOf(on, again.runId, 'probe'))).toEqual([...ids('V', 0, 14), ...GONE]);
  });

  test('delivery-live makes one delivery into a report and is at rest again; durable-live-route delivers what arrives', async () => {
    const on = await opened(seamed);
    const kept = await reports();
    configure(on, { report: { dir: kept.dir } });
    await allow(on.sql, 'report', 'daily');
    await on.edit();
    const { status, evidence } = await succeeds(on, 'delivery-live');
    expect(short(await verdictsOf(on, status.runId, 'mandatory-gates'))).toEqual(ids('B', 1, 14));
    expect(short(await verdictsOf(on, status.runId, 'delivered'))).toEqual(ids('C', 1, 6));
    expect(short(await verdictsOf(on, status.runId, 'probe'))).toEqual([...ids('K', 0, 8), ...GONE]);
    expect(short(await verdictsOf(on, status.runId, 'verify'))).toEqual([
      ...ids('A', 1, 9),
      ...ids('H', 1, 2),
    ]);
    expect(await state(on.sql)).toBe(AT_REST);
    expect(await ledger(on.sql)).toEqual({ dry_run: 11, sent: 1, queued: 0, letters: 0, backlog: 0 });
    expect(await kept.lines('daily')).toHaveLength(1);
    expect(evidence.atCollection.conservation?.verdict).toBe('pass');

    await allow(on.sql, 'report', 'daily');
    const { status: durable } = await succeeds(on, 'durable-live-route', on.edit);
    expect(short(await verdictsOf(on, durable.runId, 'mandatory-gates'))).toEqual([
      ...ids('B', 1, 14),
      ...ids('Q', 1, 3),
    ]);
    expect(short(await verdictsOf(on, durable.runId, 'verify-live'))).toEqual(ids('U', 1, 5));
    expect(short(await verdictsOf(on, durable.runId, 'verify'))).toEqual([...ids('A', 1, 9), 'H3 pass']);
    expect(await state(on.sql)).toBe(AT_REST);
    expect(await ledger(on.sql)).toEqual({ dry_run: 11, sent: 7, queued: 0, letters: 0, backlog: 0 });
    expect(await kept.lines('daily')).toHaveLength(7);
    await kept.remove();
  });

  test('delivery-live makes one signed delivery to an HTTP endpoint', async () => {
    const on = await opened(seamed);
    const endpoint = await startReceiver();
    const secret = `whsec_${randomBytes(32).toString('base64')}`;
    const path = join(on.backupDir, 'partner');
    await writeFile(path, secret, { mode: 0o600 });
    configure(on, { ...LOCAL, secrets: { partner: { kind: 'file', path } } });
    await allow(on.sql, 'external_endpoint', endpoint.url, {
      allow_http: true,
      signing_secrets: ['partner'],
    });
    await on.edit();
    const { evidence } = await succeeds(on, 'delivery-live');
    expect(endpoint.ledger).toHaveLength(1);
    const [delivery] = endpoint.ledger;
    const headers = delivery?.headers as Record<string, string>;
    expect(new Webhook(secret).verify(delivery?.body ?? '', headers)).toMatchObject({
      specversion: '1.0',
      source: 'https://iu.example',
    });
    expect(() => new Webhook(`whsec_${'A'.repeat(44)}`).verify(delivery?.body ?? '', headers)).toThrow();
    expect(await state(on.sql)).toBe(AT_REST);
    expect(await ledger(on.sql)).toMatchObject({ sent: 1, dry_run: 11, queued: 0, backlog: 0 });
    expect(JSON.stringify(evidence)).not.toContain(secret.slice('whsec_'.length));
    await endpoint.close();
  });

  test('delivery-live and durable-live-route call a function of the database in the transaction that routes', async () => {
    const on = await opened(seamed);
    await allow(on.sql, 'sql_function', await targetFunction(on.sql));
    await on.edit();
    await succeeds(on, 'delivery-live');
    expect(await received(on.sql)).toBe(1);
    expect(await state(on.sql)).toBe(AT_REST);
    expect(await ledger(on.sql)).toMatchObject({ sent: 1, dry_run: 11, queued: 0, backlog: 0 });

    await allow(on.sql, 'sql_function', 'app.receive');
    await succeeds(on, 'durable-live-route', on.edit);
    expect(await received(on.sql)).toBe(7);
    expect(await state(on.sql)).toBe(AT_REST);
    expect(await balanced(on.sql)).toBe('true');
  });
});
