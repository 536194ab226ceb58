import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { z } from 'zod';
import { configSchema } from '../config/config-schema.ts';
import { manifestSchema } from './manifest-schema.ts';
import { printJson } from './print-json.ts';

/** The JSON Schemas that this repository publishes, by path: what editors complete manifests and configuration by. */
export const PUBLISHED_SCHEMAS = {
  'macros/macro.schema.json': manifestSchema,
  'sluice.schema.json': configSchema,
} as const;

/** Text of a published schema, in draft 7, which editors know best. */
export function schemaText(path: keyof typeof PUBLISHED_SCHEMAS): string {
  const schema = z.toJSONSchema(PUBLISHED_SCHEMAS[path], { io: 'input', target: 'draft-7' });
  return `${printJson(schema)}\n`;
}

/** Absolute path of a published schema. */
export function schemaPath(path: keyof typeof PUBLISHED_SCHEMAS): string {
  return fileURLToPath(new URL(`../${path}`, import.meta.url));
}

/** Writes the schemas that are not current; returns their paths. */
export async function publishSchemas(): Promise<string[]> {
  const written: string[] = [];
  for (const path of ['macros/macro.schema.json', 'sluice.schema.json'] as const) {
    const text = schemaText(path);
    const present = await readFile(schemaPath(path), 'utf8').catch(() => null);
    if (present === text) continue;
    await writeFile(schemaPath(path), text);
    written.push(path);
  }
  return written;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const written = await publishSchemas();
  process.stdout.write(
    written.length === 0 ? 'The schemas are current.\n' : `Wrote ${written.join(', ')}.\n`,
  );
}
