const DEFAULT_MS = 15_000;
const SHORTEST_MS = 100;
const LONGEST_MS = 60_000;

/** How long one try of a route may take, in milliseconds: `timeout_ms` of its config, within the limits of the seam. */
export function routeTimeoutMs(config: Readonly<Record<string, unknown>>): number {
  const { timeout_ms: asked } = config;
  if (typeof asked !== 'number' || !Number.isFinite(asked)) return DEFAULT_MS;
  return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, Math.trunc(asked)));
}
