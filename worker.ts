import { Client } from '@temporalio/client';
import {
  NativeConnection,
  type NativeConnectionOptions,
  Worker,
  type WorkerOptions,
} from '@temporalio/worker';
import { createActivities } from './activities/create-activities.ts';
import type { ActivityDependencies } from './activities/dependencies.ts';
import { MACRO_TASK_QUEUE } from './contracts/names.ts';
import { connectTemporal, type TemporalEndpoint } from './target/connect-temporal.ts';
import { closeKeptSessions } from './target/reuse-session.ts';

/** What the composition root needs: a server, and a way to open targets. */
export interface WorkerParts {
  readonly endpoint: TemporalEndpoint;
  readonly openTarget: ActivityDependencies['openTarget'];
  readonly taskQueue?: string;
  /** Path of a bundle that was built before; without it the worker bundles `workflows/` itself. */
  readonly bundlePath?: string;
}

export interface RunningWorker {
  /** Ends when the worker has shut down; rejects when it broke. */
  readonly finished: Promise<void>;
  /** Stops polling, gives running activities their grace, and closes the connections. */
  stop(): Promise<void>;
}

/**
 * Starts a worker of the macro task queue. It refuses to start on a Temporal without the search attributes,
 * because an unregistered one would leave a run failing its task for ever.
 *
 * @throws SluiceError `temporal_unreachable`, `temporal_not_ready`
 */
export async function startWorker(parts: WorkerParts): Promise<RunningWorker> {
  const { connection: clientConnection, clusterId } = await connectTemporal(parts.endpoint);
  const { namespace, connectionOptions } = parts.endpoint;
  const connection = await NativeConnection.connect(nativeOptions(connectionOptions));
  const close = async () => {
    await closeKeptSessions();
    await connection.close();
    await clientConnection.close();
  };
  const activities = createActivities({
    openTarget: parts.openTarget,
    temporal: {
      client: new Client({ connection: clientConnection, namespace }),
      address: connectionOptions.address ?? '',
      namespace,
      clusterId,
    },
  });
  const workflows: Partial<WorkerOptions> =
    parts.bundlePath === undefined
      ? { workflowsPath: new URL('./workflows/index.ts', import.meta.url).pathname }
      : { workflowBundle: { codePath: parts.bundlePath } };
  const creating = Worker.create({
    connection,
    namespace,
    taskQueue: parts.taskQueue ?? MACRO_TASK_QUEUE,
    activities,
    ...workflows,
    maxConcurrentActivityTaskExecutions: 20,
    maxHeartbeatThrottleInterval: '2 seconds',
    defaultHeartbeatThrottleInterval: '2 seconds',
    shutdownGraceTime: '10 seconds',
    shutdownForceTime: '30 seconds',
  });
  const worker = await creating.catch(async (error: unknown) => {
    await close();
    throw error;
  });
  const finished = worker.run().finally(close);
  return {
    finished,
    async stop() {
      if (worker.getState() === 'RUNNING') worker.shutdown();
      await finished;
    },
  };
}

/** The options that both connections know. */
function nativeOptions({
  address,
  tls,
  apiKey,
  metadata,
}: TemporalEndpoint['connectionOptions']): NativeConnectionOptions {
  return {
    ...(address === undefined ? {} : { address }),
    ...(tls === undefined || tls === null ? {} : { tls }),
    ...(typeof apiKey === 'string' ? { apiKey } : {}),
    ...(metadata === undefined ? {} : { metadata }),
  };
}
