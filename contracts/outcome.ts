/**
 * How a macro run ended.
 *
 * - `succeeded`: every step passed.
 * - `rolled_back`: every step that had an effect was undone.
 * - `disabled`: a rollback script refused (history exists), and the manifest's `disable` steps ran instead.
 * - `needs_action`: something is left that only a person can finish; `leftToDo` says what and how.
 */
export const OUTCOMES = ['succeeded', 'rolled_back', 'disabled', 'needs_action'] as const;
export type Outcome = (typeof OUTCOMES)[number];
