import { z } from 'zod';
import { DURATION_PATTERN } from './duration.ts';
import { faultOfPlainUrl } from './plain-url.ts';
import { strictObject } from './strict-object.ts';

/** Milliseconds as people write them, such as `500ms`, `3s` or `10m`. */
export const duration = z
  .string()
  .regex(DURATION_PATTERN, 'Use a whole number and ms, s, m or h, such as 500ms, 3s or 10m')
  .meta({ examples: ['500ms', '3s', '10m'] });

/** A path that begins at the folder of the file. */
export const path = z
  .string()
  .min(1, 'Use a path, relative to the folder of this file')
  .meta({ description: 'Relative to the folder of this file' });

const secret = [
  strictObject({ env: z.string().regex(/^[A-Za-z_]\w*$/, 'Use the name of a variable') }).meta({
    description: 'Value of an environment variable',
  }),
  strictObject({ file: path }).meta({ description: 'A file that holds the secret and nothing else' }),
  strictObject({ command: z.tuple([z.string().min(1)], z.string()) }).meta({
    description: 'Program and arguments; it prints the secret',
  }),
] as const;

const SECRET_FORMS = '{ env: NAME }, { file: PATH } or { command: [PROGRAM, ARG, …] }';

/** Where a secret is to be had; never the secret itself. */
export const secretRef = z.union(secret, `Use ${SECRET_FORMS}; a secret itself has no place in this file`);

const plainUrl = z.string().superRefine((url, context) => {
  const fault = faultOfPlainUrl(url);
  if (fault !== null)
    context.addIssue({ code: 'custom', message: fault.what, params: { expected: fault.expected } });
});

/** URL of a PostgreSQL without its password, or where the whole URL is to be had. */
export const urlRef = z.union(
  [plainUrl, ...secret],
  `Use ${SECRET_FORMS.replace(' or ', ', ')}, or a postgresql:// URL without a password`,
);

export type SecretSetting = z.infer<typeof secretRef>;
export type UrlSetting = z.infer<typeof urlRef>;
