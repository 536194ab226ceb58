/** What a duration looks like in a manifest, in `sluice.yaml` and on the command line: `500ms`, `2s`, `10m`, `24h`. */
export const DURATION_PATTERN = /^(0|[1-9]\d{0,8})(ms|s|m|h)$/;

const MILLISECONDS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** Milliseconds of a duration, or null where the text is none. */
export function parseDuration(text: string): number | null {
  const match = DURATION_PATTERN.exec(text);
  if (match === null) return null;
  const unit = match[2];
  if (unit !== 'ms' && unit !== 's' && unit !== 'm' && unit !== 'h') return null;
  return Number(match[1]) * MILLISECONDS[unit];
}
