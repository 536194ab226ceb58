/**
 * SQLSTATEs that the SQL of this project raises; class `SL` is unused by PostgreSQL. A user's own rollback
 * script refuses by raising {@link SQLSTATES.rollbackRefused}.
 */
export const SQLSTATES = {
  /** A rollback script refuses because history exists; the engine runs the disable runbook instead. */
  rollbackRefused: 'SL001',
  /** The receipt slot was voided by an undo: the step may no longer commit. */
  receiptSlotVoided: 'SL002',
  /** The run has undo receipts and refuses to go forward. */
  runUndone: 'SL003',
  /** A row of an append-only table was to be changed. */
  appendOnly: 'SL004',
  /** A probe helper or a probe marker outside (or at the end of) a probe. */
  probeOnly: 'SL005',
  /** The engine schema in the target is newer than this program. */
  engineSchemaNewer: 'SL006',
  /** The cursor belongs to another cluster, or its epoch is not this cluster's. */
  cursorForeign: 'SL007',
  /** A route worker run that is not allowed here (standby, REPEATABLE READ outside a probe, bad limit). */
  runNotAllowed: 'SL008',
  /** The function of a sql_function target answered `failed`, or no valid outcome. */
  targetFailed: 'SL009',
  /** A replay that may not be planned, begin or go on; the error's DETAIL is JSON with `code` and what it is about. */
  replayRefused: 'SL010',
} as const;
