import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  type WorkflowStartOptions,
} from '@temporalio/client';
import { RawValue } from '@temporalio/common';
import protos from '@temporalio/proto';
import { SluiceError } from '../contracts/error-codes.ts';
import { type DeliveryFailure, failed, sent } from './delivery-outcome.ts';
import type { DeliveryRequest } from './delivery-request.ts';
import type { DeliveryTarget } from './delivery-target.ts';
import { frozenDeliveryJson } from './frozen-delivery-request.ts';
import { routeLimits } from './route-limits.ts';
import { temporalFailure } from './temporal-failure.ts';
import { withinTry } from './within-try.ts';
import { readWorkflowPlace, workflowFault } from './workflow-fault.ts';

const KIND = 'workflow';
/** Bytes of a summary that the Temporal UI shows. */
const SUMMARY_BYTES = 200;
/** How long an inspection may take, in milliseconds. */
const INSPECT_WITHIN_MS = 10_000;
/** How long the run id of a workflow that had started before is asked for; it is for the record alone. */
const DESCRIBE_WITHIN_MS = 2_000;

export interface WorkflowTargetParts {
  /** Of the namespace that workflows start in. */
  readonly client: Client;
}

/**
 * Starts the workflow that `target_ref` names as `<task-queue>/<WorkflowType>`, with the request as its one argument.
 * The workflow id is `delivery/` and the idempotency key, and the server refuses a second start under it, also after the
 * first has closed, for as long as the namespace retains it: already started is sent.
 */
export function workflowTarget({ client }: WorkflowTargetParts): DeliveryTarget {
  const calls = new Set<Promise<unknown>>();
  /** A call that ends by itself some seconds after its time at the latest, and is waited for no longer than that time. */
  const within = <Result>(timeoutMs: number, signal: AbortSignal, call: () => Promise<Result>) =>
    withinTry({ signal, timeoutMs }, (ending) => {
      const made = client.withDeadline(Date.now() + timeoutMs, () => client.withAbortSignal(ending, call));
      calls.add(made);
      const over = () => calls.delete(made);
      made.then(over, over);
      return made;
    });

  return {
    kind: KIND,
    isBuilt: true,

    fault: workflowFault,

    async deliver(request, attempt) {
      const limits = routeLimits(KIND, attempt.config);
      if (typeof limits === 'string') return failed(KIND, final('request_invalid', `${limits}.`));
      const fault = this.fault(request.targetRef, attempt.config);
      const place = readWorkflowPlace(request.targetRef);
      if (fault !== null || place === null) return failed(KIND, final('target_ref_malformed', `${fault}`));
      const argument = frozenDeliveryJson(request);
      if (argument.length > limits.maxBodyBytes) {
        const message = `The argument has ${argument.length} bytes, and the route allows ${limits.maxBodyBytes}.`;
        return failed(KIND, final('payload_too_large', message));
      }
      const workflowId = `delivery/${request.idempotencyKey}`;
      const { signal } = attempt;
      try {
        const handle = await within(limits.timeoutMs, signal, () =>
          client.workflow.start(place.type, startOptions(request, workflowId, place.taskQueue, argument)),
        );
        const run = { workflow_id: workflowId, run_id: handle.firstExecutionRunId };
        return sent(KIND, { ...run, first_start: true, already_started: false });
      } catch (error) {
        if (error instanceof WorkflowExecutionAlreadyStartedError) {
          const run_id = await within(DESCRIBE_WITHIN_MS, signal, () =>
            client.workflow.getHandle(workflowId).describe(),
          ).then(
            ({ runId }) => runId,
            () => null,
          );
          return sent(KIND, { workflow_id: workflowId, run_id, first_start: false, already_started: true });
        }
        return failed(KIND, temporalFailure(error), { workflow_id: workflowId });
      }
    },

    async inspect(targetRef, config, signal) {
      const fault = this.fault(targetRef, config);
      const place = readWorkflowPlace(targetRef);
      if (fault !== null || place === null) {
        throw refusal(
          `${fault}`,
          'A target_ref such as `reports/WeeklyReview`, and a config of the known keys.',
        );
      }
      const { namespace } = client.options;
      const pollers = await within(INSPECT_WITHIN_MS, signal, async () => {
        const found = await client.workflowService.describeTaskQueue({
          namespace,
          taskQueue: { name: place.taskQueue },
          taskQueueType: protos.temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        });
        return found.pollers?.length ?? 0;
      }).catch((error) => {
        const { code, message } = temporalFailure(error);
        throw refusal(
          `${message} (${code})`,
          `Namespace ${namespace} of Temporal, within reach of the worker.`,
        );
      });
      if (pollers > 0) return;
      throw refusal(
        `No worker polls task queue ${place.taskQueue} of namespace ${namespace}; what is started there waits.`,
        `A worker on that task queue that knows ${place.type}.`,
      );
    },

    /** To be called before the connection is closed: a call that the client still repeats would fail in its timer. */
    async close() {
      await Promise.allSettled(calls);
    },
  };
}

function startOptions(
  { routeCode, eventRef, event }: DeliveryRequest,
  workflowId: string,
  taskQueue: string,
  argument: Buffer,
): WorkflowStartOptions {
  return {
    workflowId,
    taskQueue,
    workflowIdReusePolicy: 'REJECT_DUPLICATE',
    workflowIdConflictPolicy: 'FAIL',
    // As JSON text, because a number beyond 2^53 would not survive as a value.
    args: [RawValue.fromPayload({ metadata: { encoding: Buffer.from('json/plain') }, data: argument })],
    memo: {
      route: routeCode,
      event: eventRef,
      domain: event.domain,
      type: event.type,
      subject: event.subject,
    },
    staticSummary: upTo(SUMMARY_BYTES, `${routeCode}: ${event.domain} ${event.type}`),
  };
}

/** The beginning of a text, of at most so many bytes and no half of a character. */
function upTo(bytes: number, text: string): string {
  return Buffer.from(text)
    .subarray(0, bytes)
    .toString('utf8')
    .replace(/\u{fffd}+$/u, '');
}

function final(code: string, message: string): DeliveryFailure {
  return { code, message, mayRetry: false, retryAfterMs: null };
}

function refusal(why: string, expected: string): SluiceError {
  return new SluiceError('route_refused', {
    what: `The workflow cannot be started: ${why}`,
    expected,
    safe: 'Nothing was started.',
  });
}
