// Races of the route worker as text: each spec in specs/ is played by PostgreSQL's isolationtester on a database of
// its own, and what it prints is compared letter for letter with the reviewed output in expected/. After a change
// that is wanted, SLUICE_RACES_ACCEPT=1 writes the outputs of PostgreSQL 15 down anew: read the difference
// before it is committed.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  acceptText,
  expectedNames,
  expectedText,
  firstDifference,
  specNames,
  specText,
} from './support/compare-with-expected.ts';
import { findIsolationtester } from './support/find-isolationtester.ts';
import { MUTATIONS, mutate } from './support/mutations.ts';
import { playSpec } from './support/play-spec.ts';
import { type RaceCluster, startRaceCluster } from './support/race-cluster.ts';

const ACCEPTING = process.env.SLUICE_RACES_ACCEPT === '1';

describe.each([15, 18] as const)('races on PostgreSQL %i', (major) => {
  let cluster: RaceCluster;
  beforeAll(async () => {
    cluster = await startRaceCluster(major);
  });
  afterAll(async () => {
    await cluster?.stop();
  });

  test.each(specNames())('%s', { timeout: 60_000 }, async (name) => {
    const { url } = await cluster.freshDatabase();
    const printed = await playSpec(url, specText(name));
    if (ACCEPTING && major === 15) acceptText(name, printed);
    expect(firstDifference(printed, expectedText(name)), printed).toBeUndefined();
  });

  // The guards are the same SQL on both servers: one of them is enough to show that a spec sees them gone.
  if (major !== 15) return;
  const controls = MUTATIONS.flatMap((mutation) =>
    mutation.specs.map((spec) => [mutation.without, spec, mutation] as const),
  );
  test.each(controls)('without %s: other than %s', { timeout: 60_000 }, async (_, spec, mutation) => {
    const { url, client } = await cluster.freshDatabase();
    await mutate(client, mutation);
    // A spec whose next permutation cannot even be set up any more shows it, too.
    const printed = await playSpec(url, specText(spec)).catch((error: Error) => {
      if (!error.message.startsWith('isolationtester ended with 1:')) throw error;
      return error.message;
    });
    expect(firstDifference(printed, expectedText(spec))).toBeDefined();
  });
});

describe('the comparison', () => {
  test('every spec has its reviewed output, and every output its spec', () => {
    expect(expectedNames()).toEqual(specNames());
  });

  test('names the first line that differs, and finds a single letter, a missing end and an unreviewed spec', () => {
    const printed = 'step one_runs: select 1;\nstatus|seen\nran   |   2\n';
    expect(firstDifference(printed, printed)).toBeUndefined();
    expect(firstDifference(printed, printed.replace('2', '3'))).toBe(
      'line 3, after "step one_runs: select 1;": "ran   |   2", expected "ran   |   3"',
    );
    expect(firstDifference(printed, printed.slice(0, -1))).toMatch(/^line 4/);
    expect(firstDifference(printed, expectedText('no-such-spec'))).toMatch(/^line 1/);
  });
});

test('where isolationtester is not installed, the error names the package that carries it', () => {
  expect(() => findIsolationtester({ SLUICE_PG_BIN: '/nowhere/bin' })).toThrow(
    /isolationtester is not installed: none of \/nowhere\/lib\/pgxs.* postgresql-client-15 carries it/,
  );
});
