import { Client } from '@temporalio/client';
import {
  NativeConnection,
  type NativeConnectionOptions,
  Worker,
  type WorkerOptions,
} from '@temporalio/worker';
import { createActivities, createDeliveryActivities } from './activities/create-activities.ts';
import type { ActivityDependencies } from './activities/dependencies.ts';
import { deliveryTaskQueue, MACRO_TASK_QUEUE, WORKER_ROLES, type WorkerRole } from './contracts/names.ts';
import { keepRegistries } from './delivery/keep-registries.ts';
import { connectTemporal, type TemporalEndpoint } from './target/connect-temporal.ts';
import { closeKeptSessions } from './target/reuse-session.ts';

/** What the composition root needs: a server, and a way to open targets. */
export interface WorkerParts {
  readonly endpoint: TemporalEndpoint;
  readonly openTarget: ActivityDependencies['openTarget'];
  /** How deliveries are made; by default as each target is configured, with secrets from the environment. */
  readonly registryOf?: ActivityDependencies['registryOf'];
  /** Where deliveries look secrets up that are variables; the process's own by default. */
  readonly env?: NodeJS.ProcessEnv;
  readonly taskQueue?: string;
  /** One of the two only; both by default. */
  readonly only?: WorkerRole;
  /** Path of a bundle that was built before; without it the worker bundles `workflows/` itself. */
  readonly bundlePath?: string;
}

export interface RunningWorker {
  /** Ends when the worker has shut down; rejects when it broke. */
  readonly finished: Promise<void>;
  /** Stops polling, gives running activities their grace, and closes the connections. */
  stop(): Promise<void>;
}

const LIMITS = {
  maxConcurrentActivityTaskExecutions: 20,
  maxHeartbeatThrottleInterval: '2 seconds',
  defaultHeartbeatThrottleInterval: '2 seconds',
  shutdownForceTime: '30 seconds',
} as const;

/**
 * Starts a worker of the task queue of macros and one of the queue of deliveries beside it, so that a flood of deliveries
 * takes no slot of a macro. It refuses to start on a Temporal without the search attributes, because an unregistered one
 * would leave a run failing its task for ever.
 *
 * @throws SluiceError `temporal_unreachable`, `temporal_not_ready`
 */
export async function startWorker(parts: WorkerParts): Promise<RunningWorker> {
  const { connection: clientConnection, clusterId } = await connectTemporal(parts.endpoint);
  const { namespace, connectionOptions } = parts.endpoint;
  const connection = await NativeConnection.connect(nativeOptions(connectionOptions));
  const client = new Client({ connection: clientConnection, namespace });
  const registries = keepRegistries({ temporal: client, env: parts.env ?? process.env });
  const close = async () => {
    await closeKeptSessions();
    await registries.close();
    await connection.close();
    await clientConnection.close();
  };
  const dependencies: ActivityDependencies = {
    openTarget: parts.openTarget,
    registryOf: parts.registryOf ?? registries.of,
    temporal: { client, address: connectionOptions.address ?? '', namespace, clusterId },
  };
  const roles = parts.only === undefined ? WORKER_ROLES : [parts.only];
  const workers: Worker[] = [];
  try {
    for (const role of roles)
      workers.push(
        await Worker.create({ connection, namespace, ...LIMITS, ...OPTIONS_OF[role](parts, dependencies) }),
      );
  } catch (error) {
    for (const worker of workers) await worker.runUntil(Promise.resolve());
    await close();
    throw error;
  }
  const stop = () => {
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  const running = workers.map((worker) => worker.run().finally(stop));
  const finished = Promise.allSettled(running)
    .finally(close)
    .then((ends) => {
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
    });
  return {
    finished,
    async stop() {
      stop();
      await finished;
    },
  };
}

const OPTIONS_OF: Readonly<
  Record<
    WorkerRole,
    (parts: WorkerParts, dependencies: ActivityDependencies) => Partial<WorkerOptions> & { taskQueue: string }
  >
> = {
  macro: ({ taskQueue = MACRO_TASK_QUEUE, bundlePath }, dependencies) => ({
    taskQueue,
    activities: createActivities(dependencies),
    shutdownGraceTime: '10 seconds',
    ...(bundlePath === undefined
      ? { workflowsPath: new URL('./workflows/index.ts', import.meta.url).pathname }
      : { workflowBundle: { codePath: bundlePath } }),
  }),
  // What is in flight gets its time from the activity, which has to begin with it at once.
  delivery: ({ taskQueue = MACRO_TASK_QUEUE }, dependencies) => ({
    taskQueue: deliveryTaskQueue(taskQueue),
    activities: createDeliveryActivities(dependencies),
    shutdownGraceTime: 0,
  }),
};

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
