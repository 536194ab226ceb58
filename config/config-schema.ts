import { z } from 'zod';
import { deliverySchema } from './delivery-schema.ts';
import { duration, path, urlRef } from './setting-parts.ts';
import { strictObject } from './strict-object.ts';

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
  delivery: deliverySchema.optional().meta({
    description: 'What live deliveries may do and with what; a kind of target without its key stays unbuilt',
  }),
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
