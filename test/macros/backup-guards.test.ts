import { open, readdir, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type TestEngine, testEngine } from '../support/engine.ts';
import { receipts } from '../support/engine-facts.ts';
import { fingerprint, verifiedEvidence } from './support/iu-facts.ts';
import { follow, startShipped } from './support/shipped-macros.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine();
});
afterEach(() => engine.abandon());
afterAll(() => engine.close());

/** The newest dump of this target. */
async function dumpFile(): Promise<string> {
  const dumps = (await readdir(engine.backupDir)).filter((name) => name.endsWith('.dump')).sort();
  return join(engine.backupDir, dumps.at(-1) ?? 'no dump');
}

const faults = {
  truncated: async (file: string) => truncate(file, 4_096),
  flipped: async (file: string) => {
    const handle = await open(file, 'r+');
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, 20_000);
    await handle.write(Buffer.from([(byte[0] ?? 0) ^ 0x01]), 0, 1, 20_000);
    await handle.close();
  },
} as const;

test.each(['truncated', 'flipped'] as const)(
  'a dump that is %s after its proof stops the macro before its first change',
  { timeout: 90_000 },
  async (fault) => {
    const before = await fingerprint(engine);
    const status = await follow(await startShipped(engine, 'iu-core-base'), {
      onApproval: async () => faults[fault](await dumpFile()),
    });
    expect(status.outcome).toBe('rolled_back');
    expect(status.cause).toMatch(
      fault === 'truncated'
        ? /The backup .* has 4096 bytes.*Nothing was changed/
        : /The backup .* has sha256 [0-9a-f]{64}.*Nothing was changed/,
    );
    expect(status.steps.find((step) => step.kind === 'migrate')).toMatchObject({
      id: 'install-roles',
      state: 'skipped',
    });
    expect((await receipts(engine, status.runId)).filter((line) => line.endsWith('do done'))).toEqual([
      'approval do done',
      'backup do done',
      'mandatory-gates do done',
    ]);
    expect(await fingerprint(engine)).toBe(before);
    expect((await verifiedEvidence(engine, status.runId)).run.outcome).toBe('rolled_back');
  },
);

test('a dump that nobody touched lets the macro through', { timeout: 90_000 }, async () => {
  const status = await follow(await startShipped(engine, 'iu-core-base'));
  expect([status.outcome, status.cause]).toEqual(['succeeded', '']);
});
