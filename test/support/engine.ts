import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import type pg from 'pg';
import type { TargetAccess } from '../../activities/dependencies.ts';
import { awaitOutcome } from '../../client/await-outcome.ts';
import { type DeliveryConfig, NO_DELIVERY } from '../../config/delivery-config.ts';
import type { MacroStatus } from '../../contracts/macro-run.ts';
import { macroWorkflowId } from '../../contracts/names.ts';
import type {
  DisableStep,
  FilePair,
  Plan,
  PlannedMetric,
  PlannedStep,
  ScriptRef,
} from '../../contracts/plan.ts';
import { canonicalJson } from '../../planning/canonical-json.ts';
import { sha256Hex } from '../../planning/sha256-hex.ts';
import { storePlan } from '../../planning/store-plan.ts';
import { installEngine } from '../../target/install-engine.ts';
import { type RunningWorker, startWorker } from '../../worker.ts';
import { createDatabase, type TestDatabase } from './create-database.ts';
import { ownTaskQueue, temporalAddress } from './temporal-address.ts';
import { workflowBundle } from './workflow-bundle.ts';

/** Failed attempts are what many tests are about; only what breaks a worker is worth a line. */
Runtime.install({
  logger: new DefaultLogger('ERROR'),
  telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'ERROR' }) } },
});

/** An engine of its own for a test file: a database, a worker in this process, a client. */
export interface TestEngine {
  readonly database: EngineDatabase;
  readonly sql: pg.Client;
  readonly client: Client;
  readonly target: string;
  readonly taskQueue: string;
  readonly backupDir: string;
  /** Address of the Temporal server. */
  readonly address: string;
  /** How the worker reaches the target. */
  readonly access: TargetAccess;
  /** Stores a plan of these steps and returns its hash. */
  plan(
    steps: readonly PlannedStep[],
    more?: Partial<Pick<Plan, 'macro' | 'disable' | 'target'>>,
  ): Promise<string>;
  /** Pins a text and returns its reference. */
  script(text: string, path?: string): ScriptRef;
  start(planHash: string, actor?: string): ReturnType<Client['workflow']['start']>;
  undo(undoRunId: string): ReturnType<Client['workflow']['start']>;
  /** The run's end, however its workflow closed. */
  outcome(handle: Parameters<typeof awaitOutcome>[0]): Promise<MacroStatus>;
  /** Terminates the run that a failed test left open, so that it fails no other; for `afterEach`. */
  abandon(): Promise<void>;
  close(): Promise<void>;
}

export type EngineDatabase = Pick<TestDatabase, 'url' | 'name' | 'connect' | 'drop'>;

export interface EngineOptions {
  readonly major?: 15 | 18;
  readonly lockTimeoutMs?: number;
  /** Statement timeout of changes. */
  readonly changeTimeoutMs?: number;
  /** A database of the test's own instead of one of the harness. */
  readonly database?: EngineDatabase;
  /** A Temporal of the test's own instead of the harness's. */
  readonly address?: string;
  /** How the worker reaches the database, where it takes another way than the test. */
  readonly url?: string;
  /** What the worker delivers with; nothing by default. */
  readonly delivery?: DeliveryConfig;
  /** `false` leaves the worker to the test, e.g. to `startChildWorker`. */
  readonly worker?: boolean;
}

export async function testEngine(options: EngineOptions = {}): Promise<TestEngine> {
  const database =
    options.database ?? (await createDatabase({ major: options.major ?? 15, prefix: 'engine' }));
  const sql = await database.connect();
  await installEngine(sql);
  const taskQueue = ownTaskQueue();
  const target = database.name;
  const backupDir = await mkdtemp(join(tmpdir(), 'sluice-backup-'));
  const address = options.address ?? temporalAddress();
  const access: TargetAccess = {
    name: target,
    url: options.url ?? database.url,
    schema: 'public',
    lockTimeoutMs: options.lockTimeoutMs ?? 3_000,
    statementTimeoutMs: { check: 30_000, change: options.changeTimeoutMs ?? 60_000, probe: 30_000 },
    backupDir,
    restoreUrl: null,
    toolDirs: [],
    delivery: options.delivery ?? NO_DELIVERY,
  };
  const worker: RunningWorker | undefined =
    options.worker === false
      ? undefined
      : await startWorker({
          endpoint: { connectionOptions: { address }, namespace: 'default' },
          taskQueue,
          bundlePath: (await workflowBundle()).codePath,
          openTarget: async () => access,
        });
  const connection = await Connection.connect({ address });
  const client = new Client({ connection });
  const texts = new Map<string, string>();
  const start = (type: string, input: object) =>
    client.workflow.start(type, { workflowId: macroWorkflowId(target), taskQueue, args: [input] });
  return {
    database,
    sql,
    client,
    target,
    taskQueue,
    backupDir,
    address,
    access,
    script(text, path = `${sha256Hex(text).slice(0, 8)}.sql`) {
      texts.set(sha256Hex(text), text);
      return { path, sha256: sha256Hex(text) };
    },
    async plan(steps, more = {}) {
      const plan: Plan = {
        format: 1,
        macro: 'test-macro',
        title: 'A macro of a test',
        target,
        schema: 'public',
        lifts: [],
        steps,
        disable: [] as DisableStep[],
        next: null,
        ...more,
      };
      const canonical = canonicalJson(plan);
      const planHash = sha256Hex(canonical);
      await storePlan(sql, { plan, planHash, canonical, scripts: texts, notes: [] }, { actor: 'planner' });
      return planHash;
    },
    start: (planHash, actor = 'ana') => start('macro', { target, planHash, actor, reason: 'a test' }),
    undo: (undoRunId) => start('undoMacro', { target, undoRunId, actor: 'bo', reason: 'a test' }),
    outcome: awaitOutcome,
    async abandon() {
      const left = client.workflow.getHandle(macroWorkflowId(target));
      await left.terminate('its test has ended').catch(() => undefined);
    },
    async close() {
      await worker?.stop();
      await connection.close();
      await database.drop();
      await rm(backupDir, { recursive: true, force: true });
    },
  };
}

const COMMON = { title: 'a step of a test', onFail: 'rollback' } as const;

export function noBackup(id = 'backup'): PlannedStep {
  return { ...COMMON, id, kind: 'backup', mode: 'none', reason: 'a test' };
}

export function change(
  id: string,
  files: readonly FilePair[],
  more: {
    kind?: 'migrate' | 'enable';
    holds?: ScriptRef | null;
    onFail?: 'rollback' | 'hold';
    irreversibleReason?: string;
  } = {},
): PlannedStep {
  return { ...COMMON, id, kind: 'migrate', files, holds: null, irreversibleReason: null, ...more };
}

export function check(
  id: string,
  scripts: readonly ScriptRef[],
  more: {
    kind?: 'check' | 'verify' | 'probe';
    onFail?: 'rollback' | 'hold';
    after?: readonly ScriptRef[];
  } = {},
): PlannedStep {
  return { ...COMMON, id, kind: 'check', scripts, after: [], ...more };
}

export function approve(id = 'approval', expiresMs = 600_000): PlannedStep {
  return { ...COMMON, id, kind: 'approve', expiresMs };
}

export function observe(
  id: string,
  metrics: readonly PlannedMetric[],
  more: { windowMs?: number; intervalMs?: number; onFail?: 'rollback' | 'hold' } = {},
): PlannedStep {
  return {
    ...COMMON,
    id,
    kind: 'observe',
    windowMs: 1_000,
    intervalMs: 200,
    metrics,
    alongside: null,
    ...more,
  };
}
