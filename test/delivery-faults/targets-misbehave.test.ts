import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { deliveryRegistry } from '../../delivery/delivery-registry.ts';
import { externalEndpointTarget } from '../../delivery/external-endpoint-target.ts';
import { createHttpGuard } from '../../delivery/http/create-http-guard.ts';
import { liveRoute, pump, queueEvents } from '../delivery-activity/support/deliveries.ts';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { deliveryVerdict } from './support/delivery-verdict.ts';
import { attemptsOf, deliverNow, makeDue, openDatabase, queued, signedRoute } from './support/faulty.ts';
import {
  certificates,
  closedPort,
  closesBeforeAnswering,
  dripsABytePerSecond,
  GIGABYTE,
  gzipBomb,
  neverAnswers,
  offersAGigabyte,
  resetsInTheMiddle,
  startMuteServer,
} from './support/hostile-servers.ts';
import { type Answer, type Ledger, SIGNING_SECRET, startLedger } from './support/ledger.ts';
import { SIGNED, SIGNED_DELIVERY, startPump } from './support/pump-process.ts';

vi.setConfig({ testTimeout: 120_000 });

/** A try that fails waits so long that no second one is made by itself. */
const ONCE = { timeout_ms: 1_500, retry: { schedule: ['0s', '720h'] } };
const after = (seconds: string): Answer => {
  return ({ response }) => {
    response.writeHead(429, { 'retry-after': seconds }).end();
    return undefined;
  };
};

/** How each answer ends: delivered, tried again, or a dead letter, and with which code. */
const ANSWERS: Readonly<
  Record<string, readonly [answer: Answer, end: 'sent' | 'again' | 'dead', code?: string]>
> = {
  status_200: [() => 200, 'sent'],
  status_204: [() => 204, 'sent'],
  status_301: [() => 301, 'dead', 'redirect_refused'],
  status_400: [() => 400, 'dead', 'http_400'],
  status_404: [() => 404, 'dead', 'http_404'],
  status_408: [() => 408, 'again', 'http_408'],
  status_410: [() => 410, 'dead', 'http_410'],
  status_425: [() => 425, 'again', 'http_425'],
  status_429: [after('120'), 'again', 'http_429'],
  status_500: [() => 500, 'again', 'http_500'],
  status_503: [() => 503, 'again', 'http_503'],
  never_answers: [neverAnswers, 'again', 'timeout'],
  drips: [dripsABytePerSecond, 'again', 'timeout'],
  resets_in_the_middle: [resetsInTheMiddle, 'again', 'connection_cut'],
  closes_before_answering: [closesBeforeAnswering, 'again', 'connection_cut'],
  says_a_gigabyte: [offersAGigabyte(true), 'dead', 'response_too_large'],
  pours_a_gigabyte: [offersAGigabyte(false), 'dead', 'response_too_large'],
  gzip_bomb: [gzipBomb(200), 'sent'],
  gzip_bomb_500: [gzipBomb(500), 'again', 'http_500'],
};
/** Servers of another kind, by what they are; `valid` is the control. */
const UNSENT = {
  refuses: 'connect_refused',
  no_handshake: 'connect_timeout',
  expired: 'tls_failed',
  another_host: 'tls_failed',
  another_authority: 'tls_failed',
} as const;

let database: TestDatabase;
let sql: pg.Client;
let ledger: Ledger;
const closing: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  [{ database, sql }, ledger] = await Promise.all([openDatabase(), startLedger()]);
  for (const [code, [answer]] of Object.entries(ANSWERS)) {
    ledger.answer(code, answer);
    await signedRoute(sql, code, ledger, ONCE);
    await queueEvents(sql, code, 1);
  }
  const shown = certificates();
  const tlsOf = async ({ cert, key }: typeof shown.valid) => {
    const server = await startLedger({ tls: { cert, key } });
    closing.push(() => server.close());
    return server.url('x');
  };
  const mute = await startMuteServer();
  closing.push(() => mute.close());
  const urls: Record<keyof typeof UNSENT | 'valid', string> = {
    valid: await tlsOf(shown.valid),
    expired: await tlsOf(shown.expired),
    another_host: await tlsOf(shown.ofAnotherHost),
    another_authority: await tlsOf(shown.ofAnotherAuthority),
    no_handshake: `https://127.0.0.1:${mute.port}/x`,
    refuses: `https://127.0.0.1:${await closedPort()}/x`,
  };
  for (const [code, url] of Object.entries(urls)) {
    await liveRoute(sql, code, url, { ...ONCE, ...SIGNED });
    await queueEvents(sql, code, 1);
  }
  const guard = createHttpGuard({ allowCidrs: ['127.0.0.0/8'], ca: shown.ca, connectTimeoutMs: 1_000 });
  const target = externalEndpointTarget(
    { source: 'https://iu.example' },
    { guard, resolveSecretNamed: async () => SIGNING_SECRET },
  );
  await pump({ url: database.url, registry: deliveryRegistry([target]) });
  await guard.close();
}, 120_000);
afterAll(async () => {
  for (const close of closing) await close();
  await ledger.close();
  await database.drop();
});

