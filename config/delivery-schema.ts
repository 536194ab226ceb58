import { z } from 'zod';
import { parseDuration } from './duration.ts';
import { faultOfCidr } from './fault-of-cidr.ts';
import { faultOfServiceUrl } from './service-url.ts';
import { duration, path, secretRef, urlRef } from './setting-parts.ts';
import { strictObject } from './strict-object.ts';

const LEASE_MS = { least: 1_000, most: 3_600_000 };

const cidr = judgedBy(faultOfCidr);
const serviceUrl = judgedBy(faultOfServiceUrl);

/** `targets.<name>.delivery` of `sluice.yaml`. A kind of target whose key is absent stays unbuilt. */
export const deliverySchema = strictObject({
  concurrency: z
    .int('Use a whole number from 1 to 256')
    .min(1, 'Use a whole number from 1 to 256')
    .max(256, 'Use a whole number from 1 to 256')
    .optional()
    .meta({ description: 'Requests in flight of one route; 32 by default' }),
  lease: duration
    .refine(
      (text) => {
        const ms = parseDuration(text) ?? LEASE_MS.least;
        return ms >= LEASE_MS.least && ms <= LEASE_MS.most;
      },
      { error: 'Use a duration from 1s to 1h', params: { expected: 'Use a duration from 1s to 1h.' } },
    )
    .optional()
    .meta({ description: 'How long a claim lasts that nobody renews; 60s by default' }),
  allow_cidrs: z
    .array(cidr)
    .optional()
    .meta({ description: 'Private and special ranges that requests may reach, such as 10.0.0.0/8' }),
  secrets: z
    .record(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,59}$/), secretRef, {
      error: ({ code }) =>
        code === 'invalid_key' ? 'Name a secret with letters, digits, _, . and -' : undefined,
    })
    .optional()
    .meta({ description: 'Secrets by the names that routes use' }),
  external_endpoint: strictObject({
    source: z
      .string()
      .refine((source) => /^[\x21-\x7e]{1,200}$/.test(source) && URL.canParse(source), {
        error: 'This is no URI',
        params: { expected: 'Use an absolute URI of this system, such as https://iu.example.' },
      })
      .meta({ description: 'Source of the CloudEvents envelope' }),
  }).optional(),
  directus_flow: strictObject({
    base_url: serviceUrl.meta({ description: 'Where Directus answers, such as https://directus.example' }),
    token: secretRef.optional(),
  }).optional(),
  workflow: strictObject({})
    .optional()
    .meta({ description: 'Workflows start in the Temporal of the worker: {}' }),
  report: strictObject({ dir: path }).optional(),
  vector: strictObject({
    url: urlRef.meta({ description: 'Database that holds the vectors, with the extension vector' }),
    embedding: strictObject({
      url: serviceUrl.meta({ description: 'An endpoint that answers as OpenAI’s embeddings do' }),
      model: z.string().min(1, 'Use the name of a model'),
      dimensions: z
        .int('Use a whole number from 1 to 16000')
        .min(1, 'Use a whole number from 1 to 16000')
        .max(16_000, 'Use a whole number from 1 to 16000'),
      api_key: secretRef.optional(),
    }),
  }).optional(),
});

export type DeliverySettings = z.infer<typeof deliverySchema>;

/** A text that a rule judges; the text itself is not repeated, since it may hold a misplaced secret. */
function judgedBy(faultOf: (text: string) => { readonly what: string; readonly expected: string } | null) {
  return z.string().superRefine((text, context) => {
    const fault = faultOf(text);
    if (fault !== null)
      context.addIssue({ code: 'custom', message: fault.what, params: { expected: fault.expected } });
  });
}
