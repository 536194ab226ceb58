/** The kinds a manifest may use. The order of the steps is the manifest's, not this list's. */
export const STEP_KINDS = [
  'check',
  'backup',
  'migrate',
  'probe',
  'approve',
  'enable',
  'run',
  'observe',
  'verify',
] as const;
export type StepKind = (typeof STEP_KINDS)[number];
