import pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { BASE_FILES, ENABLE, UNIT_FILES, WORKER_FILES } from './sql-worker/support/installed.ts';
import { applyFile } from './sql-worker/support/run-file.ts';
import { emit, settled } from './sql-worker/support/worker.ts';
import { type CliProject, cliProject } from './support/run-cli.ts';
import { waitFor } from './support/wait-for.ts';

vi.setConfig({ testTimeout: 180_000 });

const TEMPLATE = {
  name: 'cli_schedule',
  build: async (url: string) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      for (const path of [...BASE_FILES, ...UNIT_FILES, ...WORKER_FILES, ENABLE])
        await applyFile(client, path);
    } finally {
      await client.end();
    }
  },
};

let project: CliProject;
let sql: pg.Client;
beforeAll(async () => {
  project = await cliProject({ template: TEMPLATE });
  sql = await project.database.connect();
});
afterAll(async () => {
  for (const name of ['drain', 'retention']) await project.sluice('schedule', 'delete', name, '--yes');
  await project.close();
});

interface Listed {
  readonly target: string;
  readonly problem: string | null;
  readonly outbox: { readonly backlog: number } | null;
  readonly schedules: readonly {
    readonly name: string;
    readonly paused: boolean;
    readonly note: string;
    readonly everyMs: number;
    readonly recent: readonly { readonly link: string | null }[];
    readonly actions: { readonly taken: number };
  }[];
}
const because = ['--reason', 'a test'];
const schedule = (...args: string[]) => project.sluice('schedule', ...args);
const list = () => project.json<Listed[]>('schedule', 'list');

test('without schedules the list shows the outbox and how to make one', async () => {
  const { exitCode, stdout } = await schedule('list');
  expect(exitCode).toBe(0);
  expect(stdout).toContain(`target ${project.target}: outbox healthy, backlog 0`);
  expect(stdout).toContain('no drain schedule: sluice schedule apply drain');
  expect(await list()).toEqual([
    {
      target: project.target,
      outbox: {
        healthy: true,
        reasons: [],
        backlog: 0,
        oldestUnroutedSeconds: 0,
        lagSeconds: expect.any(Number),
      },
      problem: null,
      schedules: [],
    },
  ]);
});

test('an applied drain drains by itself; the list links its runs, and its database says how the outbox is', async () => {
  const dry = await project.json('schedule', 'apply', 'drain', '--dry-run', ...because);
  expect(dry).toMatchObject({ applied: 'created', dryRun: true });
  expect((await list())[0]?.schedules).toEqual([]);
  const applied = await project.json<object>('schedule', 'apply', 'drain', '--every', '1s', ...because);
  expect(Object.keys(applied)).toEqual([
    'schedule',
    'dryRun',
    'applied',
    'differences',
    'target',
    'name',
    'everyMs',
    'jitterMs',
    'taskQueue',
    'input',
    'actor',
    'reason',
  ]);
  expect(applied).toMatchObject({
    schedule: `sluice/${project.target}/drain`,
    applied: 'created',
    everyMs: 1_000,
    jitterMs: 500,
    input: { cursorCode: 'iu_outbound_default', forMs: 0 },
  });
  expect(await project.json('schedule', 'apply', 'drain', '--every', '1s', ...because)).toMatchObject({
    applied: 'unchanged',
  });
  await emit(sql);
  await settled(sql);
  const [seen] = await waitFor(async () => {
    const found = await list();
    return found[0]?.outbox?.backlog === 0 && (found[0]?.schedules[0]?.actions.taken ?? 0) > 1 ? found : null;
  }, 60_000);
  expect(Object.keys(seen?.schedules[0] ?? {})).toEqual([
    'name',
    'id',
    'everyMs',
    'jitterMs',
    'overlap',
    'catchupMs',
    'paused',
    'note',
    'taskQueue',
    'workflowType',
    'input',
    'running',
    'recent',
    'actions',
    'next',
  ]);
  expect(seen?.schedules[0]?.recent[0]?.link).toMatch(/\/workflows\/drain%2F/);
  expect((await schedule('list')).stdout).toMatch(/drain\s+│ on\s+│ 1\.0 s\s+│ 500 ms\s+│ SKIP/);
});

test('pause and resume leave who and why as the note; trigger says what it started; delete asks first', async () => {
  expect((await schedule('pause', 'drain')).exitCode).toBe(2);
  const paused = await schedule('pause', 'drain', '--reason', 'maintenance', '--ticket', 'T-7');
  expect([paused.exitCode, paused.stdout.trim()]).toEqual([0, `sluice/${project.target}/drain paused`]);
  expect((await list())[0]?.schedules[0]).toMatchObject({
    paused: true,
    note: 'paused by ana: maintenance (T-7)',
  });
  const triggered = await project.json('schedule', 'trigger', 'drain');
  expect(triggered).toMatchObject({ verb: 'trigger', run: { link: expect.stringMatching(/^http/) } });
  expect((await schedule('resume', 'drain', ...because)).exitCode).toBe(0);
  expect((await list())[0]?.schedules[0]).toMatchObject({ paused: false, note: 'resumed by ana: a test' });
  const unasked = await schedule('delete', 'drain');
  expect([unasked.exitCode, unasked.stderr]).toEqual([2, expect.stringContaining('--yes')]);
  expect((await schedule('delete', 'drain', '--dry-run')).stdout).toContain('would delete');
  expect((await schedule('delete', 'drain', '--yes')).exitCode).toBe(0);
  const gone = await schedule('trigger', 'drain');
  expect([gone.exitCode, gone.stderr]).toEqual([7, expect.stringContaining('sluice schedule apply drain')]);
});

test('the retention is scheduled as a dry run, and lets partitions leave only where somebody says yes', async () => {
  const dry = await project.json('schedule', 'apply', 'retention', ...because);
  expect(dry).toMatchObject({ everyMs: 86_400_000, input: { apply: false, actor: 'ana', reason: 'a test' } });
  const unasked = await schedule('apply', 'retention', '--apply', ...because);
  expect([unasked.exitCode, unasked.stderr]).toEqual([2, expect.stringContaining('--yes')]);
  const applied = await project.json('schedule', 'apply', 'retention', '--apply', '--yes', ...because);
  expect(applied).toMatchObject({ applied: 'updated', differences: ['input'], input: { apply: true } });
});

test('what makes no schedule is refused with 2, and an unreachable Temporal is told within its deadline', async () => {
  expect((await schedule('apply', 'nothing', ...because)).exitCode).toBe(2);
  const short = await schedule('apply', 'drain', '--every', '500ms', ...because);
  expect([short.exitCode, short.stderr]).toEqual([2, expect.stringContaining('--every')]);
  const away = await project.sluice('--temporal-address', '127.0.0.1:1', 'schedule', 'list');
  expect(away.exitCode).toBe(69);
});
