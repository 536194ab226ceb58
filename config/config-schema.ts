import { z } from 'zod';
import { DURATION_PATTERN } from './duration.ts';
import { faultOfPlainUrl } from './plain-url.ts';
import { strictObject } from './strict-object.ts';

const duration = z
  .string()
  .regex(DURATION_PATTERN, 'Use a whole number and ms, s, m or h, such as 500ms, 3s or 10m')
  .meta({ examples: ['500ms', '3s', '10m'] });
const path = z
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
const plainUrl = z.string().superRefine((url, context) => {
  const fault = faultOfPlainUrl(url);
  if (fault !== null)
    context.addIssue({ code: 'custom', message: fault.what, params: { expected: fault.expected } });
});
const SECRET_FORMS =
  'Use { env: NAME }, { file: PATH }, { command: [PROGRAM, ARG, …] }, or a postgresql:// URL without a password';
const urlRef = z.union([plainUrl, ...secret], SECRET_FORMS);

const target = strictObject({
  url: urlRef.optional().meta({ description: 'Connection URL, or where it is to be had' }),
  schema: z
    .string()
    .regex(/^[^\0]{1,63}$/, 'Use the name of a schema')
    .optional()
    .meta({ description: 'Schema that managed files run in; public by default' }),
  lock_timeout: duration.optional(),
  statement_timeout: strictObject({
    check: duration.optional(),
    migrate: duration.optional(),
    probe: duration.optional(),
  }).optional(),
  backup_dir: path.optional(),
  restore_server: urlRef
    .optional()
    .meta({ description: 'Server to restore into instead of a throw-away local cluster' }),
  maintenance_database: z.string().min(1, 'Use the name of a database').optional(),
});

/** `sluice.yaml`; its JSON Schema is published as `sluice.schema.json`. Every key may be left out. */
export const configSchema = strictObject({
  default_target: z.string().optional(),
  targets: z
    .record(
      z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,59}$/, 'Name a target with letters, digits, _ and -'),
      target,
    )
    .optional(),
  temporal: strictObject({
    address: z
      .string()
      .regex(/^(?:[^\s:/]+|\[[0-9a-fA-F:]+\]):\d{1,5}$/, 'Use host:port, such as localhost:7233')
      .optional(),
    namespace: z.string().min(1, 'Use the name of a namespace').optional(),
    ui_url: z
      .string()
      .regex(/^https?:\/\/\S+$/, 'Use an http:// or https:// URL')
      .optional(),
  }).optional(),
  macro_dirs: z.array(path).optional().meta({ description: 'Besides the shipped macros and ./macros' }),
  backup: strictObject({
    dir: path.optional(),
    keep: z
      .int()
      .min(1, 'Keep at least 1')
      .optional()
      .meta({ description: 'Backups of a target that pruning keeps' }),
  }).optional(),
}).meta({ title: 'Configuration of sluice' });

/** What one layer says; nothing is filled in. */
export type Settings = z.infer<typeof configSchema>;
export type UrlSetting = z.infer<typeof urlRef>;
