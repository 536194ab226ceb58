import { ERROR_CODES, type ErrorCodeName, type ErrorText } from '../contracts/error-codes.ts';

/** Codes of gRPC that this program tells apart. */
const GRPC = {
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  failedPrecondition: 9,
  unavailable: 14,
  unauthenticated: 16,
};

const RUNS_GO_ON =
  'Runs that are open go on when Temporal and a worker are there. What was sent may still arrive: look before you repeat it.';

/** Words and code for an error of Temporal's client, or of a workflow behind it; null where it is something else. */
export function explainTemporalError(error: unknown): (ErrorText & { code: ErrorCodeName }) | null {
  if (!(error instanceof Error)) return null;
  const grpc = grpcCode(error);
  if (grpc === GRPC.deadlineExceeded || error.name === 'WorkflowUpdateRPCTimeoutOrCancelledError') {
    return {
      code: 'temporal_unreachable',
      what: 'Temporal gave no answer within the deadline.',
      expected:
        'A server that answers and a worker that polls; `sluice worker` starts one, `sluice doctor` looks.',
      safe: RUNS_GO_ON,
    };
  }
  if (grpc === GRPC.unavailable) {
    return {
      code: 'temporal_unreachable',
      what: `Temporal cannot be reached: ${error.message}.`,
      expected: 'A server that answers; `sluice doctor` tells which one is used.',
      safe: RUNS_GO_ON,
    };
  }
  if (grpc === GRPC.failedPrecondition && /poller/.test(detailsOf(error))) {
    return {
      code: 'temporal_unreachable',
      what: `No worker answers: ${detailsOf(error)}.`,
      expected: 'A worker on the task queue of macros; `sluice worker` starts one.',
      safe: RUNS_GO_ON,
    };
  }
  if (grpc === GRPC.permissionDenied || grpc === GRPC.unauthenticated) {
    return {
      code: 'configuration_invalid',
      what: `Temporal refuses these credentials: ${detailsOf(error)}.`,
      expected: 'Credentials that may use the namespace, from the environment or a profile.',
      safe: 'Nothing was changed.',
    };
  }
  if (grpc === GRPC.notFound || error.name === 'WorkflowNotFoundError') {
    return {
      code: 'run_not_found',
      what: 'Temporal knows no such run.',
      expected:
        'A run that is open or still in its history; `sluice macro list --runs` shows what the target knows.',
      safe: 'Nothing was changed.',
    };
  }
  return explainFailure(error);
}

/** The failure of a workflow carries the code of this project as its type. */
function explainFailure(error: Error): (ErrorText & { code: ErrorCodeName }) | null {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if (cause.name === 'TerminatedFailure') {
      return {
        code: 'run_terminated',
        what: 'The run was terminated in Temporal and undid nothing.',
        expected: 'Take it back from its receipts: `sluice macro rollback RUN`.',
        safe: 'What it did stands as its receipts say; `sluice macro report RUN` lists it.',
      };
    }
    const type = 'type' in cause ? String(cause.type) : '';
    if (Object.hasOwn(ERROR_CODES, type))
      return { code: type as ErrorCodeName, what: cause.message, expected: '', safe: '' };
  }
  return null;
}

function grpcCode(error: Error): number | null {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && typeof cause.code === 'number') return cause.code;
  }
  return null;
}

function detailsOf(error: Error): string {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if ('details' in cause && typeof cause.details === 'string') return cause.details;
  }
  return error.message;
}
