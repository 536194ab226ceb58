import { readFile } from 'node:fs/promises';
import { Ajv } from 'ajv';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { PUBLISHED_SCHEMAS, schemaPath, schemaText } from '../planning/publish-schemas.ts';
import { ONE_MIGRATE } from './fixtures/planning/write-macro.ts';

const WIDGET = new URL('./fixtures/planning/widget/macro.yaml', import.meta.url);

test.each(['macros/macro.schema.json', 'sluice.schema.json'] as const)('%s is current', async (path) => {
  expect(Object.keys(PUBLISHED_SCHEMAS)).toContain(path);
  expect(await readFile(schemaPath(path), 'utf8')).toBe(schemaText(path));
});

describe('the published schema of manifests', () => {
  const validate = new Ajv({ strict: true, allowUnionTypes: true, strictTuples: false }).compile(
    JSON.parse(schemaText('macros/macro.schema.json')),
  );

  test('accepts a manifest with every kind of step', async () => {
    expect(validate(parse(await readFile(WIDGET, 'utf8')))).toBe(true);
  });

  test.each([
    ['an unknown key', ONE_MIGRATE.replace('title: Change', 'titel: Change')],
    ['an unknown kind', ONE_MIGRATE.replace('kind: migrate', 'kind: migrat')],
    ['a wrong duration', `${ONE_MIGRATE}  - { id: a, kind: approve, title: A, expires: 1d }\n`],
  ])('refuses %s', (_, text) => {
    expect(validate(parse(text))).toBe(false);
  });
});
