import { z } from 'zod';
import { routeRetrySchema } from './route-retry.ts';

/** Bounds of `timeout_ms`, in milliseconds. */
export const TIMEOUT_MS = { shortest: 100, standard: 15_000, longest: 60_000 } as const;

/** What the config of a route may say whatever its target leaves the database for. */
export const commonRouteConfig = {
  timeout_ms: z.int().min(TIMEOUT_MS.shortest).max(TIMEOUT_MS.longest).default(TIMEOUT_MS.standard),
  max_body_bytes: z.int().min(1).max(16_777_216).default(524_288),
  retry: routeRetrySchema,
  ordered: z.boolean().optional(),
};
