/** Kinds of targets; the same set as the CHECK `target_kind_is_known` of migration 002. */
export const DELIVERY_TARGET_KINDS = [
  'sql_function',
  'workflow',
  'vector',
  'report',
  'directus_flow',
  'external_endpoint',
] as const;
export type DeliveryTargetKind = (typeof DELIVERY_TARGET_KINDS)[number];

/** Whether a text names a kind of target. */
export function isDeliveryTargetKind(text: unknown): text is DeliveryTargetKind {
  return DELIVERY_TARGET_KINDS.some((kind) => kind === text);
}
