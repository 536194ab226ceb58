/**
 * One code from SQLSTATE through the Temporal failure type to the exit code of the command line.
 * `retry` says whether Temporal may try the same activity again.
 */
export interface ErrorCode {
  readonly exit: ExitCode;
  readonly retry: boolean;
}

/** Exit codes of `sluice`; stable. */
export const EXIT = {
  done: 0,
  unexpected: 1,
  usage: 2,
  precondition: 3,
  rolledBack: 4,
  needsAction: 5,
  waiting: 6,
  notFound: 7,
  conflict: 8,
  unavailable: 69,
  interrupted: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const ERROR_CODES = {
  unexpected: { exit: EXIT.unexpected, retry: false },
  usage: { exit: EXIT.usage, retry: false },
  configuration_invalid: { exit: EXIT.usage, retry: false },
  manifest_invalid: { exit: EXIT.precondition, retry: false },
  script_missing: { exit: EXIT.precondition, retry: false },
  script_syntax: { exit: EXIT.precondition, retry: false },
  script_transaction_control: { exit: EXIT.precondition, retry: false },
  script_without_undo: { exit: EXIT.precondition, retry: false },
  script_forbidden_action: { exit: EXIT.precondition, retry: false },
  script_tampered: { exit: EXIT.precondition, retry: false },
  plan_not_found: { exit: EXIT.notFound, retry: false },
  plan_stale: { exit: EXIT.precondition, retry: false },
  run_not_found: { exit: EXIT.notFound, retry: false },
  target_not_found: { exit: EXIT.notFound, retry: false },
  schedule_not_found: { exit: EXIT.notFound, retry: false },
  target_conflict: { exit: EXIT.conflict, retry: false },
  target_unreachable: { exit: EXIT.unavailable, retry: true },
  target_authentication: { exit: EXIT.usage, retry: false },
  target_read_only: { exit: EXIT.precondition, retry: false },
  target_permission: { exit: EXIT.precondition, retry: false },
  engine_schema_newer: { exit: EXIT.precondition, retry: false },
  engine_schema_missing: { exit: EXIT.precondition, retry: false },
  temporal_unreachable: { exit: EXIT.unavailable, retry: true },
  temporal_not_ready: { exit: EXIT.unavailable, retry: false },
  backup_tool_missing: { exit: EXIT.precondition, retry: false },
  backup_tool_older: { exit: EXIT.precondition, retry: false },
  backup_disk_full: { exit: EXIT.precondition, retry: false },
  backup_corrupt: { exit: EXIT.precondition, retry: false },
  backup_missing: { exit: EXIT.precondition, retry: false },
  step_failed: { exit: EXIT.rolledBack, retry: false },
  step_busy: { exit: EXIT.conflict, retry: true },
  step_voided: { exit: EXIT.conflict, retry: false },
  run_undone: { exit: EXIT.conflict, retry: false },
  run_under_way: { exit: EXIT.needsAction, retry: true },
  lock_timeout: { exit: EXIT.precondition, retry: true },
  transient: { exit: EXIT.unexpected, retry: true },
  script_failed: { exit: EXIT.rolledBack, retry: false },
  script_bad_verdict: { exit: EXIT.rolledBack, retry: false },
  probe_leaked: { exit: EXIT.rolledBack, retry: false },
  verify_wrote: { exit: EXIT.rolledBack, retry: false },
  rollback_refused: { exit: EXIT.needsAction, retry: false },
  undo_failed: { exit: EXIT.needsAction, retry: false },
  run_terminated: { exit: EXIT.needsAction, retry: false },
  approval_refused: { exit: EXIT.precondition, retry: false },
  update_refused: { exit: EXIT.precondition, retry: false },
  import_invalid: { exit: EXIT.precondition, retry: false },
  iu_core_missing: { exit: EXIT.precondition, retry: false },
  route_not_found: { exit: EXIT.notFound, retry: false },
  route_refused: { exit: EXIT.precondition, retry: false },
  delivery_invalid: { exit: EXIT.precondition, retry: false },
  delivery_not_built: { exit: EXIT.precondition, retry: false },
  address_refused: { exit: EXIT.precondition, retry: false },
  dead_letter_not_found: { exit: EXIT.notFound, retry: false },
  dead_letter_refused: { exit: EXIT.precondition, retry: false },
  replay_invalid: { exit: EXIT.usage, retry: false },
  replay_not_found: { exit: EXIT.notFound, retry: false },
  replay_stale: { exit: EXIT.precondition, retry: false },
  replay_ended: { exit: EXIT.conflict, retry: false },
  replay_not_approved: { exit: EXIT.precondition, retry: false },
  replay_under_way: { exit: EXIT.conflict, retry: false },
  replay_overlaps: { exit: EXIT.conflict, retry: false },
  replay_stopped: { exit: EXIT.needsAction, retry: false },
  waiting: { exit: EXIT.waiting, retry: false },
  interrupted: { exit: EXIT.interrupted, retry: false },
} as const satisfies Record<string, ErrorCode>;
export type ErrorCodeName = keyof typeof ERROR_CODES;

/** Three sentences: what is true, what was expected, what is safe now. */
export interface ErrorText {
  readonly what: string;
  readonly expected: string;
  readonly safe: string;
}

/**
 * The error of this project outside workflow code. `message` is the three sentences joined; activities map
 * it to a Temporal failure whose type is `code`.
 */
export class SluiceError extends Error {
  readonly code: ErrorCodeName;
  readonly text: ErrorText;
  constructor(code: ErrorCodeName, text: ErrorText, options?: { cause?: unknown }) {
    super([text.what, text.expected, text.safe].filter((s) => s !== '').join(' '), options);
    this.name = 'SluiceError';
    this.code = code;
    this.text = text;
  }
}
