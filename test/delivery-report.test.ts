import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { GroupCommit } from '../delivery/report/group-commit.ts';
import { reportLine } from '../delivery/report/report-entry.ts';
import { ReportFile } from '../delivery/report/report-file.ts';
import { reportTarget } from '../delivery/report-target.ts';
import { aRequest, aTry } from './delivery-support/a-delivery.ts';
import { entriesOf, keysOf, markdownFrom, markdownOf } from './delivery-support/report-facts.ts';

let root: string;
let dir: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'sluice-report-'));
});
beforeEach(async () => {
  dir = join(await mkdtemp(join(root, 'test-')), 'reports');
});
afterAll(() => rm(root, { recursive: true }));

const lineOf = (key: string) =>
  reportLine(aRequest({ idempotencyKey: key }), new Date(0))?.bytes ?? Buffer.alloc(0);

test('an event becomes a line of the record and a section of the Markdown, for the owner alone', async () => {
  const request = aRequest({ event: { subjectSeq: '7' }, payload: { text: 'Grüße', n: [1, null] } });
  const outcome = await reportTarget({ dir }).deliver(request, aTry());
  expect(outcome).toEqual({
    status: 'sent',
    delivered: true,
    targetKind: 'report',
    detail: { file: 'weekly.jsonl', line: 1, already_there: false },
  });
  expect(await entriesOf(dir, 'weekly')).toEqual([
    {
      idempotency_key: request.idempotencyKey,
      written_at: expect.stringMatching(/^\d{4}-.*Z$/),
      route_code: 'a_route',
      event_ref: request.eventRef,
      target_kind: 'report',
      target_ref: 'weekly',
      event: {
        domain: 'iu',
        type: 'structure_piece_deprecated',
        subject: 'pilot.iu0.test-001',
        subject_seq: '7',
        created_at: '2026-05-21T10:00:00.000001Z',
      },
      safe_payload: { text: 'Grüße', n: [1, null] },
    },
  ]);
  const markdown = await markdownOf(dir, 'weekly');
  expect(markdown).toContain('## structure\\_piece\\_deprecated of pilot\\.iu0\\.test-001, 2026-05-21T10');
  expect(markdown).toContain('"text": "Grüße"');
  expect(markdown).toBe(await markdownFrom(dir, 'weekly'));
  expect((await stat(dir)).mode & 0o777).toBe(0o700);
  for (const file of ['weekly.jsonl', 'weekly.md'])
    expect((await stat(join(dir, file))).mode & 0o777).toBe(0o600);
  expect((await readdir(dir)).sort()).toEqual(['weekly.jsonl', 'weekly.md']);
});

test('a repeat changes nothing: at once, later, and after a restart', async () => {
  const request = aRequest();
  const target = reportTarget({ dir });
  const twins = await Promise.all([request, request].map((one) => target.deliver(one, aTry())));
  expect(twins.map(({ detail }) => detail.already_there)).toEqual([false, true]);
  const [record, markdown] = [await readFile(join(dir, 'weekly.jsonl')), await markdownOf(dir, 'weekly')];
  for (const again of [target, reportTarget({ dir })]) {
    const other = { ...request, safePayload: '"another payload under the same key"' };
    expect(await again.deliver(other, aTry())).toMatchObject({
      status: 'sent',
      delivered: true,
      detail: { line: null, already_there: true },
    });
  }
  expect(await readFile(join(dir, 'weekly.jsonl'))).toEqual(record);
  expect(await markdownOf(dir, 'weekly')).toBe(markdown);
});

test('what comes at once is committed in groups, in the order in which it came', async () => {
  const groups: number[] = [];
  const never = new AbortController().signal;
  const commit = new GroupCommit(
    async (items: readonly number[]) => {
      groups.push(items.length);
      await new Promise(setImmediate);
      if (items.includes(700)) throw new Error('full');
      return items.map((item) => item * 2);
    },
    { items: 500, bytes: 4_000, pauseMs: 1 },
  );
  const results = await Promise.allSettled(
    Array.from({ length: 1_000 }, (_, item) =>
      commit.add({ item, bytes: 10, signal: item === 3 ? AbortSignal.abort('gave up') : never }),
    ),
  );
  expect(groups).toEqual([400, 400, 199]);
  expect(results[2]).toEqual({ status: 'fulfilled', value: 4 });
  expect(results[3]).toEqual({ status: 'rejected', reason: 'gave up' });
  expect(results[999]).toEqual({ status: 'fulfilled', value: 1_998 });
  expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(401);

  const target = reportTarget({ dir });
  const keys = Array.from({ length: 300 }, (_, index) => `key-${index}`);
  const outcomes = await Promise.all(
    keys.map((idempotencyKey) => target.deliver(aRequest({ idempotencyKey }), aTry())),
  );
  expect(outcomes.map(({ detail }) => detail.line)).toEqual(keys.map((_, index) => index + 1));
  await target.close?.();
  expect(await keysOf(dir, 'weekly')).toEqual(keys);
  expect(await markdownOf(dir, 'weekly')).toBe(await markdownFrom(dir, 'weekly'));
});

