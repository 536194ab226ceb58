import { TIMEOUT_MS } from '../common-route-config.ts';

/** How long one try of a route may take, in milliseconds: `timeout_ms` of its config, within the limits of the seam. */
export function routeTimeoutMs(config: Readonly<Record<string, unknown>>): number {
  const { timeout_ms: asked } = config;
  if (typeof asked !== 'number' || !Number.isFinite(asked)) return TIMEOUT_MS.standard;
  return Math.min(TIMEOUT_MS.longest, Math.max(TIMEOUT_MS.shortest, Math.trunc(asked)));
}