const stateOf = async (code: string) => ({
  attempts: await attemptsOf(sql, code),
  queued: await queued(sql, code),
  letters: await ask<number>(
    sql,
    'select count(*)::integer as answer from iu_route_dead_letter where route_code = $1',
    [code],
  ),
  isEnabled: await ask<boolean>(
    sql,
    'select enabled as answer from iu_outbound_route where route_code = $1',
    [code],
  ),
});

test.each(Object.entries(ANSWERS).map(([code, [, end, failure]]) => ({ code, end, failure })))(
  '$code: $end $failure',
  async ({ code, end, failure }) => {
    expect(ledger.of(code)).toMatchObject([{ signature: 'valid', hasEffect: true }]);
    expect(await stateOf(code)).toEqual({
      attempts: { [failure === undefined ? '#1 sent' : `#1 failed ${failure}`]: 1 },
      queued: end === 'again' ? 1 : 0,
      letters: end === 'dead' ? 1 : 0,
      isEnabled: code !== 'status_410',
    });
  },
);

test.each(Object.entries(UNSENT))('%s: tried again, and nothing arrived: %s', async (code, failure) => {
  expect(await stateOf(code)).toEqual({
    attempts: { [`#1 failed ${failure}`]: 1 },
    queued: 1,
    letters: 0,
    isEnabled: true,
  });
});

test('a certificate that is in order is trusted', async () => {
  expect(await stateOf('valid')).toMatchObject({ attempts: { '#1 sent': 1 }, queued: 0 });
});

test('`Retry-After` is waited for', async () => {
  const waits = await ask<number>(
    sql,
    `select extract(epoch from due_at - iu_route_attempt.created_at)::float8 as answer
     from iu_route_delivery join iu_route_attempt using (event_id) where iu_route_delivery.route_code = 'status_429'`,
  );
  expect(waits).toBeGreaterThanOrEqual(119);
});

test('a second try that finds the target well again sends the same bytes, and the books are closed', async () => {
  const again = Object.entries(ANSWERS).flatMap(([code, [, end]]) => (end === 'again' ? [code] : []));
  for (const code of again) {
    ledger.answer(code, () => 200);
    await makeDue(sql, code);
  }
  await deliverNow(database.url);
  for (const code of again) {
    expect(Object.keys(await attemptsOf(sql, code))).toContain('#2 sent');
    expect(ledger.of(code)).toHaveLength(2);
  }
  expect(await deliveryVerdict(sql, [ledger])).toMatchObject({
    effectsTwice: 0,
    changedBytes: 0,
    strayRequests: 0,
    badSignatures: 0,
    sentTwice: 0,
    gaps: 0,
    lost: 0,
    unrecorded: 0,
    balanced: true,
  });
});

describe('the memory of a worker', () => {
  const MOST_MB = 128;
  const EACH = 24;
  const inMb = (bytes: number) => Math.round(bytes / 1_048_576);

  test(`stays flat while ${2 * EACH} gigabytes and as many bombs are offered to it`, async () => {
    const [process, pouring] = [await startPump(), offersAGigabyte(false)];
    ledger.answer('pours', pouring);
    ledger.answer('bombs', gzipBomb(200));
    await signedRoute(sql, 'pours', ledger, { ...ONCE, timeout_ms: 30_000 });
    await signedRoute(sql, 'bombs', ledger, { ...ONCE, timeout_ms: 30_000 });
    await sql.query(`update dot_config set value = '1000' where key = 'iu_core.delivery_breaker_min_tries'`);
    await queueEvents(sql, 'pours', 2 * EACH);
    await queueEvents(sql, 'bombs', 2 * EACH);
    const delivery = { ...SIGNED_DELIVERY, concurrency: 8 };
    process.deliver({ url: database.url, delivery, worker: 'measured', forMs: 0 });
    const end = await process.ended;
    expect(end?.counts).toMatchObject({ sent: 2 * EACH, deadLettered: 2 * EACH });
    expect(await attemptsOf(sql, 'pours')).toEqual({ '#1 failed response_too_large': 2 * EACH });
    expect(inMb(pouring.taken())).toBeGreaterThan(0);
    expect(inMb(pouring.taken())).toBeLessThan(2 * EACH * 16);
    expect(inMb(end?.rssGrownBy ?? Number.POSITIVE_INFINITY)).toBeLessThan(MOST_MB);
  });

  test('would not, were answers read to their end', async () => {
    ledger.answer('control', ({ response }) => {
      response.end(Buffer.alloc(GIGABYTE / 4));
      return undefined;
    });
    const script = `const before = process.memoryUsage.rss();
      await (await fetch(process.argv[1], { method: 'POST' })).arrayBuffer();
      console.log(process.resourceUsage().maxRSS * 1024 - before)`;
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...['--input-type=module', '--eval', script],
      ledger.url('control'),
    ]);
    expect(inMb(Number(stdout))).toBeGreaterThan(MOST_MB);
  });
});