test('a line that was cut at any byte is mended or cut by the next delivery, and no key is lost or doubled', {
  timeout: 120_000,
}, async () => {
  await mkdir(dir);
  const before = Buffer.concat([lineOf('one'), lineOf('two')]);
  const third = lineOf('three');
  for (let kept = 0; kept <= third.length; kept += 1) {
    const name = `cut-${kept}`;
    await writeFile(join(dir, `${name}.jsonl`), Buffer.concat([before, third.subarray(0, kept)]));
    const target = reportTarget({ dir });
    const { detail } = await target.deliver(aRequest({ idempotencyKey: 'three', targetRef: name }), aTry());
    expect(detail.already_there).toBe(kept >= third.length - 1);
    await target.deliver(aRequest({ idempotencyKey: 'four', targetRef: name }), aTry());
    expect(await keysOf(dir, name)).toEqual(['one', 'two', 'three', 'four']);
    expect(await markdownOf(dir, name)).toBe(await markdownFrom(dir, name));
  }
});

test('a Markdown that was cut, changed or deleted is put right from the record', async () => {
  const path = join(dir, 'weekly.md');
  const target = reportTarget({ dir });
  for (const key of ['one', 'two', 'three']) await target.deliver(aRequest({ idempotencyKey: key }), aTry());
  const good = await markdownOf(dir, 'weekly');
  expect(good).toBe(await markdownFrom(dir, 'weekly'));
  const harms: (() => Promise<unknown>)[] = [
    () => unlink(path),
    () => writeFile(path, ''),
    () => writeFile(path, good.slice(0, 40)),
    () => writeFile(path, good.slice(0, -10)),
    () => writeFile(path, `${good}## A section that nobody delivered\n`),
    () => writeFile(path, good.replace('piece was', 'piece is!')),
  ];
  for (const harm of harms) {
    await harm();
    await new ReportFile(dir, 'weekly').rebuildMarkdown();
    expect(await markdownOf(dir, 'weekly')).toBe(good);
  }
  for (const harm of harms.slice(0, 5)) {
    await harm();
    await target.deliver(aRequest(), aTry());
    expect(await markdownOf(dir, 'weekly')).toBe(await markdownFrom(dir, 'weekly'));
  }
});

test('a Markdown that cannot be written holds no delivery up, and is written with a later one', async () => {
  const target = reportTarget({ dir });
  await mkdir(join(dir, 'weekly.md'), { recursive: true });
  expect(await target.deliver(aRequest(), aTry())).toMatchObject({ status: 'sent', detail: { line: 1 } });
  await rm(join(dir, 'weekly.md'), { recursive: true });
  expect(await target.deliver(aRequest(), aTry())).toMatchObject({ status: 'sent', detail: { line: 2 } });
  expect(await markdownOf(dir, 'weekly')).toBe(await markdownFrom(dir, 'weekly'));
});

test('a delivery costs the same in a report of 100,000 entries', {
  timeout: 120_000,
  skip: process.platform !== 'linux',
}, async () => {
  await mkdir(dir);
  const lines = Array.from({ length: 100_000 }, (_, index) => lineOf(`key-${index}`));
  await writeFile(join(dir, 'weekly.jsonl'), Buffer.concat(lines));
  const target = reportTarget({ dir });
  const first = await target.deliver(aRequest({ idempotencyKey: 'key-99999' }), aTry({ timeout_ms: 60_000 }));
  expect(first).toMatchObject({ status: 'sent', detail: { already_there: true } });

  const before = await bytesMoved();
  expect((await target.deliver(aRequest(), aTry())).detail.line).toBe(100_001);
  const { read, written } = await bytesMoved();
  expect(read - before.read).toBeLessThan(200_000);
  expect(written - before.written).toBeLessThan(20_000);
  expect(await markdownOf(dir, 'weekly')).toBe(await markdownFrom(dir, 'weekly'));
});

/** Bytes that this process passed to and from files and sockets. */
async function bytesMoved() {
  const text = await readFile('/proc/self/io', 'utf8');
  const figure = (name: string) => Number(new RegExp(`${name}: (\\d+)`).exec(text)?.[1]);
  return { read: figure('rchar'), written: figure('wchar') };
}

