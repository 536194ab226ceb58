import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { reportLine } from '../delivery/report/report-entry.ts';
import { reportTarget } from '../delivery/report-target.ts';
import { aRequest, aTry } from './delivery-support/a-delivery.ts';

let root: string;
let dir: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'sluice-try-out-'));
});
beforeEach(async () => {
  dir = join(await mkdtemp(join(root, 'test-')), 'reports');
});
afterAll(() => rm(root, { recursive: true }));

const lineOf = (key: string) =>
  reportLine(aRequest({ idempotencyKey: key }), new Date(0))?.bytes ?? Buffer.alloc(0);
const tried = (request = aRequest(), config = {}) => reportTarget({ dir }).tryOut?.(request, aTry(config));

test('a report that can be written is fixed, and nothing is written: no folder, no record, no Markdown', async () => {
  expect(await tried()).toEqual({ verdict: 'fixed', because: null });
  await expect(readdir(join(dir, '..'))).resolves.toEqual([]);
  await mkdir(dir);
  expect(await tried()).toEqual({ verdict: 'fixed', because: null });
  await expect(readdir(dir)).resolves.toEqual([]);
});

test('an entry that is there already is said, and another one is not', async () => {
  const request = aRequest();
  const target = reportTarget({ dir });
  await target.deliver(request, aTry());
  const [record, markdown] = [
    await readFile(join(dir, 'weekly.jsonl')),
    await readFile(join(dir, 'weekly.md')),
  ];
  for (const one of [target, reportTarget({ dir })]) {
    expect(await one.tryOut?.(request, aTry())).toEqual({
      verdict: 'fixed',
      because: 'the report has the entry already, and a replay adds nothing',
    });
    expect(await one.tryOut?.(aRequest(), aTry())).toEqual({ verdict: 'fixed', because: null });
  }
  expect(await readFile(join(dir, 'weekly.jsonl'))).toEqual(record);
  expect(await readFile(join(dir, 'weekly.md'))).toEqual(markdown);
  await target.close?.();
});

test('what a killed write left is read and not mended; the delivery after it mends and appends', async () => {
  await mkdir(dir);
  const torn = Buffer.concat([lineOf('one'), lineOf('two').subarray(0, -1)]);
  await writeFile(join(dir, 'weekly.jsonl'), torn);
  const target = reportTarget({ dir });
  const keys = ['one', 'two', 'three'].map((idempotencyKey) => aRequest({ idempotencyKey }));
  const verdicts = await Promise.all(keys.map((request) => target.tryOut?.(request, aTry())));
  expect(verdicts.map((found) => found?.because?.slice(0, 27) ?? null)).toEqual([
    'the report has the entry al',
    'the report has the entry al',
    null,
  ]);
  expect(await readFile(join(dir, 'weekly.jsonl'))).toEqual(torn);
  const outcomes = await Promise.all(keys.map((request) => target.deliver(request, aTry())));
  expect(outcomes.map(({ detail }) => detail.line)).toEqual([null, null, 3]);
  await target.close?.();
});

test('a report that cannot be written still fails, in the words of the delivery', async () => {
  await writeFile(dir, 'no folder');
  expect(await tried()).toEqual({
    verdict: 'still_failing',
    because: 'Something that is no folder stands in the place of the folder',
  });
  await rm(dir);
  await mkdir(join(dir, 'weekly.jsonl'), { recursive: true });
  expect(await tried()).toMatchObject({
    verdict: 'still_failing',
    because: expect.stringContaining('no file'),
  });
  await rm(dir, { recursive: true });
  await mkdir(dir);
  await writeFile(
    join(dir, 'weekly.jsonl'),
    Buffer.concat([lineOf('a'), Buffer.from('{"half":\n'), lineOf('b')]),
  );
  expect(await tried()).toMatchObject({
    verdict: 'still_failing',
    because: expect.stringContaining('Line 2'),
  });
});

test('a name, a config, a payload and a size that the route refuses still fail', async () => {
  const because = async (...given: Parameters<typeof tried>) => {
    const found = await tried(...given);
    expect(found?.verdict).toBe('still_failing');
    return found?.because;
  };
  expect(await because(aRequest({ targetRef: '../etc' }))).toContain('1 to 64');
  expect(await because(aRequest(), { max_bytes: 1 })).toContain('max_bytes');
  expect(await because(aRequest({ safePayload: '{' }))).toBe('The payload of the event is no JSON');
  const large = aRequest({ payload: 'x'.repeat(2_000) });
  expect(await because(large, { max_body_bytes: 1_000 })).toMatch(
    /^The entry has \d+ bytes, and the route allows 1000$/,
  );
  expect(await tried(large, { max_body_bytes: 4_000 })).toMatchObject({ verdict: 'fixed' });
});

test('a try-out that is ended from outside knows nothing', async () => {
  const ended = await reportTarget({ dir }).tryOut?.(aRequest(), aTry({}, AbortSignal.abort()));
  expect(ended).toMatchObject({ verdict: 'unknown' });
});
