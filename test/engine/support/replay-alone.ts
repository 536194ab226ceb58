import { Client, Connection } from '@temporalio/client';
import type { temporal as proto } from '@temporalio/proto';
import { NativeConnection, Worker } from '@temporalio/worker';
import { deliveryTaskQueue } from '../../../contracts/names.ts';
import type {
  CloseReplayInput,
  ReplayActivities,
  ReplayInput,
  ReplayProgress,
  ReplaySlice,
  ReplaySliceActivities,
  ReplaySliceInput,
  SteerReplayInput,
} from '../../../contracts/replay.ts';
import '../../support/engine.ts';
import { ownTaskQueue, temporalAddress } from '../../support/temporal-address.ts';
import { waitFor } from '../../support/wait-for.ts';
import { workflowBundle } from '../../support/workflow-bundle.ts';

/** Ends of what was started, newest last. */
const ends: (() => Promise<unknown>)[] = [];

/** Stops the workers of a test; for `afterEach`. */
export async function stopAlone(): Promise<void> {
  for (const end of ends.splice(0).reverse()) await end();
}

export const HASH = 'ab'.repeat(32);
export const progress: ReplayProgress = {
  planHash: HASH,
  state: 'running',
  letters: 10,
  resolved: 0,
  failed: 0,
  skipped: 0,
  inFlight: 0,
  waiting: 10,
  tries: 0,
  canary: 'none',
  ratePerSecond: null,
  heldBy: null,
  heldBecause: null,
};
export const slice = (
  resolved: number,
  ended: ReplaySlice['ended'],
  more: Partial<ReplaySlice> = {},
): ReplaySlice => ({
  ...progress,
  resolved,
  tries: resolved,
  waiting: 10 - resolved,
  ended,
  because: null,
  ...more,
});

/** A call that goes on until it is let. */
export function blocked<T>() {
  let let_: (value: T) => void = () => undefined;
  const held = new Promise<T>((resolve) => {
    let_ = resolve;
  });
  return { let: (value: T) => let_(value), held };
}

type Told = (ReplaySliceInput | SteerReplayInput | CloseReplayInput) & { readonly activity: string };

/** The workflow on a real server, its activities replaced; `calls` has what they were told, in order. */
export async function alone(
  slices: (input: ReplaySliceInput, nth: number) => Promise<ReplaySlice>,
  { input = {}, ...replaced }: Partial<ReplayActivities> & { input?: Partial<ReplayInput> } = {},
) {
  const calls: Told[] = [];
  let nth = 0;
  const taskQueue = ownTaskQueue('replay');
  const macros: ReplayActivities = {
    openReplay: async (asked) => {
      calls.push({ activity: 'open', ...asked } as unknown as Told);
      return replaced.openReplay?.(asked) ?? { planHash: HASH, progress };
    },
    steerReplay: async (asked) => {
      calls.push({ activity: `steer ${asked.what}`, ...asked });
      return replaced.steerReplay?.(asked) ?? progress;
    },
    closeReplay: async (asked) => {
      calls.push({ activity: `close ${asked.outcome}`, ...asked });
      return replaced.closeReplay?.(asked) ?? { ...progress, resolved: 10, waiting: 0, tries: 10 };
    },
    planByPolicy: replaced.planByPolicy ?? (async () => ({ plans: [], passedOver: [] })),
  };
  const deliveries: ReplaySliceActivities = {
    replaySlice: async (asked) => {
      nth += 1;
      calls.push({ activity: 'slice', ...asked });
      return slices(asked, nth);
    },
  };
  const native = await NativeConnection.connect({ address: temporalAddress() });
  const workers = [
    await Worker.create({
      connection: native,
      taskQueue,
      activities: macros,
      workflowBundle: await workflowBundle(),
    }),
    await Worker.create({
      connection: native,
      taskQueue: deliveryTaskQueue(taskQueue),
      activities: deliveries,
    }),
  ];
  const running = workers.map((worker) => worker.run());
  const connection = await Connection.connect({ address: temporalAddress() });
  ends.push(async () => {
    for (const worker of workers) worker.shutdown();
    await Promise.all(running);
    await native.close();
    await connection.close();
  });
  const client = new Client({ connection });
  const start = (type: string, asked: object) =>
    client.workflow.start(type, { workflowId: `${type}/${taskQueue}`, taskQueue, args: [asked] });
  const handle = await start(replaced.planByPolicy === undefined ? 'replayDeadLetters' : 'replayByPolicy', {
    target: taskQueue,
    ...(replaced.planByPolicy === undefined ? { planHash: HASH } : {}),
    actor: 'ana',
    reason: 'a test',
    ...input,
  });
  return { handle, calls, client, names: () => calls.map(({ activity }) => activity) };
}
export type Alone = Awaited<ReturnType<typeof alone>>;

export const update = ({ handle }: Pick<Alone, 'handle'>, name: string, given: object = {}) =>
  handle.executeUpdate<ReplayProgress, [object]>(name, {
    args: [{ actor: 'bo', reason: 'a test', ...given }],
  });
export const details = async ({ handle }: Pick<Alone, 'handle'>) =>
  (await handle.query<proto.api.sdk.v1.IWorkflowMetadata>('__temporal_workflow_metadata')).currentDetails ??
  '';
export const untilCalled = (run: Alone, name: string, times = 1) =>
  waitFor(async () => run.names().filter((one) => one === name).length >= times);