test.each([
  '../weekly',
  '..',
  '.',
  '',
  '/etc/passwd',
  'a/b',
  'a\\b',
  'a.b',
  'weekly\0',
  'weekly\n',
  'Weekly',
  '-weekly',
  'ｗeekly',
  '%2e%2e%2fweekly',
  'w'.repeat(65),
])('%j is no name of a report, and nothing is written', async (targetRef) => {
  const target = reportTarget({ dir });
  expect(target.fault(targetRef, {})).toBe('The name of a report is 1 to 64 of a-z, 0-9, _ and -.');
  expect(await target.deliver(aRequest({ targetRef }), aTry())).toMatchObject({
    status: 'failed',
    delivered: false,
    failure: { code: 'target_ref_malformed', mayRetry: false },
  });
  await expect(Promise.resolve(target.inspect?.(targetRef, {}, aTry().signal))).rejects.toThrow('1 to 64');
  await expect(readdir(join(dir, '..'))).resolves.toEqual([]);
});

test('a link in the place of the record is not followed, and a folder is refused', async () => {
  await mkdir(dir);
  const outside = join(dir, '..', 'outside.txt');
  await writeFile(outside, 'not mine\n');
  await symlink(outside, join(dir, 'weekly.jsonl'));
  await mkdir(join(dir, 'daily.jsonl'));
  const target = reportTarget({ dir });
  for (const targetRef of ['weekly', 'daily']) {
    expect(await target.deliver(aRequest({ targetRef }), aTry())).toMatchObject({
      status: 'failed',
      failure: { code: 'report_unwritable', mayRetry: true },
    });
  }
  expect(await readFile(outside, 'utf8')).toBe('not mine\n');
});

test('a damaged line with others after it is reported and not touched', async () => {
  await mkdir(dir);
  const damaged = Buffer.concat([lineOf('one'), Buffer.from('{"half": \n'), lineOf('three')]);
  await writeFile(join(dir, 'weekly.jsonl'), damaged);
  const target = reportTarget({ dir });
  const { failure } = await target.deliver(aRequest(), aTry());
  expect(failure).toMatchObject({ code: 'report_damaged', mayRetry: true });
  expect(failure?.message).toContain('Line 2 of weekly.jsonl');
  expect(await readFile(join(dir, 'weekly.jsonl'))).toEqual(damaged);
  await expect(Promise.resolve(target.inspect?.('weekly', {}, aTry().signal))).rejects.toThrow('Line 2');

  await writeFile(join(dir, 'weekly.jsonl'), Buffer.concat([lineOf('one'), lineOf('three')]));
  expect((await target.deliver(aRequest(), aTry())).status).toBe('sent');
});

test('a record that was moved away begins anew', async () => {
  const target = reportTarget({ dir });
  await target.deliver(aRequest({ idempotencyKey: 'one' }), aTry());
  await rename(join(dir, 'weekly.jsonl'), join(dir, 'weekly-2026.jsonl'));
  expect((await target.deliver(aRequest({ idempotencyKey: 'two' }), aTry())).detail.line).toBe(1);
  expect(await keysOf(dir, 'weekly')).toEqual(['two']);
  expect(await markdownOf(dir, 'weekly')).toBe(await markdownFrom(dir, 'weekly'));
});

test('what the route does not allow is refused: too large an entry, an unknown key, a try that has ended', async () => {
  const target = reportTarget({ dir });
  const large = aRequest({ payload: 'x'.repeat(600_000) });
  expect((await target.deliver(large, aTry())).failure).toMatchObject({
    code: 'payload_too_large',
    mayRetry: false,
  });
  expect((await target.deliver(large, aTry({ max_body_bytes: 700_000 }))).status).toBe('sent');
  expect((await target.deliver(aRequest(), aTry({ max_bytes: 1 }))).failure).toMatchObject({
    code: 'request_invalid',
    mayRetry: false,
  });
  expect(target.fault('weekly', { max_bytes: 1 })).toContain('max_bytes');
  expect(target.fault('weekly', {})).toBeNull();
  expect((await target.deliver(aRequest(), aTry({}, AbortSignal.abort()))).failure).toMatchObject({
    code: 'timeout',
    mayRetry: true,
  });
});

test('an inspection writes nothing, and says where a folder is missing its place', async () => {
  const signal = aTry().signal;
  await reportTarget({ dir }).inspect?.('weekly', {}, signal);
  await expect(readdir(join(dir, '..'))).resolves.toEqual([]);
  await writeFile(dir, 'no folder');
  await expect(Promise.resolve(reportTarget({ dir }).inspect?.('weekly', {}, signal))).rejects.toMatchObject({
    code: 'route_refused',
    message: expect.stringContaining(dir),
  });
});
