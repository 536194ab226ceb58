import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { lutimes, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { holdReport } from '../delivery/report/hold-report.ts';
import { reportTarget } from '../delivery/report-target.ts';
import { aRequest, aTry } from './delivery-support/a-delivery.ts';
import { keysOf, markdownFrom, markdownOf } from './delivery-support/report-facts.ts';
import type { ReportWriterTask } from './delivery-support/report-writer.ts';
import { type RunningScript, runScript } from './delivery-support/run-script.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'sluice-report-crashes-'));
});
afterAll(() => rm(root, { recursive: true }));

async function writer(task: ReportWriterTask): Promise<RunningScript> {
  const started = runScript('report-writer.ts', JSON.stringify(task));
  await started.until((line) => line === 'ready');
  return started;
}

const sentKeys = ({ lines }: RunningScript) =>
  lines.filter((line) => line.startsWith('sent ')).map((line) => line.split(' ')[1] ?? '');

const allKeys = (count: number) => Array.from({ length: count }, (_, key) => String(key));
const sorted = (keys: readonly string[]) => [...keys].sort((a, b) => Number(a) - Number(b));

test('a writer that is killed at any moment loses nothing that it said was sent, and doubles nothing', {
  timeout: 240_000,
}, async () => {
  const seed = Number(process.env.SLUICE_SEED ?? Math.trunc(Math.random() * 2 ** 31));
  process.stderr.write(`SLUICE_SEED=${seed}\n`);
  const random = randomOf(seed);
  let torn = 0;
  for (let round = 0; round < 3; round += 1) {
    const dir = join(root, `killed-${round}`);
    // Large lines and many at once: most of the time, the writer is in the middle of a write.
    const task = { dir, name: 'weekly', keys: 400, atOnce: 32, payloadBytes: 80_000 + random() * 40_000 };
    const record = join(dir, 'weekly.jsonl');
    const acknowledged = new Set<string>();
    for (let kill = 0; kill < 4; kill += 1) {
      const child = await writer(task);
      const before = sizeOf(record);
      child.tell('go');
      // Every other time at once when the file grows, which is in the middle of a write; else some time later.
      await untilGrown(record, before);
      if (kill % 2 === 1) await delay(random() * 60);
      child.signal('SIGKILL');
      await child.ended;
      for (const key of sentKeys(child)) acknowledged.add(key);
      const text = await readFile(record);
      if (text.at(-1) !== 0x0a) torn += 1;
      const found = new Set(whole(text).map((line) => JSON.parse(line).idempotency_key));
      expect([...acknowledged].filter((key) => !found.has(key))).toEqual([]);
    }
    const last = await writer(task);
    last.tell('go');
    await last.ended;
    expect(sorted(sentKeys(last))).toEqual(allKeys(task.keys));
    expect(sorted(await keysOf(dir, 'weekly'))).toEqual(allKeys(task.keys));
    expect((await markdownOf(dir, 'weekly')) === (await markdownFrom(dir, 'weekly'))).toBe(true);
  }
  process.stderr.write(`lines cut in the middle: ${torn} of 12\n`);
});

const sizeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

/** Looks without a pause, so that it sees the first bytes of a write before its last. */
async function untilGrown(path: string, before: number): Promise<void> {
  for (const until = Date.now() + 60_000; Date.now() < until; await delay(0)) {
    for (const pause = Date.now() + 20; Date.now() < pause; ) if (sizeOf(path) > before) return;
  }
  throw new Error(`${path} did not grow`);
}

/** Lines that have their end. */
const whole = (text: Buffer) => text.toString('utf8').split('\n').slice(0, -1);

test('two processes write the same report at once, each key once and nobody waits for ever', {
  timeout: 120_000,
}, async () => {
  const dir = join(root, 'two');
  const task = { dir, name: 'weekly', keys: 2_000, atOnce: 32, payloadBytes: 5_000 };
  const both = await Promise.all(['one-', 'two-'].map((own) => writer({ ...task, own })));
  for (const one of both) one.tell('go');
  await Promise.all(both.map(({ ended }) => ended));
  const keys = both.map(sentKeys);
  expect(keys.map((sent) => sent.length)).toEqual([task.keys, task.keys]);
  expect((await keysOf(dir, 'weekly')).sort()).toEqual([...new Set(keys.flat())].sort());
  expect(new Set(keys.flat()).size).toBe(1.5 * task.keys);
  expect((await markdownOf(dir, 'weekly')) === (await markdownFrom(dir, 'weekly'))).toBe(true);
  expect((await readdir(dir)).sort()).toEqual(['weekly.jsonl', 'weekly.md']);
});

test('a report whose holder lives is waited for, and one whose holder was killed is taken over', {
  timeout: 60_000,
}, async () => {
  const dir = join(root, 'held');
  await mkdir(dir);
  const lock = join(dir, '.weekly.lock');
  const holder = runScript('report-holder.ts', lock);
  await holder.until((line) => line === 'held');
  holder.signal('SIGSTOP');
  const target = reportTarget({ dir });
  const request = aRequest();
  expect(await target.deliver(request, aTry({ timeout_ms: 500 }))).toMatchObject({
    status: 'failed',
    failure: { code: 'timeout', mayRetry: true },
  });
  await expect(readdir(dir)).resolves.toEqual(['.weekly.lock']);
  holder.signal('SIGKILL');
  await holder.ended;
  expect((await target.deliver(request, aTry())).status).toBe('sent');
  await target.close?.();
  expect(await keysOf(dir, 'weekly')).toEqual([request.idempotencyKey]);
  expect((await readdir(dir)).sort()).toEqual(['weekly.jsonl', 'weekly.md']);
});

test('a holder on another machine is believed for a minute', { timeout: 60_000 }, async () => {
  const dir = join(root, 'elsewhere');
  await mkdir(dir);
  const lock = join(dir, 'lock');
  await symlink(JSON.stringify({ pid: 1, startedAt: 'then', where: 'another machine' }), lock);
  await expect(holdReport(lock, async () => 'held')).rejects.toMatchObject({
    code: 'report_busy',
    mayRetry: true,
  });
  await lutimes(lock, new Date(), new Date(Date.now() - 61_000));
  await expect(holdReport(lock, async () => 'held')).resolves.toBe('held');
  await expect(readdir(dir)).resolves.toEqual([]);
});

test('a disk that fills up fails deliveries that may be tried again, and the record stays whole', {
  timeout: 120_000,
  skip: process.platform !== 'linux',
}, async () => {
  const dir = join(root, 'full');
  const task = { dir, name: 'weekly', keys: 60, atOnce: 4, payloadBytes: 5_000 };
  const limited = await writer(task);
  await promisify(execFile)('prlimit', ['--pid', String(limited.pid), '--fsize=100000']);
  limited.tell('go');
  await limited.ended;
  const sent = sentKeys(limited);
  expect(sent.length).toBeGreaterThan(5);
  expect(sent.length).toBeLessThan(60);
  expect(
    new Set(limited.lines.filter((line) => line.startsWith('failed')).map((line) => line.split(' ')[2])),
  ).toEqual(new Set(['disk_full']));
  expect(sorted(await keysOf(dir, 'weekly'))).toEqual(sorted(sent));

  const unlimited = await writer(task);
  unlimited.tell('go');
  await unlimited.ended;
  expect(sorted(await keysOf(dir, 'weekly'))).toEqual(allKeys(task.keys));
  expect(await markdownOf(dir, 'weekly')).toBe(await markdownFrom(dir, 'weekly'));
});

/** Numbers from 0 to below 1, the same for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
