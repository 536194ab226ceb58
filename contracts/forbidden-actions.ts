/**
 * Actions that every macro is forbidden unless its manifest lifts them by name. Planning looks for them in
 * the forward files; evidence tells for each how it was shown not taken.
 */
export const FORBIDDEN_ACTIONS = {
  'dry-run-false': 'setting a route to dry_run=false',
  'downstream-delivery': 'delivery to a downstream target',
  daemon: 'a daemon of its own',
  'deploy-or-restart': 'deploy or restart',
  'lifecycle-change': 'lifecycle change of existing information units',
  'production-cut': 'production cut',
  'destructive-clean-up': 'destructive clean-up',
  'secret-exposure': 'a secret in a log, a history or a report',
} as const;
export type ForbiddenAction = keyof typeof FORBIDDEN_ACTIONS;
