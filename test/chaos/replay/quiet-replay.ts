import { replayWorkflowId } from '../../../contracts/names.ts';
import type { ReplayInput, ReplayResult } from '../../../contracts/replay.ts';
import { LOCAL_DELIVERY } from '../../delivery-activity/support/deliveries.ts';
import { installed } from '../../sql-worker/support/installed.ts';
import { type TestEngine, testEngine } from '../../support/engine.ts';
import { makeLetters } from './make-letters.ts';
import { type ChaosReceiver, startChaosReceiver } from './receiver.ts';

/** The letters of the chaos on the servers of the harness, with a worker that nobody harms. */
export interface QuietReplay {
  readonly engine: TestEngine;
  readonly receiver: ChaosReceiver;
  /** Requests that arrived before anything was replayed. */
  readonly arrivedBefore: number;
  start(planHash: string, input?: Partial<ReplayInput>): Promise<ReplayRun>;
  close(): Promise<void>;
}

type ReplayWorkflow = (input: ReplayInput) => Promise<ReplayResult>;
type ReplayRun = Awaited<ReturnType<typeof startRun>>;

export async function quietReplay(letters: number): Promise<QuietReplay> {
  const [database, receiver] = await Promise.all([installed(15, 'replaying'), startChaosReceiver()]);
  const engine = await testEngine({ database, delivery: { ...LOCAL_DELIVERY, concurrency: 16 } });
  await makeLetters({ sql: engine.sql, url: database.url, receiver, letters });
  const runs: ReplayRun[] = [];
  return {
    engine,
    receiver,
    arrivedBefore: receiver.arrivals.length,
    async start(planHash, input = {}) {
      const run = await startRun(engine, planHash, input);
      runs.push(run);
      return run;
    },
    async close() {
      for (const run of runs) await run.terminate().catch(() => undefined);
      await engine.close();
      await receiver.close();
    },
  };
}

function startRun({ client, target, taskQueue }: TestEngine, planHash: string, input: Partial<ReplayInput>) {
  return client.workflow.start<ReplayWorkflow>('replayDeadLetters', {
    workflowId: replayWorkflowId(target, planHash),
    taskQueue,
    args: [{ target, planHash, actor: 'ana', reason: 'a test', ...input }],
  });
}
